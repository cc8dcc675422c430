#include <unlabel/augment/error.h>
#include <unlabel/ssl/optim/cast.h>

#include <c10/core/GradMode.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace unlabel::ssl {
namespace {

// Replaces the data of a tensor, which stays the same object, so that modules and optimizers keep their reference to it.
template <class Convert>
void replace_data(const at::Tensor& tensor, Convert convert) {
  auto target = tensor;
  target.set_data(convert(tensor.detach()));
}

}  // namespace

void move_to(torch::nn::Module& module, c10::Device device) {
  if (!device.is_privateuseone()) {
    module.to(device);
    return;
  }
  // Module::to calls Tensor::set_data, which does not accept a tensor of another backend: pytorch/pytorch#196975.
  const torch::NoGradGuard no_grad;
  const auto move = [&](const at::Tensor& tensor) {
    const bool requires_grad = tensor.requires_grad();
    tensor.unsafeGetTensorImpl()->shallow_copy_from(tensor.detach().to(device).getIntrusivePtr());
    tensor.set_requires_grad(requires_grad);
  };
  for (const auto& parameter : module.parameters()) move(parameter);
  for (const auto& buffer : module.buffers()) move(buffer);
}

void to_float_dtype(torch::nn::Module& module, c10::ScalarType dtype) {
  if (dtype != at::kFloat && dtype != at::kDouble) {
    throw UsageError("weights are kept in float32 or float64, not ", dtype, "; for 16-bit training use --precision");
  }
  const torch::NoGradGuard no_grad;
  const auto convert = [&](const at::Tensor& tensor) {
    if (tensor.is_floating_point()) replace_data(tensor, [&](const at::Tensor& t) { return t.to(dtype); });
  };
  for (const auto& parameter : module.parameters()) convert(parameter);
  for (const auto& buffer : module.buffers()) convert(buffer);
}

void to_channels_last(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : module.parameters()) {
    if (parameter.dim() != 4) continue;
    replace_data(parameter, [](const at::Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); });
  }
}

}  // namespace unlabel::ssl
