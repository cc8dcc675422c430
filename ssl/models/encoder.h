#pragma once

#include <unlabel/augment/options.h>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>

namespace unlabel::ssl {

/// A backbone: images in, one feature vector an image out (pooled, before any head).
struct Encoder : torch::nn::Module {
  using torch::nn::Module::Module;
  /// n x C x H x W to n x feature_dim().
  virtual at::Tensor forward(const at::Tensor& images) = 0;
  virtual std::int64_t feature_dim() const = 0;
  /// Throws UsageError for images of a size that it cannot take.
  virtual void check_size(std::int64_t height, std::int64_t width) const { (void)height, (void)width; }
};

/// What to build; saved beside the weights, so that evaluation needs no flags.
struct EncoderOptions {
  std::string arch = "resnet50";  ///< resnet18, resnet34, resnet50, resnet101, resnet152, alexnet, vgg16
  std::int64_t width =
      64;  ///< channels of the first stage (64: the paper's; 128: RN50w2); alexnet, vgg16: all of theirs / 64
  std::string stem =
      "imagenet";  ///< imagenet: 7x7 stride 2 and max pooling; small: 3x3 stride 1, no pooling (SimCLR, appendix B.9)
  std::int64_t in_channels = 3;     ///< 3, or 1 for grey input
  bool sobel = false;               ///< the network sees edges instead of colours (DeepCluster)
  bool zero_init_residual = false;  ///< start every residual block as the identity (BYOL's code; SwAV does not)
};

OptionTable table(EncoderOptions& options);

/// Builds an encoder with the official initialisation. Throws UsageError for an unknown architecture, naming the
/// nearest.
std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options);

}  // namespace unlabel::ssl
