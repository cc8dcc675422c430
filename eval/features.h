#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/loader.h>
#include <unlabel/eval/labels.h>
#include <unlabel/ssl/layers/eval_mode.h>

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {
struct Encoder;
}

namespace unlabel::ssl {
struct Encoder;
class Group;

using ssl::EvalModeGuard;

/// Frozen features of one batch of images (CPU, n x C x H x W) on the encoder's device: n x d, float32, no gradients.
/// The encoder must be in eval mode. `precision` is float32, bf16 or fp16; throws UsageError for any other.
at::Tensor encode(ssl::Encoder& encoder, const at::Tensor& images, const std::string& precision,
                  const std::string& device);

/// The device of that name. Throws UsageError for an unknown name and for a device that is not available.
at::Device parse_device(const std::string& name);

}  // namespace unlabel::ssl
