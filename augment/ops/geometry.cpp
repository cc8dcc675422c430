#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/geometry.h>

#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

namespace unlabel::augment {

namespace {
/// To the nearest integer, halves to even: Python's round().
int round_even(double value) { return static_cast<int>(std::nearbyint(value)); }

/// A box of a random area and ratio of its sides, anywhere, which is no larger than `most`: the first that fits of ten. `upright`: the
/// ratio is height / width, else width / height.
std::optional<cv::Rect> random_box(cv::Size image, cv::Size most, double min_scale, double max_scale, double min_ratio,
                                   double max_ratio, bool upright, Random& random) {
  const double area = static_cast<double>(image.width) * image.height;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double target = area * random.uniform(min_scale, max_scale);
    const double ratio = std::exp(random.uniform(std::log(min_ratio), std::log(max_ratio)));
    double exact_width = std::sqrt(target * ratio), exact_height = std::sqrt(target / ratio);
    if (upright) std::swap(exact_width, exact_height);
    if (exact_width > image.width + 1.0 || exact_height > image.height + 1.0) continue;
    const int width = round_even(exact_width), height = round_even(exact_height);
    if (width < 1 || width > most.width || height < 1 || height > most.height) continue;
    const int y = static_cast<int>(random.below(image.height - height + 1));
    const int x = static_cast<int>(random.below(image.width - width + 1));
    return cv::Rect(x, y, width, height);
  }
  return std::nullopt;
}

}  // namespace

cv::Rect random_resized_crop_box(cv::Size image, double min_scale, double max_scale, double min_ratio, double max_ratio,
                                 Random& random) {
  const auto box = random_box(image, image, min_scale, max_scale, min_ratio, max_ratio, /*upright=*/false, random);
  if (box) return *box;
  int width = image.width, height = image.height;
  const double ratio = static_cast<double>(width) / height;
  if (ratio < min_ratio) height = std::max(1, round_even(width / min_ratio));
  if (ratio > max_ratio) width = std::max(1, round_even(height * max_ratio));
  return {(image.width - width) / 2, (image.height - height) / 2, width, height};
}

cv::Rect byol_crop_box(cv::Size image, double min_scale, double max_scale, double min_ratio, double max_ratio,
                       Random& random) {
  const double area = static_cast<double>(image.width) * image.height * random.uniform(min_scale, max_scale);
  const double ratio = std::exp(random.uniform(std::log(min_ratio), std::log(max_ratio)));
  const auto side = [](double exact, int most) { return std::max(1, round_even(std::min<double>(exact, most))); };
  const int width = side(std::sqrt(area * ratio), image.width), height = side(std::sqrt(area / ratio), image.height);
  const int x = static_cast<int>(random.below(image.width - width + 1));
  const int y = static_cast<int>(random.below(image.height - height + 1));
  return {x, y, width, height};
}

cv::Rect random_erasing_box(cv::Size image, double min_scale, double max_scale, double min_ratio, double max_ratio,
                            Random& random) {
  return random_box(image, {image.width - 1, image.height - 1}, min_scale, max_scale, min_ratio, max_ratio,
                    /*upright=*/true, random)
      .value_or(cv::Rect());
}

cv::Size short_side_size(cv::Size image, int short_side) {
  const bool upright = image.width <= image.height;
  const double short_in = upright ? image.width : image.height, long_in = upright ? image.height : image.width;
  const double long_side = std::floor(short_side * long_in / short_in);
  if (long_side > std::numeric_limits<int>::max())
    throw Error("cannot resize ", image.width, " x ", image.height, " pixels to a short side of ", short_side,
                ": the image is too long for its width");
  return upright ? cv::Size(short_side, static_cast<int>(long_side))
                 : cv::Size(static_cast<int>(long_side), short_side);
}

cv::Rect center_crop_box(cv::Size image, cv::Size size) {
  // A negative offset means zeros before the image; torchvision pads the smaller half first.
  const auto offset = [](int in, int crop) { return crop > in ? -((crop - in) / 2) : round_even((in - crop) / 2.0); };
  return {offset(image.width, size.width), offset(image.height, size.height), size.width, size.height};
}

void center_crop(const cv::Mat& image, cv::Size size, cv::Mat& out) {
  const cv::Rect wanted = center_crop_box(image.size(), size);
  const cv::Rect there = wanted & cv::Rect(0, 0, image.cols, image.rows);
  out.create(size, image.type());
  if (there.size() != size) out.setTo(cv::Scalar::all(0));
  cv::Mat target = out(there - wanted.tl());
  image(there).copyTo(target);
}

void horizontal_flip(const cv::Mat& image, cv::Mat& out) { cv::flip(image, out, 1); }

void pad_shift(const cv::Mat& image, int pad, int x, int y, cv::Mat& out) {
  if (pad < 0 || x < 0 || y < 0 || x > 2 * pad || y > 2 * pad)
    throw UsageError("pad_shift: offset (", x, ", ", y, ") is outside [0, ", 2 * pad, "]");
  out.create(image.size(), image.type());
  const int shift = x - pad, pixel = static_cast<int>(image.elemSize());
  // Columns [begin, end) of the result come from the image, the rest repeats its first or last column.
  const int begin = std::clamp(-shift, 0, image.cols), end = std::clamp(image.cols - shift, begin, image.cols);
  for (int row = 0; row < image.rows; ++row) {
    const uchar* from = image.ptr(std::clamp(row + y - pad, 0, image.rows - 1));
    uchar* to = out.ptr(row);
    for (int column = 0; column < begin; ++column) std::memcpy(to + column * pixel, from, pixel);
    std::memcpy(to + begin * pixel, from + (begin + shift) * pixel, static_cast<std::size_t>(end - begin) * pixel);
    for (int column = end; column < image.cols; ++column)
      std::memcpy(to + column * pixel, from + (image.cols - 1) * pixel, pixel);
  }
}

}  // namespace unlabel::augment
