#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/optim/optimizer.h>

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

// The tiny network and the inputs of tests/golden/*.py, and how methods are compared with them.
namespace unlabel::ssl::testing {

struct TinyEncoder : ImageEncoder {
  TinyEncoder() {
    conv =
        register_module("conv", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, 6, 3).stride(2).padding(1).bias(false)));
    norm = register_module("norm", BatchNorm(6));
  }
  EncoderOutput encode_images(const at::Tensor& images, const OutputRequest&) override {
    ++passes;
    return {norm->forward(conv->forward(images)).relu().mean({2, 3}), {}, {}};
  }
  std::int64_t feature_dim() const override { return 6; }

  torch::nn::Conv2d conv{nullptr};
  BatchNorm norm{nullptr};
  int passes = 0;
};

/// Images are features already.
struct NoEncoder : ImageEncoder {
  explicit NoEncoder(std::int64_t dim) : dim_(dim) {}
  EncoderOutput encode_images(const at::Tensor& images, const OutputRequest&) override {
    return {images.flatten(1), {}, {}};
  }
  std::int64_t feature_dim() const override { return dim_; }
  std::int64_t dim_;
};

/// One rank that counts what it asks of others.
struct CountingGroup : Group {
  at::Tensor all_gather(const at::Tensor& tensor) const override {
    ++gathers;
    return tensor;
  }
  mutable int gathers = 0;
};

/// The chirp of the golden scripts, for any batch.
inline at::Tensor chirp(std::int64_t batch, int step, int view, int size) {
  const auto i = torch::arange(batch * 3 * size * size, torch::kDouble);
  return torch::sin(0.9 * i + 0.001 * i * i + 1.7 * view + 0.6 * step).view({batch, 3, size, size});
}

/// A batch of views, as the loader names them.
inline Batch batch_of(const std::vector<at::Tensor>& views, const at::Tensor& indices = {}) {
  Batch batch;
  for (std::size_t v = 0; v < views.size(); ++v) batch.tensors.emplace_back(concat("view.", v), views[v]);
  batch.indices = indices;
  return batch;
}

/// A rank's rows of views of these sizes.
inline Batch chirps(const std::vector<int>& sizes, std::int64_t batch, int step, int rank = 0, int world = 1) {
  std::vector<at::Tensor> views;
  const std::int64_t rows = batch / world;
  for (int v = 0; v < static_cast<int>(sizes.size()); ++v)
    views.push_back(chirp(batch, step, v, sizes[v]).narrow(0, rank * rows, rows).clone());
  return batch_of(views);
}

inline double distance(const at::Tensor& actual, const nlohmann::json& expected) {
  const auto values = torch::tensor(expected.get<std::vector<double>>(), torch::kDouble);
  return (actual.detach().flatten() - values).abs().max().item<double>();
}

/// Sets the parameters that learn.
inline void set_parameters(Method& method, const nlohmann::json& values) {
  const torch::NoGradGuard no_grad;
  std::size_t set = 0;
  for (const auto& item : method.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    item.value().copy_(
        torch::tensor(values.at(item.key()).get<std::vector<double>>(), torch::kDouble).view(item.value().sizes()));
    ++set;
  }
  ASSERT_EQ(set, values.size());
}

inline double diagnostic(const Loss& loss, const std::string& name) {
  for (const auto& [key, value] : loss.diagnostics)
    if (key == name) return value.item<double>();
  ADD_FAILURE() << "no diagnostic " << name;
  return -1;
}

/// What `make` makes under autocast to bf16.
template <class Make>
auto in_bf16(const Make& make) {
  const Autocast autocast(at::kCPU, at::kBFloat16);
  EXPECT_EQ(at::matmul(torch::ones({2, 2}), torch::ones({2, 2})).scalar_type(), at::kBFloat16);
  return make();
}

/// Compares every gradient of a scalar function with finite differences, at three places of each parameter.
inline void expect_gradients(Method& method, const std::function<at::Tensor()>& loss, double tolerance = 1e-7) {
  for (auto& parameter : method.parameters()) parameter.mutable_grad().reset();
  loss().backward();
  const double h = 1e-5;
  for (const auto& item : method.named_parameters()) {
    if (!item.value().requires_grad()) continue;
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    const torch::NoGradGuard no_grad;
    const auto values = item.value().view({-1});
    for (const std::int64_t i : {std::int64_t{0}, values.size(0) / 2, values.size(0) - 1}) {
      const double x = values[i].item<double>();
      values[i] = x + h;
      const double above = loss().item<double>();
      values[i] = x - h;
      const double below = loss().item<double>();
      values[i] = x;
      EXPECT_NEAR(item.value().grad().view({-1})[i].item<double>(), (above - below) / (2 * h), tolerance)
          << item.key() << " " << i;
    }
  }
}

/// Copies of all parameters and buffers.
inline std::map<std::string, at::Tensor> tensors_of(const Method& method) {
  std::map<std::string, at::Tensor> tensors;
  for (const auto& item : method.named_parameters()) tensors[item.key()] = item.value().detach().clone();
  for (const auto& item : method.named_buffers()) tensors[item.key()] = item.value().detach().clone();
  return tensors;
}

/// The optimizer of most golden scripts.
inline OptimizerOptions sgd() {
  OptimizerOptions options;
  options.kind = "sgd";
  options.weight_decay = 0.01;
  return options;
}

/// Averages the gradients over a group, as data-parallel training does.
inline void average_gradients(Method& method, const Group& group) {
  for (const auto& parameter : method.parameters()) {
    if (!parameter.grad().defined()) continue;
    auto gradient = parameter.grad();
    group.all_reduce_sum(gradient);
    gradient.div_(group.world_size());
  }
}

}  // namespace unlabel::ssl::testing
