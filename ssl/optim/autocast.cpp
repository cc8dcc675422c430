#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/ssl/optim/autocast.h>

#include <ATen/autocast_mode.h>
#include <c10/core/GradMode.h>
#include <torch/nn/module.h>
#include <torch/types.h>

namespace unlabel::ssl {

std::optional<c10::ScalarType> autocast_type(const std::string& precision) {
  if (precision == "float32") return std::nullopt;
  if (precision == "bf16") return at::kBFloat16;
  if (precision == "fp16") return at::kHalf;
  throw UsageError("no precision '", precision, "'", did_you_mean(precision, {"float32", "bf16", "fp16"}),
                   "; there are float32, bf16 and fp16, and float64 to pretrain");
}

Autocast::Autocast(c10::DeviceType device, std::optional<c10::ScalarType> type)
    : device_(device),
      enabled_before_(at::autocast::is_autocast_enabled(device)),
      type_before_(at::autocast::get_autocast_dtype(device)) {
  at::autocast::set_autocast_enabled(device, type.has_value());
  if (type) at::autocast::set_autocast_dtype(device, *type);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  // As torch.autocast does at the end of its outermost scope.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, enabled_before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

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
