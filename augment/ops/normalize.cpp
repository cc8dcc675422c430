#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/normalize.h>

#include <array>
#include <cstdint>

namespace unlabel::augment {

namespace {

void check(const cv::Mat& image, std::span<const double> mean, std::span<const double> std) {
  if (image.depth() != CV_8U && image.depth() != CV_32F) throw UsageError("expected an 8-bit or a float image");
  const auto channels = static_cast<std::size_t>(image.channels());
  if (mean.size() != std.size() || (!mean.empty() && mean.size() != channels))
    throw UsageError("an image of ", channels, " channels needs as many means and standard deviations, not ",
                     mean.size(), " and ", std.size());
}

}  // namespace

void to_float(const cv::Mat& image, cv::Mat& out) {
  if (image.depth() == CV_32F) {
    image.copyTo(out);
    return;
  }
  check(image, {}, {});
  const cv::Mat in = image;  // keeps the pixels when `out` is `image`
  out.create(in.size(), CV_MAKETYPE(CV_32F, in.channels()));
  for (int y = 0; y < in.rows; ++y)
    for (int i = 0; i < in.cols * in.channels(); ++i)
      out.ptr<float>(y)[i] = static_cast<float>(in.ptr<std::uint8_t>(y)[i]) / 255.0f;
}

void normalize(const cv::Mat& image, std::span<const double> mean, std::span<const double> std, cv::Mat& out) {
  check(image, mean, std);
  if (image.depth() != CV_32F) throw UsageError("normalize takes float images");
  if (mean.empty()) throw UsageError("normalize needs a mean and a standard deviation a channel");
  out.create(image.size(), image.type());
  const int channels = image.channels();
  for (int y = 0; y < image.rows; ++y)
    for (int x = 0; x < image.cols; ++x)
      for (int c = 0; c < channels; ++c)
        out.ptr<float>(y)[x * channels + c] =
            (image.ptr<float>(y)[x * channels + c] - static_cast<float>(mean[c])) / static_cast<float>(std[c]);
}

void to_planes(const cv::Mat& image, std::span<const double> mean, std::span<const double> std, float* out) {
  check(image, mean, std);
  const int channels = image.channels();
  for (int c = 0; c < channels; ++c) {
    const float m = mean.empty() ? 0.0f : static_cast<float>(mean[c]);
    const float s = std.empty() ? 1.0f : static_cast<float>(std[c]);
    std::array<float, 256> table;
    if (image.depth() == CV_8U)
      for (int value = 0; value < 256; ++value) table[value] = (static_cast<float>(value) / 255.0f - m) / s;
    for (int y = 0; y < image.rows; ++y, out += image.cols) {
      if (image.depth() == CV_8U) {
        const std::uint8_t* in = image.ptr<std::uint8_t>(y) + c;
        for (int x = 0; x < image.cols; ++x) out[x] = table[in[x * channels]];
      } else {
        const float* in = image.ptr<float>(y) + c;
        for (int x = 0; x < image.cols; ++x) out[x] = (in[x * channels] - m) / s;
      }
    }
  }
}

}  // namespace unlabel::augment
