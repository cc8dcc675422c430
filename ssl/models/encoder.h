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

/// What an encoder makes of n samples.
struct EncoderOutput {
  at::Tensor pooled;               ///< n x feature_dim(): one vector a sample, before any projection head
  at::Tensor tokens;               ///< n x tokens x d, where asked for; undefined of a network that has none
  std::vector<at::Tensor> stages;  ///< where asked for: feature maps of the stages, n x C x H x W, shallow to deep
};

/// What is wanted beside `pooled`. Anything else is dropped as soon as the forward pass no longer needs it.
struct OutputRequest {
  bool tokens = false;
  bool stages = false;
};

/// A backbone, of images (ImageEncoder) or other input. Which tensors it takes, EncoderFacts::inputs names.
struct Encoder : torch::nn::Module {
  using torch::nn::Module::Module;
  virtual EncoderOutput encode(const data::Batch& input, const OutputRequest& request = {}) = 0;
  virtual std::int64_t feature_dim() const = 0;
};

/// A backbone of images: its input is the tensor "images".
struct ImageEncoder : Encoder {
  using Encoder::Encoder;
  EncoderOutput encode(const data::Batch& input, const OutputRequest& request = {}) final;

  /// `images` is n x C x H x W.
  virtual EncoderOutput encode_images(const at::Tensor& images, const OutputRequest& request) = 0;
  /// Only `pooled`: n x C x H x W to n x feature_dim().
  at::Tensor forward(const at::Tensor& images) { return encode_images(images, {}).pooled; }
  /// Throws UsageError for images of a size that it cannot take.
  virtual void check_size(std::int64_t height, std::int64_t width) const { (void)height, (void)width; }
};

/// `encoder` as one of images. Throws UsageError when it takes another input.
ImageEncoder& image_encoder(Encoder& encoder);

/// What to build; saved beside the weights, so that evaluation needs no flags.
struct EncoderOptions {
  std::string arch = "resnet50";  ///< the name of one of encoders()
  std::int64_t width =
      64;  ///< channels of the first stage (64: the paper's; 128: RN50w2); alexnet, vgg16: all of theirs / 64
  std::string stem =
      "imagenet";  ///< imagenet: 7x7 stride 2 and max pooling; small: 3x3 stride 1, no pooling (SimCLR, appendix B.9)
  std::int64_t in_channels = 3;     ///< 3, or 1 for gray input
  bool sobel = false;               ///< the network sees edges instead of colors (DeepCluster)
  bool zero_init_residual = false;  ///< start every residual block as the identity (BYOL's code; SwAV does not)
};

OptionTable table(EncoderOptions& options);

/// Shapes of tensors by their names, without what stands before the encoder's own names.
using TensorShapes = std::unordered_map<std::string, std::vector<std::int64_t>>;

/// An architecture: one of the library, or a program's own.
struct EncoderSpec {
  std::string name;  ///< as users write it: "resnet50"
  std::function<std::shared_ptr<Encoder>(const EncoderOptions&)> make;
  EncoderFacts facts{};
  /// The options of the encoder that has weights of these names and shapes; nullopt: another architecture's. Null: never told by weights.
  std::function<std::optional<EncoderOptions>(const TensorShapes&)> infer{};
};

/// All architectures.
const std::vector<EncoderSpec>& encoders();

/// Adds one of a program's own, to be called before anything else, as launch::program does. Throws UsageError for a name that is taken, or
/// is not of small letters, digits and underscores, and without `make`.
void add_encoder(EncoderSpec encoder);

/// Throws UsageError for a name that is not among them, naming the nearest and all there are.
const EncoderSpec& find_encoder(const std::string& arch);

/// EncoderFactsOf over all architectures.
EncoderFacts encoder_facts(const std::string& arch);

/// Builds an encoder with the official initialization. Throws UsageError as find_encoder does, and for options out of range.
std::shared_ptr<Encoder> make_encoder(const EncoderOptions& options);

/// The same for a method of images. Throws UsageError for an architecture that takes another input.
std::shared_ptr<ImageEncoder> make_image_encoder(const EncoderOptions& options);

}  // namespace unlabel::ssl
