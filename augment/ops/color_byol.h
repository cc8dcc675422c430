#pragma once

#include <opencv2/core/mat.hpp>

namespace unlabel::augment::byol {

// Color operations as BYOL's published code defines them (Grill et al. 2020, arXiv:2006.07733, appendix B;
// deepmind-research/byol). They are other functions than torchvision's of the same names: brightness is added, contrast
// turns about the mean of each channel, saturation scales S of HSV. On CV_32FC3 in [0, 1] only; results are clamped to
// [0, 1]. `out` may be `image`. Amounts must be finite: UsageError otherwise.

/// image + delta.
void adjust_brightness(const cv::Mat& image, double delta, cv::Mat& out);

/// factor * (image - m) + m with m the mean of each channel.
void adjust_contrast(const cv::Mat& image, double factor, cv::Mat& out);

/// S of HSV times `factor`, clamped to [0, 1].
void adjust_saturation(const cv::Mat& image, double factor, cv::Mat& out);

/// H of HSV plus `delta` turns.
void adjust_hue(const cv::Mat& image, double delta, cv::Mat& out);

}  // namespace unlabel::augment::byol
