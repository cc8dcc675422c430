#pragma once

#include <unlabel/ssl/layers/eval_mode.h>

#include <string>

namespace unlabel::ssl {
struct Encoder;
}

namespace unlabel::eval {

using ssl::EvalModeGuard;

/// Frozen features of one batch of images (CPU, n x C x H x W) on the encoder's device: n x d, float32, no gradients.
/// The encoder must be in eval mode. `precision` is float32, bf16 or fp16; throws UsageError for any other.
at::Tensor encode(ssl::Encoder& encoder, const at::Tensor& images, const std::string& precision,
                  const std::string& device);

/// The device of that name. Throws UsageError for an unknown name and for a device that is not available.
at::Device parse_device(const std::string& name);

}  // namespace unlabel::eval
