#pragma once

#include <unlabel/ssl/models/encoder.h>

#include <memory>
#include <optional>

namespace unlabel::ssl {

/// AlexNet with BatchNorm as DeepCluster has it (Caron et al. 2018, arXiv:1807.05520, and its code; Krizhevsky et al. 2012): convolutions
/// of 96 (11x11, stride 4), 256 (5x5), 384, 384 and 256 (3x3) channels, each with a BatchNorm and ReLU, 3x3 max pooling of stride 2
/// after the first, second and fifth; then dropout, 4096, ReLU, dropout, 4096. Images of 224 x 224, which leave 6 x 6 pixels.
///
/// VGG-16 with BatchNorm (Simonyan & Zisserman 2015, configuration D): 4096, ReLU, dropout, 4096 at the end. Images of 224 x 224,
/// which leave 7 x 7 pixels.
///
/// The feature is the last layer before its ReLU, as DeepCluster clusters it. All channels are those above times width / 64. With
/// `options.sobel` they see edges (sobel.h), as published. Names are the released code's: `features.N`, `classifier.N`, `sobel.N`.
/// Convolutions start from N(0, 2 / fan_out), linear layers from N(0, 0.01^2), biases from 0.
///
/// forward throws UsageError for images of another size. `options.stem` and `zero_init_residual` are not looked at.
std::shared_ptr<Encoder> make_alexnet(const EncoderOptions& options);
std::shared_ptr<Encoder> make_vgg16(const EncoderOptions& options);

/// The options of the one whose names and shapes these are (EncoderSpec::infer).
std::optional<EncoderOptions> infer_alexnet(const TensorShapes& shapes);
std::optional<EncoderOptions> infer_vgg16(const TensorShapes& shapes);

}  // namespace unlabel::ssl
