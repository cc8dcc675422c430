#pragma once

#include <opencv2/core/mat.hpp>

#include <cstdint>

namespace unlabel::augment {

enum class Interpolation { kBilinear, kBicubic };

/// The most pixels that resizing makes.
inline constexpr std::int64_t kMaxPixels = std::int64_t{1} << 27;

/// Throws Error: an image of that size cannot be resized to `size`, as that has more than kMaxPixels.
[[noreturn]] void refuse_pixels(cv::Size image, cv::Size size);

/// Resizes with an antialiased filter: the triangle (bilinear, support 1) or Keys' cubic with a = -1/2 (bicubic,
/// support 2), widened by the scale when the image shrinks, so that every input pixel counts. No OpenCV flag does this.
///
/// Output pixel o takes center c = (o + 1/2) s with s = in/out, and the input pixels within max(s, 1) * support of c,
/// weighted w_i = f((i + 1/2 - c) / max(s, 1)) / sum. The width is changed first, except where h_in > h_out and h_in -
/// h_out > 2 (w_in - w_out).
///
/// 8-bit images (any number of channels) are bit-equal to PIL.Image.resize of Pillow 13 (earlier versions always change
/// the width first, which differs by a level here and there): weights in 22-bit fixed point, rounded and clamped to 8
/// bits after each of the two passes. Float images agree with torchvision's resize of a float tensor with
/// antialias=True; bicubic may overshoot [0, 1] there, as in torchvision. `image` may be a region of a larger one;
/// pixels outside it are not read (torchvision's crop-then-resize). `out` is (re)allocated unless it already fits, and
/// must not share memory with `image`.
/// Throws Error when more than kMaxPixels would be made.
void resize(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out);

/// The pixels in `region` of the result of `resize`, bit-equal, without computing the others: only the region counts against kMaxPixels.
/// Throws UsageError when it does not lie within `size`.
void resize_region(const cv::Mat& image, cv::Size size, cv::Rect region, Interpolation interpolation, cv::Mat& out);

/// Resizes as tf.image.resize of TensorFlow 2 does unless it is asked for antialiasing: however much the image shrinks, an output takes 2
/// (bilinear) or 4 (bicubic: Keys' cubic with a = -1/2, its argument rounded to 1/1024) inputs along each axis, around (o + 1/2) in/out -
/// 1/2. A cubic's inputs beyond the border are left out, and the weights of the others scaled to the sum 1. In floats, the columns first;
/// overshoots are not clamped. Of 8 bits or floats to floats, in the same unit, to 1e-6 of the values. `out` must not share memory
/// with `image`.
void resize_sampled(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out);

}  // namespace unlabel::augment
