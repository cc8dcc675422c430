#pragma once

#include <unlabel/ssl/models/encoder.h>

#include <memory>
#include <optional>

namespace unlabel::ssl {

/// AlexNet with BatchNorm, as in DeepCluster's released code (Caron et al. 2018, arXiv:1807.05520; Krizhevsky et al. 2012): convolutions of
/// 96 (11x11, stride 4), 256 (5x5), 384, 384 and 256 (3x3) channels, each with BatchNorm and ReLU; 3x3 max pooling of stride 2 after the
/// first, second and fifth; then dropout, Linear(4096), ReLU, dropout, Linear(4096). The feature map before the linear layers has 6 x 6
/// pixels.
///
/// VGG-16 with BatchNorm (Simonyan & Zisserman 2015, configuration D); at the end Linear(4096), ReLU, dropout, Linear(4096). The feature
/// map before the linear layers has 7 x 7 pixels.
///
/// Both take images of 224 x 224 pixels. Their feature (n x 64 width, so 4096 at width 64) is the output of the last Linear without ReLU,
/// the one that DeepCluster clusters. All numbers of channels above are multiplied by width / 64. With `options.sobel` the input is edges
/// (sobel.h), as published. Names are the released code's: `features.N`, `classifier.N`, `sobel.N`. Initialization: convolutions
/// N(0, 2 / fan_out), linear layers N(0, 0.01^2), biases 0.
///
/// make_* throw UsageError for a width or number of channels out of range; forward throws it for images of another size. `options.stem` and
/// `options.zero_init_residual` are ignored.
std::shared_ptr<Encoder> make_alexnet(const EncoderOptions& options);
std::shared_ptr<Encoder> make_vgg16(const EncoderOptions& options);

/// The options of the AlexNet or VGG-16 with weights of these names and shapes; nullopt if they belong to another network
/// (EncoderSpec::infer).
std::optional<EncoderOptions> infer_alexnet(const TensorShapes& shapes);
std::optional<EncoderOptions> infer_vgg16(const TensorShapes& shapes);

}  // namespace unlabel::ssl
