#pragma once

#include <unlabel/ssl/models/encoder.h>

#include <vector>

namespace unlabel::ssl {

/// The features of several crops of n samples: `crops` are n x C x H x W each, the result is (crops * n) x feature_dim(), crop by crop.
/// Consecutive crops of equal size share one forward pass, so BatchNorm statistics are taken over crops of one size, as in the released
/// code of SwAV and DeepCluster-v2.
at::Tensor forward_multi_crop(ImageEncoder& encoder, const std::vector<at::Tensor>& crops);

}  // namespace unlabel::ssl
