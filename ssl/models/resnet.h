#pragma once

#include <unlabel/ssl/models/encoder.h>

#include <memory>
#include <optional>

namespace unlabel::ssl {

/// A residual network without its classifier (He et al. 2016, arXiv:1512.03385, table 1), equal to torchvision's:
///
///     images -> conv1 -> bn1 -> ReLU [-> 3x3 max pooling, stride 2] -> layer1 .. layer4 -> mean over all pixels
///
/// Depth 18 and 34: basic blocks of two 3x3 convolutions. Depth 50, 101 and 152: bottlenecks of 1x1, 3x3 and 1x1 convolutions, the last
/// with four times the channels, and with the stride on the 3x3 one ("v1.5"). Stage s = 0 ... 3 has `width` * 2^s channels, so the feature
/// has 8 * width dimensions, or 32 * width with bottlenecks (512 and 2048 at width 64). Convolutions have no bias; a BatchNorm
/// (batch_norm.h) follows each. With `options.stem` "small", conv1 is 3x3 with stride 1 and there is no max pooling (SimCLR,
/// arXiv:2002.05709, appendix B.9).
///
/// Parameters and buffers have torchvision's names and shapes: conv1.weight, bn1.running_mean, layer1.0.conv1.weight,
/// layer1.0.downsample.0.weight ... Initialization: convolutions N(0, 2 / fan_out), BatchNorm weight 1 and bias 0; with
/// `options.zero_init_residual` the weight of the last BatchNorm of each block is 0 (Goyal et al. 2017, arXiv:1706.02677, section 5.1).
/// With `options.sobel` the input is edges (sobel.h): the network then also has buffers `sobel.*`, and conv1 has two input channels.
///
/// `options.arch` is ignored. Throws UsageError for an unknown depth or stem, and for a width or number of channels out of range.
std::shared_ptr<Encoder> make_resnet(int depth, const EncoderOptions& options);

/// The options of the ResNet of that depth with weights of these names and shapes; nullopt if they belong to another network
/// (EncoderSpec::infer).
std::optional<EncoderOptions> infer_resnet(int depth, const TensorShapes& shapes);

}  // namespace unlabel::ssl
