#pragma once

#include <unlabel/ssl/models/encoder.h>

#include <vector>

namespace unlabel::ssl {

/// The features of crops, one after another: consecutive crops of one size share a forward pass, so that batch statistics are those of
/// one size (as the released codes of SwAV and DeepCluster-v2). Crops of n x C x H x W each; (crops * n) x feature_dim().
at::Tensor forward_multi_crop(ImageEncoder& encoder, const std::vector<at::Tensor>& crops);

}  // namespace unlabel::ssl
