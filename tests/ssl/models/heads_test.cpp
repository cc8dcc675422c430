#include <unlabel/augment/error.h>
#include <unlabel/ssl/models/heads.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/weights/weights.h>

#include <gtest/gtest.h>
#include <torch/types.h>

#include <map>
#include <string>

namespace unlabel::ssl {
namespace {

std::string names_of(const ProjectorOptions& options) {
  std::string names;
  for (const auto& item : state_of(*Projector(options))) names += item.first + " ";
  return names;
}

TEST(Projector, IsSwavsHead) {
  const auto file = read_safetensors(UNLABEL_SOURCE_DIR "/tests/golden/heads.safetensors");
  const std::map<std::string, at::Tensor> golden(file.tensors.begin(), file.tensors.end());
  Projector projector(ProjectorOptions{.in = 6, .hidden = 5, .out = 3});
  to_float_dtype(*projector, at::kDouble);
  const auto report = load_state(*projector, file.tensors, {.prefix = "projection_head."});
  EXPECT_TRUE(report.missing.empty()) << report.detail();
  const auto difference = [](const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); };
  projector->train();
  EXPECT_LT(difference(projector(golden.at("features")), golden.at("train")), 1e-12);
  projector->eval();
  EXPECT_LT(difference(projector(golden.at("features")), golden.at("eval")), 1e-12);
}

TEST(Projector, NamesFollowTheLayers) {
  const std::string hidden = "0.weight 0.bias 1.weight 1.bias 1.running_mean 1.running_var 1.num_batches_tracked ";
  EXPECT_EQ(names_of({.in = 4, .hidden = 3, .out = 2}), hidden + "3.weight 3.bias ");
  EXPECT_EQ(names_of({.in = 4, .hidden = 3, .out = 2, .last_bias = false}), hidden + "3.weight ");
  EXPECT_EQ(names_of({.in = 4, .hidden = 3, .out = 2, .last_bias = false, .last_norm = true}),
            hidden + "3.weight 4.weight 4.bias 4.running_mean 4.running_var 4.num_batches_tracked ");
  EXPECT_EQ(names_of({.in = 4, .hidden = 3, .out = 2, .hidden_norm = false}), "0.weight 0.bias 2.weight 2.bias ");
  EXPECT_EQ(names_of({.in = 4, .hidden = 0, .out = 2}), "0.weight 0.bias ");
}

TEST(Projector, SingleLayerIsLinear) {
  Projector projector(ProjectorOptions{.in = 4, .hidden = 0, .out = 2});
  const auto parameters = projector->named_parameters();
  const auto x = torch::randn({3, 4});
  EXPECT_TRUE(torch::allclose(projector(x), torch::linear(x, parameters["0.weight"], parameters["0.bias"])));
}

TEST(Projector, LastNormCentresTheEmbedding) {
  Projector projector(ProjectorOptions{.in = 4, .hidden = 3, .out = 2, .last_bias = false, .last_norm = true});
  EXPECT_LT(projector(torch::randn({16, 4})).mean(0).abs().max().item<double>(), 1e-6);
}

TEST(Projector, WrongSizesThrow) {
  EXPECT_THROW(Projector(ProjectorOptions{.in = 0}), UsageError);
  EXPECT_THROW(Projector(ProjectorOptions{.hidden = -1}), UsageError);
}

}  // namespace
}  // namespace unlabel::ssl
