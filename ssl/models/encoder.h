#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/data/collate.h>
#include <unlabel/ssl/models/encoder_facts.h>

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace unlabel::ssl {

/// The output of an encoder for n samples.
struct EncoderOutput {
  at::Tensor pooled;               ///< n x feature_dim(): one vector per sample, before any projection head
  at::Tensor tokens;               ///< n x tokens x d if requested; undefined if the network has no tokens
  std::vector<at::Tensor> stages;  ///< if requested: feature maps of the stages, n x C x H x W each, shallow to deep
};

/// Which outputs to return in addition to `pooled`. The others are freed as soon as the forward pass no longer needs them.
struct OutputRequest {
  bool tokens = false;
  bool stages = false;
};

/// A backbone for images (ImageEncoder) or other input. EncoderFacts::inputs names the tensors that it reads from a batch.
struct Encoder : torch::nn::Module {
  using torch::nn::Module::Module;
  virtual EncoderOutput encode(const data::Batch& input, const OutputRequest& request = {}) = 0;
  virtual std::int64_t feature_dim() const = 0;
};

/// A backbone for images: it reads the tensor "images".
struct ImageEncoder : Encoder {
  using Encoder::Encoder;
  EncoderOutput encode(const data::Batch& input, const OutputRequest& request = {}) final;

  /// `images` is n x C x H x W.
  virtual EncoderOutput encode_images(const at::Tensor& images, const OutputRequest& request) = 0;
  /// Only `pooled`: n x C x H x W to n x feature_dim().
  at::Tensor forward(const at::Tensor& images) { return encode_images(images, {}).pooled; }
  /// Throws UsageError if it cannot take images of this size (in pixels).
  virtual void check_size(std::int64_t height, std::int64_t width) const { (void)height, (void)width; }
};

/// `encoder` as an ImageEncoder. Throws UsageError if it takes another input.
ImageEncoder& image_encoder(Encoder& encoder);

/// The architecture and its settings. They are saved with the weights, so that evaluation needs no options.
struct EncoderOptions {
  std::string arch = "resnet50";  ///< the name of one of encoders()
  std::int64_t width =
      64;  ///< channels of a ResNet's first stage (published: 64; RN50w2: 128); alexnet, vgg16: scales all channels by width / 64
  std::string stem =
      "imagenet";  ///< imagenet: 7x7 stride 2 and max pooling; small: 3x3 stride 1, no pooling (SimCLR, appendix B.9)
  std::int64_t in_channels = 3;     ///< 3, or 1 for gray input
  bool sobel = false;               ///< the network sees edges instead of colors (DeepCluster)
  bool zero_init_residual = false;  ///< start every residual block as the identity (BYOL's code; SwAV does not)
};

OptionTable table(EncoderOptions& options);

/// Shapes of tensors by name, where prefixes such as "backbone." are removed.
using TensorShapes = std::unordered_map<std::string, std::vector<std::int64_t>>;

/// An architecture: one of the library, or a program's own.
struct EncoderSpec {
  std::string name;  ///< as users write it: "resnet50"
  std::function<std::shared_ptr<Encoder>(const EncoderOptions&)> make;
  EncoderFacts facts{};
  /// Infers the options from the names and shapes of an encoder's weights; returns nullopt if they belong to another architecture. A null
  /// function: this architecture is never inferred.
  std::function<std::optional<EncoderOptions>(const TensorShapes&)> infer{};
};

/// All architectures.
const std::vector<EncoderSpec>& encoders();

/// Adds an architecture of your own program. Call it before anything else, as launch::program does. Throws UsageError if the name is taken
/// or has characters other than lower-case letters, digits and underscores, or if `make` is null.
void add_encoder(EncoderSpec encoder);

/// The architecture with this name. Throws UsageError if there is none; the message has the most similar name and all names.
const EncoderSpec& find_encoder(const std::string& arch);

/// The facts of the architecture with this name (an EncoderFactsOf over encoders()).
EncoderFacts encoder_facts(const std::string& arch);

/// Builds an encoder with the initialization of its published code. Throws UsageError for an unknown architecture and for options out of
/// range.
std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options);

/// The same for a method that learns from images. Also throws UsageError for an architecture that takes another input.
std::shared_ptr<ImageEncoder> make_image_encoder(const EncoderOptions& options);

/// The features of several crops of n samples: `crops` are n x C x H x W each, the result is (crops * n) x feature_dim(), crop by crop.
/// Consecutive crops of equal size share one forward pass, so BatchNorm statistics are taken over crops of one size, as in the released
/// code of SwAV and DeepCluster-v2.
at::Tensor forward_multi_crop(ImageEncoder& encoder, const std::vector<at::Tensor>& crops);

}  // namespace unlabel::ssl
