#pragma once

#include <torch/nn/module.h>

#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {
struct Encoder;
}

namespace unlabel::eval {

/// Holds a module in eval mode while it lives; then puts every submodule back into the mode that it was in.
class EvalMode {
 public:
  explicit EvalMode(torch::nn::Module& module);
  ~EvalMode();
  EvalMode(const EvalMode&) = delete;
  EvalMode& operator=(const EvalMode&) = delete;

 private:
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> was_training_;
  torch::nn::Module& module_;
  bool module_was_training_;
};

/// Frozen features of one batch of images (CPU, n x C x H x W) on the encoder's device: n x d, float32, no gradients.
/// The encoder must be in eval mode. `precision` is float32, bf16 or fp16; throws UsageError for any other.
at::Tensor encode(ssl::Encoder& encoder, const at::Tensor& images, const std::string& precision,
                  const std::string& device);

/// The device of that name; throws UsageError for one that is not known or not there.
at::Device parse_device(const std::string& name);

}  // namespace unlabel::eval
