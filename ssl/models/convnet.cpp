#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/layers/dropout.h>
#include <unlabel/ssl/models/convnet.h>
#include <unlabel/ssl/models/sobel.h>

#include <torch/nn/init.h>
#include <torch/nn/modules/conv.h>
#include <torch/nn/modules/linear.h>
#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace unlabel::ssl {
namespace {

namespace nn = torch::nn;

/// A convolution; with channels = 0 a max pooling with this kernel and stride.
struct Layer {
  std::int64_t channels, kernel, stride, padding;
};

/// A sequence of layers and functions. Layers are named by their position, as in torch::nn::Sequential, where functions count too.
struct Numbered : nn::Module {
  using Step = std::function<at::Tensor(const at::Tensor&)>;

  template <class Holder>
  void add(Holder layer) {
    register_module(std::to_string(steps_.size()), layer);
    steps_.push_back([layer](const at::Tensor& x) mutable { return layer->forward(x); });
  }
  void add_step(Step step) { steps_.push_back(std::move(step)); }
  at::Tensor forward(at::Tensor x) {
    for (const auto& step : steps_) x = step(x);
    return x;
  }

 private:
  std::vector<Step> steps_;
};

at::Tensor rectify(const at::Tensor& x) { return at::relu(x); }

/// Convolutions (`features`), then two linear layers (`classifier`). `pixels`: height and width of the feature map before the linear
/// layers.
class ConvNet : public ImageEncoder {
 public:
  ConvNet(const char* name, const std::vector<Layer>& layers, std::int64_t pixels, bool dropout_first,
          const EncoderOptions& options)
      : name_(name), layers_(layers), pixels_(pixels) {
    const auto wide = [&](std::int64_t channels) { return std::max<std::int64_t>(1, channels * options.width / 64); };
    if (options.sobel) sobel_ = register_module("sobel", Sobel());
    features_ = register_module("features", std::make_shared<Numbered>());
    std::int64_t in = options.sobel ? 2 : options.in_channels;
    for (const auto& layer : layers) {
      if (layer.channels == 0) {
        features_->add_step([layer](const at::Tensor& x) { return at::max_pool2d(x, layer.kernel, layer.stride); });
        continue;
      }
      const auto out = wide(layer.channels);
      features_->add(nn::Conv2d(nn::Conv2dOptions(in, out, layer.kernel).stride(layer.stride).padding(layer.padding)));
      features_->add(BatchNorm(out));
      features_->add_step(rectify);
      in = out;
    }
    // The last layer of the classifier has no ReLU and no dropout behind it: its output is the feature.
    feature_dim_ = wide(4096);
    classifier_ = register_module("classifier", std::make_shared<Numbered>());
    if (dropout_first) classifier_->add(Dropout(0.5));
    classifier_->add(nn::Linear(in * pixels * pixels, feature_dim_));
    classifier_->add_step(rectify);
    classifier_->add(Dropout(0.5));
    classifier_->add(nn::Linear(feature_dim_, feature_dim_));
    initialize();
  }

  EncoderOutput encode_images(const at::Tensor& images, const OutputRequest& request) override {
    check_size(images.size(2), images.size(3));
    EncoderOutput output;
    const auto map = features_->forward(sobel_ ? sobel_->forward(images) : images);
    output.pooled = classifier_->forward(map.flatten(1));
    if (request.stages) output.stages = {map};
    return output;
  }

  void check_size(std::int64_t height, std::int64_t width) const override {
    if (pixels_of(height) != pixels_ || pixels_of(width) != pixels_)
      throw UsageError(name_, " takes images of 224 x 224 pixels, not ", height, " x ", width,
                       ": give --augment.global-size 224 and no local crops, or a ResNet");
  }

  std::int64_t feature_dim() const override { return feature_dim_; }

 private:
  /// Height or width of the feature map for images of that height or width; 0 if they are too small.
  std::int64_t pixels_of(std::int64_t side) const {
    for (const auto& layer : layers_) {
      side += 2 * layer.padding - layer.kernel;
      if (side < 0) return 0;
      side = side / layer.stride + 1;
    }
    return side;
  }

  void initialize() {
    for (const auto& module : modules(false)) {
      if (auto* conv = module->as<nn::Conv2dImpl>()) {
        nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
        nn::init::zeros_(conv->bias);
      } else if (auto* linear = module->as<nn::LinearImpl>()) {
        nn::init::normal_(linear->weight, 0, 0.01);
        nn::init::zeros_(linear->bias);
      }
    }
  }

  const char* name_;
  std::vector<Layer> layers_;
  std::int64_t pixels_, feature_dim_ = 0;
  Sobel sobel_{nullptr};
  std::shared_ptr<Numbered> features_, classifier_;
};

void check(const EncoderOptions& options) {
  if (options.width < 1 || options.width > 1024)
    throw UsageError("--encoder.width is ", options.width, "; it must be 1 to 1024");
  if (options.in_channels < 1 || options.in_channels > 1024 || (options.sobel && options.in_channels != 3))
    throw UsageError("--encoder.in-channels is ", options.in_channels, "; it must be 1 to 1024, and 3 for Sobel");
}

/// The width follows from the shape of the last linear layer, called `features`; the first convolution, which has `channels` channels at
/// width 64, must agree with it.
std::optional<EncoderOptions> infer(const char* arch, const char* features, std::int64_t kernel, std::int64_t channels,
                                    const TensorShapes& shapes) {
  const auto first = shapes.find("features.0.weight"), last = shapes.find(features);
  if (first == shapes.end() || first->second.size() != 4 || first->second[2] != kernel) return std::nullopt;
  if (last == shapes.end() || last->second.size() != 2) return std::nullopt;
  EncoderOptions options{.arch = arch, .width = last->second[0] / 64};
  // Check the width against the first layer before anything is allocated: a damaged file may claim any shape.
  if (options.width < 1 || first->second[0] != std::max<std::int64_t>(1, channels * options.width / 64))
    return std::nullopt;
  options.sobel = shapes.contains("sobel.1.weight");
  options.in_channels = options.sobel ? 3 : first->second[1];
  return options;
}

}  // namespace

std::shared_ptr<Encoder> make_alexnet(const EncoderOptions& options) {
  check(options);
  const std::vector<Layer> layers{{96, 11, 4, 2}, {0, 3, 2, 0},   {256, 5, 1, 2}, {0, 3, 2, 0},
                                  {384, 3, 1, 1}, {384, 3, 1, 1}, {256, 3, 1, 1}, {0, 3, 2, 0}};
  return std::make_shared<ConvNet>("AlexNet", layers, 6, /*dropout_first=*/true, options);
}

std::shared_ptr<Encoder> make_vgg16(const EncoderOptions& options) {
  check(options);
  // Five stages of 3x3 convolutions, each followed by 2x2 max pooling.
  std::vector<Layer> layers;
  for (const auto& [channels, depth] : {std::pair{64, 2}, {128, 2}, {256, 3}, {512, 3}, {512, 3}}) {
    for (int i = 0; i < depth; ++i) layers.push_back({channels, 3, 1, 1});
    layers.push_back({0, 2, 2, 0});
  }
  return std::make_shared<ConvNet>("VGG-16", layers, 7, /*dropout_first=*/false, options);
}

std::optional<EncoderOptions> infer_alexnet(const TensorShapes& shapes) {
  return infer("alexnet", "classifier.4.weight", /*kernel=*/11, /*channels=*/96, shapes);
}

std::optional<EncoderOptions> infer_vgg16(const TensorShapes& shapes) {
  return infer("vgg16", "classifier.3.weight", /*kernel=*/3, /*channels=*/64, shapes);
}

}  // namespace unlabel::ssl
