#pragma once

#include <unlabel/ssl/models/encoder.h>

#include <memory>
#include <optional>

namespace unlabel::ssl {

/// A residual network without its classifier (He et al. 2016, arXiv:1512.03385, table 1), as torchvision builds it:
///
///     images -> conv1 -> bn1 -> ReLU [-> 3x3 max pooling, stride 2] -> layer1 .. layer4 -> mean over all pixels
///
/// depth 18, 34: basic blocks of two 3x3 convolutions; 50, 101, 152: bottlenecks 1x1, 3x3, 1x1 with four times the
/// channels at the end and the stride on the 3x3 ("v1.5"). Stage s has `width` * 2^s channels, so that the feature has
/// 8 * width of them, or 32 * width after bottlenecks (512 and 2048 at width 64). Every convolution is without bias and
/// followed by a BatchNorm of ours.
///
/// Parameters and buffers carry torchvision's names and shapes: conv1.weight, bn1.running_mean, layer1.0.conv1.weight,
/// layer1.0.downsample.0.weight ... Convolutions start from N(0, 2 / fan_out), norms from weight 1 and bias 0; with
/// `options.zero_init_residual` the last norm of every block starts from weight 0 (Goyal et al. 2017, arXiv:1706.02677,
/// section 5.1). With `options.sobel` the network sees edges (sobel.h): then it has a `sobel.*` too, and conv1 two channels.
///
/// `options.arch` is not looked at: `depth` decides. Throws UsageError for a depth, stem, width or number of channels
/// that there is not.
std::shared_ptr<Encoder> make_resnet(int depth, const EncoderOptions& options);

/// The options of the ResNet of that depth whose names and shapes these are (EncoderSpec::infer).
std::optional<EncoderOptions> infer_resnet(int depth, const TensorShapes& shapes);

}  // namespace unlabel::ssl
