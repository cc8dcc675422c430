#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/models/resnet.h>
#include <unlabel/ssl/models/sobel.h>

#include <torch/enum.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/conv.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <vector>

namespace unlabel::ssl {
namespace {

namespace nn = torch::nn;

// Without bias, and padded such that stride 1 keeps height and width.
nn::Conv2d convolution(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
  return nn::Conv2d(nn::Conv2dOptions(in, out, kernel).stride(stride).padding(kernel / 2).bias(false));
}

// A residual block: relu(body(x) + shortcut(x)). The shortcut is a 1x1 convolution with BatchNorm if the shape changes, else the identity.
struct Block : nn::Module {
  virtual at::Tensor forward(const at::Tensor& x) = 0;
  virtual BatchNorm last_norm() const = 0;

 protected:
  void register_shortcut(std::int64_t in, std::int64_t out, std::int64_t stride) {
    if (in == out && stride == 1) return;
    shortcut_ = register_module("downsample", nn::Sequential(convolution(in, out, 1, stride), BatchNorm(out)));
  }
  at::Tensor shortcut(const at::Tensor& x) { return shortcut_ ? shortcut_->forward(x) : x; }

 private:
  nn::Sequential shortcut_{nullptr};
};

// Two 3x3 convolutions; depth 18 and 34.
struct BasicBlock : Block {
  static constexpr std::int64_t kExpansion = 1;

  BasicBlock(std::int64_t in, std::int64_t channels, std::int64_t stride) {
    conv1_ = register_module("conv1", convolution(in, channels, 3, stride));
    bn1_ = register_module("bn1", BatchNorm(channels));
    conv2_ = register_module("conv2", convolution(channels, channels, 3, 1));
    bn2_ = register_module("bn2", BatchNorm(channels));
    register_shortcut(in, channels, stride);
  }

  at::Tensor forward(const at::Tensor& x) override {
    auto y = bn1_(conv1_(x)).relu_();
    y = bn2_(conv2_(y));
    return y.add_(shortcut(x)).relu_();
  }
  BatchNorm last_norm() const override { return bn2_; }

 private:
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr};
  BatchNorm bn1_{nullptr}, bn2_{nullptr};
};

// 1x1, 3x3 (with the stride) and 1x1 convolutions; depth 50, 101 and 152.
struct Bottleneck : Block {
  static constexpr std::int64_t kExpansion = 4;

  Bottleneck(std::int64_t in, std::int64_t channels, std::int64_t stride) {
    conv1_ = register_module("conv1", convolution(in, channels, 1, 1));
    bn1_ = register_module("bn1", BatchNorm(channels));
    conv2_ = register_module("conv2", convolution(channels, channels, 3, stride));
    bn2_ = register_module("bn2", BatchNorm(channels));
    conv3_ = register_module("conv3", convolution(channels, channels * kExpansion, 1, 1));
    bn3_ = register_module("bn3", BatchNorm(channels * kExpansion));
    register_shortcut(in, channels * kExpansion, stride);
  }

  at::Tensor forward(const at::Tensor& x) override {
    auto y = bn1_(conv1_(x)).relu_();
    y = bn2_(conv2_(y)).relu_();
    y = bn3_(conv3_(y));
    return y.add_(shortcut(x)).relu_();
  }
  BatchNorm last_norm() const override { return bn3_; }

 private:
  nn::Conv2d conv1_{nullptr}, conv2_{nullptr}, conv3_{nullptr};
  BatchNorm bn1_{nullptr}, bn2_{nullptr}, bn3_{nullptr};
};

class ResNet : public ImageEncoder {
 public:
  ResNet(bool bottleneck, const std::array<int, 4>& blocks, const EncoderOptions& options)
      : small_stem_(options.stem == "small") {
    if (options.sobel) sobel_ = register_module("sobel", Sobel());
    const auto channels_in = options.sobel ? 2 : options.in_channels;
    conv1_ = register_module("conv1", small_stem_ ? convolution(channels_in, options.width, 3, 1)
                                                  : convolution(channels_in, options.width, 7, 2));
    bn1_ = register_module("bn1", BatchNorm(options.width));
    std::int64_t in = options.width;
    for (int s = 0; s < 4; ++s) {
      const std::int64_t channels = options.width << s;
      // The first block of each stage but the first halves height and width.
      nn::ModuleList stage;
      for (int b = 0; b < blocks[s]; ++b) {
        const std::int64_t stride = s > 0 && b == 0 ? 2 : 1;
        std::shared_ptr<Block> block;
        if (bottleneck) {
          block = std::make_shared<Bottleneck>(in, channels, stride);
          in = channels * Bottleneck::kExpansion;
        } else {
          block = std::make_shared<BasicBlock>(in, channels, stride);
          in = channels * BasicBlock::kExpansion;
        }
        stages_[s].push_back(block);
        stage->push_back(std::static_pointer_cast<nn::Module>(block));
      }
      register_module(concat("layer", s + 1), stage);
    }
    feature_dim_ = in;
    initialize(options.zero_init_residual);
  }

  EncoderOutput encode_images(const at::Tensor& images, const OutputRequest& request) override {
    EncoderOutput output;
    auto x = bn1_(conv1_(sobel_ ? sobel_(images) : images)).relu_();
    if (!small_stem_) x = torch::max_pool2d(x, 3, 2, 1);
    for (const auto& blocks : stages_) {
      for (const auto& block : blocks) x = block->forward(x);
      if (request.stages) output.stages.push_back(x);
    }
    output.pooled = x.mean({2, 3});
    return output;
  }

  std::int64_t feature_dim() const override { return feature_dim_; }

 private:
  void initialize(bool zero_init_residual) {
    for (const auto& module : modules(false)) {
      if (auto* conv = module->as<nn::Conv2dImpl>()) {
        nn::init::kaiming_normal_(conv->weight, 0, torch::kFanOut, torch::kReLU);
      }
    }
    // Each block is then the identity at first.
    if (!zero_init_residual) return;
    for (const auto& blocks : stages_)
      for (const auto& block : blocks) nn::init::zeros_(block->last_norm()->weight);
  }

  bool small_stem_;
  Sobel sobel_{nullptr};
  nn::Conv2d conv1_{nullptr};
  BatchNorm bn1_{nullptr};
  std::array<std::vector<std::shared_ptr<Block>>, 4> stages_;  // the blocks of layer1 .. layer4
  std::int64_t feature_dim_ = 0;
};

/// The kind of block, and the number of blocks of each stage (He et al., table 1).
struct Layout {
  int depth;
  bool bottleneck;
  std::array<int, 4> blocks;
};

const Layout& layout_of(int depth) {
  static constexpr std::array<Layout, 5> kAll{{{18, false, {2, 2, 2, 2}},
                                               {34, false, {3, 4, 6, 3}},
                                               {50, true, {3, 4, 6, 3}},
                                               {101, true, {3, 4, 23, 3}},
                                               {152, true, {3, 8, 36, 3}}}};
  const auto found = std::ranges::find(kAll, depth, &Layout::depth);
  if (found == kAll.end()) throw UsageError("there is no ResNet of depth ", depth, "; take 18, 34, 50, 101 or 152");
  return *found;
}

}  // namespace

std::shared_ptr<Encoder> make_resnet(int depth, const EncoderOptions& options) {
  if (options.stem != "imagenet" && options.stem != "small") {
    throw UsageError("no stem is called '", options.stem, "'", did_you_mean(options.stem, {"imagenet", "small"}),
                     "; --encoder.stem takes imagenet or small");
  }
  if (options.width < 1 || options.width > 1024)
    throw UsageError("--encoder.width is ", options.width, "; it must be 1 to 1024");
  if (options.in_channels < 1 || options.in_channels > 1024 || (options.sobel && options.in_channels != 3)) {
    throw UsageError("--encoder.in_channels is ", options.in_channels, "; it must be 1 to 1024, and 3 for Sobel");
  }
  const auto& layout = layout_of(depth);
  return std::make_shared<ResNet>(layout.bottleneck, layout.blocks, options);
}

std::optional<EncoderOptions> infer_resnet(int depth, const TensorShapes& shapes) {
  const auto shape_of = [&](const std::string& name) {
    const auto found = shapes.find(name);
    return found == shapes.end() ? std::vector<std::int64_t>() : found->second;
  };
  const auto stem = shape_of("conv1.weight");
  if (stem.size() != 4) return std::nullopt;
  // Count the blocks of each stage by their names; the number and kind of blocks must be those of `depth`.
  const auto& layout = layout_of(depth);
  std::array<int, 4> blocks{};
  for (int s = 0; s < 4; ++s)
    while (shapes.contains(concat("layer", s + 1, ".", blocks[s], ".conv1.weight"))) ++blocks[s];
  if (blocks != layout.blocks || shapes.contains("layer1.0.conv3.weight") != layout.bottleneck) return std::nullopt;
  EncoderOptions options{.arch = concat("resnet", depth), .width = stem[0]};
  // Check the width against the last stage too: a file with inconsistent shapes could otherwise make us allocate far more than it holds.
  const auto last = shape_of("layer4.0.conv2.weight");
  if (last.size() != 4 || last[0] != 8 * options.width || last[1] != 8 * options.width) return std::nullopt;
  options.sobel = shapes.contains("sobel.1.weight");
  options.in_channels = options.sobel ? 3 : stem[1];
  options.stem = stem[2] == 3 ? "small" : "imagenet";
  return options;
}

}  // namespace unlabel::ssl
