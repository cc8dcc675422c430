#pragma once

#include <opencv2/core/mat.hpp>
#include <opencv2/core/types.hpp>

#include <array>

namespace unlabel::augment {

/// How values between pixels are computed; neither is antialiased.
enum class Sampling { kNearest, kBilinear };

/// From points of the output to points of the input: (x, y) of the output is (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]) of the input,
/// in pixels from the upper left corner; the middle of the first pixel is (1/2, 1/2).
using AffineMatrix = std::array<double, 6>;

/// An affine transform: the image is sheared, scaled and rotated about a point, and then translated.
struct AffineChange {
  double angle = 0;         ///< degrees, clockwise
  cv::Point2d translate{};  ///< pixels to the right and down
  double scale = 1;
  double shear_x = 0, shear_y = 0;  ///< degrees
};

/// The matrix of torchvision.transforms.functional.affine (v1), about `center` (torchvision: half of width and height unless it is given),
/// to the last bit. That of torchvision.transforms.v2 is the same but for its roundings.
AffineMatrix affine_matrix(const AffineChange& change, cv::Point2d center);

/// The matrix of PIL's Image.rotate: about the middle of the image, counter-clockwise by degrees.
AffineMatrix rotation_matrix(double angle, cv::Size image);

/// Transforms an image to one of the same size and type, CV_8U or CV_32F with any number of channels; pixels from outside the input are
/// `fill`, a fraction of white (1: 255, or 1.0). On 8 bits the result is PIL's Image.transform(size, AFFINE, matrix), bit by bit. `out` may
/// be `image`. Throws UsageError for other types and for numbers in the matrix that are not finite or above 1e12.
void affine(const cv::Mat& image, const AffineMatrix& matrix, Sampling sampling, double fill, cv::Mat& out);

}  // namespace unlabel::augment
