#pragma once

#include <opencv2/core/mat.hpp>

namespace unlabel::augment {

// Color operations as torchvision defines them, on RGB images: CV_8UC3, or CV_32FC3 in [0, 1].
//
// On 8 bits the results equal torchvision's functions on PIL images bit by bit; on floats those on float tensors (to
// 1e-5). Every result is clamped to the range of its type. `out` may be `image`; it is (re)allocated unless it already
// fits.

/// Gray by ITU-R 601, repeated three times: .299 R + .587 G + .114 B in 16-bit fixed point (PIL), .2989 in floats
/// (torchvision).
void grayscale(const cv::Mat& image, cv::Mat& out);

/// The same into one channel.
void to_gray(const cv::Mat& image, cv::Mat& out);

// Factors must be finite and at least 0: UsageError otherwise.

/// factor * image.
void adjust_brightness(const cv::Mat& image, double factor, cv::Mat& out);

/// factor * image + (1 - factor) * m, where m is the mean of the image's gray (rounded to an integer on 8 bits, as PIL
/// does).
void adjust_contrast(const cv::Mat& image, double factor, cv::Mat& out);

/// factor * image + (1 - factor) * gray.
void adjust_saturation(const cv::Mat& image, double factor, cv::Mat& out);

/// Shifts the hue in HSV by `shift` turns, in [-1/2, 1/2]. On 8 bits H, S and V are 8-bit numbers and H moves by
/// trunc(255 shift), modulo 256 (PIL's arithmetic).
void adjust_hue(const cv::Mat& image, double shift, cv::Mat& out);

/// x < threshold ? x : 1 - x, where 1 is the greatest value of the type; `threshold` is a fraction of it,
/// in [0, 1]: UsageError otherwise. 0.5 is PIL's 128.
void solarize(const cv::Mat& image, double threshold, cv::Mat& out);

}  // namespace unlabel::augment
