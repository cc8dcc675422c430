#pragma once

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <vector>

namespace unlabel::augment {

/// A PNG of an image as decode gives it: CV_8UC3 in RGB order, or CV_8UC1. Throws UsageError for other types and for an empty image.
std::vector<std::uint8_t> encode_png(const cv::Mat& image);

}  // namespace unlabel::augment
