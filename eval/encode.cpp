#include <unlabel/augment/error.h>
#include <unlabel/eval/encode.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/optim/autocast.h>

#include <c10/core/GradMode.h>
#include <torch/cuda.h>
#include <torch/types.h>

namespace unlabel::eval {

at::Tensor encode(ssl::Encoder& encoder, const at::Tensor& images, const std::string& precision,
                  const std::string& device) {
  const torch::NoGradGuard no_grad;
  const auto target = parse_device(device);
  const ssl::Autocast autocast(target.type(), ssl::autocast_type(precision));
  const auto parameters = encoder.parameters();
  const auto weights = parameters.empty() ? images.scalar_type() : parameters.front().scalar_type();
  const auto input = images.to(target, weights).contiguous(at::MemoryFormat::ChannelsLast);
  return encoder.encode({{{"images", input}}, {}}).pooled.to(torch::kFloat32).contiguous();
}

at::Device parse_device(const std::string& name) {
  std::optional<at::Device> device;
  try {
    device.emplace(name);
  } catch (const c10::Error&) {
  }
  if (!device || !(device->is_cpu() || device->is_cuda()))
    throw UsageError("device '", name, "' is not known: use cpu, cuda or cuda:N");
  if (device->is_cuda() && (!torch::cuda::is_available() || device->index() >= int(torch::cuda::device_count())))
    throw UsageError("device '", name, "' is not available: LibTorch finds ", torch::cuda::device_count(),
                     " CUDA devices; use --device cpu");
  return *device;
}

}  // namespace unlabel::eval
