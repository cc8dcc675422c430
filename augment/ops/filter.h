#pragma once

#include <opencv2/core/mat.hpp>

#include <vector>

namespace unlabel::augment {

/// The values beyond the image.
enum class Border {
  kReflect,  ///< the image mirrored about its outermost pixels (torchvision)
  kZero,     ///< zeros (BYOL's "SAME" convolution)
};

/// How many pixels a blur reaches to each side: (size - 1) / 2, and for size 0 ceil(3.5 sigma), beyond which nothing changes an 8-bit
/// image.
int gaussian_radius(double sigma, int size);

/// The weights exp(-x^2 / 2 sigma^2), x = -r..r with r = gaussian_radius, that sum to 1.
std::vector<float> gaussian_kernel(double sigma, int size = 0);

/// The same into a vector that is reused.
void gaussian_kernel(double sigma, int size, std::vector<float>& weights);

/// Gaussian blur, separable, any number of channels; 8-bit results are rounded once, at the end. Agrees with
/// torchvision's gaussian_blur (reflecting border) and with BYOL's (zero border). `out` may be `image`.
void gaussian_blur(const cv::Mat& image, double sigma, int size, Border border, cv::Mat& out);

/// DeepCluster's fixed input layers (Caron et al. 2018, arXiv:1807.05520): the mean of the channels, then the
/// horizontal and the vertical 3x3 Sobel filter, [1 0 -1; 2 0 -2; 1 0 -1] and its transpose, with zero padding.
/// CV_32FC3, normalized, to CV_32FC2. `out` must not share memory with `image`.
void sobel(const cv::Mat& image, cv::Mat& out);

}  // namespace unlabel::augment
