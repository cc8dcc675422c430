#pragma once

#include <opencv2/core/mat.hpp>

#include <span>

namespace unlabel::augment {

/// 8-bit values to floats in [0, 1]; floats are copied.
void to_float(const cv::Mat& image, cv::Mat& out);

/// (image - mean) / std by channel, on floats, with one mean and one standard deviation a channel. `out` may be `image`.
void normalize(const cv::Mat& image, std::span<const double> mean, std::span<const double> std, cv::Mat& out);

/// Writes an image of interleaved channels as float planes, one channel after the other (CHW): values in [0, 1], then
/// (x - mean) / std where mean and std are not empty. Equals torchvision's ToTensor and Normalize.
void to_planes(const cv::Mat& image, std::span<const double> mean, std::span<const double> std, float* out);

}  // namespace unlabel::augment
