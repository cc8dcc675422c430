#pragma once

#include <opencv2/core/mat.hpp>

namespace unlabel::augment {

// The order of an image's channels. cv::cvtColor would do the same, but on large images it starts OpenCV's pool of threads,
// and the number of threads is the caller's choice.

/// From BGR or BGRA to RGB, as a new image of CV_8UC3; of RGB it makes BGR. Alpha is left out. Throws UsageError for other types.
cv::Mat reversed_channels(const cv::Mat& image);

}  // namespace unlabel::augment
