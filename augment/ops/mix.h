#pragma once

#include <unlabel/augment/random.h>

#include <opencv2/core/types.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

// MixUp and CutMix of a batch with itself: sample i with sample i - 1, the first with the last, as torchvision's v2.MixUp and v2.CutMix do
// it. A batch is n x C x H x W floats; both work in place. One draw serves a batch, from a Random of the batch's own key.

/// A number from Beta(alpha, alpha), in [0, 1]: the share that a sample keeps. alpha must be above 0 and at most 1e6: UsageError.
double draw_share(double alpha, Random& random);

/// x_i = share x_i + (1 - share) x_(i - 1) (Zhang et al. 2018, arXiv:1710.09412, eq. 1).
void mixup(std::span<float> batch, std::int64_t samples, double share);

/// The box of a CutMix for a share drawn before (Yun et al. 2019, arXiv:1905.04899, eq. 2, 3): with its center anywhere, sides of
/// sqrt(1 - share) of the image's, cut off at the border.
cv::Rect cutmix_box(double share, cv::Size image, Random& random);

/// Copies the box from x_(i - 1), and returns the share of x_i's pixels that are left: the weight of its label.
double cutmix(std::span<float> batch, std::int64_t samples, int channels, cv::Size image, cv::Rect box);

/// Labels of such a batch, samples x classes: share for sample i's own label, the rest for that of i - 1. Throws UsageError for a label
/// outside of [0, classes) or a share outside of [0, 1].
void mix_labels(std::span<const std::int64_t> labels, std::int64_t classes, double share, std::span<float> out);

}  // namespace unlabel::augment
