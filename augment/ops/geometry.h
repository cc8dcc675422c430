#pragma once

#include <unlabel/augment/random.h>

#include <opencv2/core/mat.hpp>

namespace unlabel::augment {

/// Draws the box of a random resized crop (Szegedy et al. 2015, arXiv:1409.4842, section 6; torchvision's
/// RandomResizedCrop.get_params): area = H W U(scale), ratio = exp U(log ratio), w = round(sqrt(area ratio)), h =
/// round(sqrt(area / ratio)), position uniform. Boxes that do not fit are drawn again, ten times; then the central crop
/// with the image's ratio clamped to the range.
cv::Rect random_resized_crop_box(cv::Size image, double min_scale, double max_scale, double min_ratio, double max_ratio,
                                 Random& random);

/// Draws the box of BYOL's released code (deepmind-research/byol/utils/dataset.py): area and ratio as above, once; a width above the
/// image's becomes the image's, and so does a height, so that many boxes are as high or as wide as the image. At least one pixel.
cv::Rect byol_crop_box(cv::Size image, double min_scale, double max_scale, double min_ratio, double max_ratio,
                       Random& random);

/// Draws the box of a random erasing (Zhong et al. 2020, arXiv:1708.04896, algorithm 1; torchvision's RandomErasing.get_params): area = H
/// W U(scale), ratio = exp U(log ratio), h = round(sqrt(area ratio)), w = round(sqrt(area / ratio)), anywhere. Boxes that are not smaller
/// than the image are drawn again, ten times; then it is empty.
cv::Rect random_erasing_box(cv::Size image, double min_scale, double max_scale, double min_ratio, double max_ratio,
                            Random& random);

/// The size at which the short side is `short_side` long and the ratio is kept (the long side is rounded down, as in
/// torchvision).
/// Throws Error when the long side is beyond 2^31 - 1; there may be more pixels than `resize` makes.
cv::Size short_side_size(cv::Size image, int short_side);

/// The central `size` pixels of an image, as center_crop has them; where the image is smaller, more than the image.
cv::Rect center_crop_box(cv::Size image, cv::Size size);

/// Copies the central `size` pixels, offset round((H - h) / 2) with halves to even as in torchvision; where the image
/// is smaller it is padded with zeros on both sides.
void center_crop(const cv::Mat& image, cv::Size size, cv::Mat& out);

/// Mirrors left and right. `out` may be `image`.
void horizontal_flip(const cv::Mat& image, cv::Mat& out);

/// DrQ's random shift (Kostrikov et al. 2020, arXiv:2004.13649, section 4.1): pads every side by `pad` pixels of the
/// border's value and crops the original size at (x, y), both in [0, 2 pad]. (pad, pad) gives the image back. An exact
/// copy of pixels: the integer shift that DrQ-v2's grid_sample also computes. Any type, any number of channels; `out`
/// must not share memory with `image`.
void pad_shift(const cv::Mat& image, int pad, int x, int y, cv::Mat& out);

}  // namespace unlabel::augment
