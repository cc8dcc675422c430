#include <unlabel/augment/codec/levels.h>

#include <opencv2/core.hpp>

namespace unlabel::augment {

namespace {

/// By loops of our own: OpenCV's conversions start threads.
template <class Sample, class Level>
void convert(const cv::Mat& image, const Level& level, cv::Mat& rgb) {
  const int channels = image.channels();
  for (int y = 0; y < image.rows; ++y) {
    const auto* in = image.ptr<Sample>(y);
    auto* out = rgb.ptr(y);
    for (int x = 0; x < image.cols; ++x, in += channels, out += 3) {
      if (channels == 1) {
        out[0] = out[1] = out[2] = level(in[0]);
      } else {
        for (int c = 0; c < 3; ++c) out[c] = level(in[c]);
      }
    }
  }
}

}  // namespace

LevelMap::LevelMap(const std::optional<std::array<double, 2>>& range) : ranged_(range.has_value()) {
  if (!range) return;
  const auto [low, high] = *range;
  if (!(low < high) || !std::isfinite(high - low))
    throw UsageError("'range' takes two numbers, low < high, not ", low, " and ", high);
  low_ = low;
  scale_ = 255 / (high - low);
}

void LevelMap::add_to(DecodeReport* report) const {
  if (report && !ranged_ && lowest_ <= highest_) *report += {.deep_images = 1, .lowest = lowest_, .highest = highest_};
}

cv::Mat to_rgb8(const cv::Mat& image, const std::optional<std::array<double, 2>>& range, DecodeReport* report) {
  const int channels = image.channels(), depth = image.depth();
  if (image.empty() || image.dims != 2 || (channels != 1 && channels != 3 && channels != 4))
    throw UsageError("pixels have 1 (gray), 3 (RGB) or 4 (RGB and alpha) channels, not ", channels);
  cv::Mat rgb(image.size(), CV_8UC3);
  if (depth == CV_8U) {
    convert<std::uint8_t>(
        image, [](std::uint8_t level) { return level; }, rgb);
    return rgb;
  }
  LevelMap levels(range);
  if (depth == CV_16U) {
    convert<std::uint16_t>(
        image, [&](auto sample) { return levels(sample); }, rgb);
    levels.add_to(report);
    return rgb;
  }
  if (depth != CV_8S && depth != CV_16S && depth != CV_32S && depth != CV_32F && depth != CV_64F)
    throw UsageError("pixels of OpenCV's depth ", depth, " are not taken");
  if (!levels.ranged())
    throw UsageError(
        "pixels that are signed or floating-point have no levels of their own: give their range (low, high)");
  const auto level = [&](auto sample) { return levels(sample); };
  if (depth == CV_8S) convert<std::int8_t>(image, level, rgb);
  if (depth == CV_16S) convert<std::int16_t>(image, level, rgb);
  if (depth == CV_32S) convert<std::int32_t>(image, level, rgb);
  if (depth == CV_32F) convert<float>(image, level, rgb);
  if (depth == CV_64F) convert<double>(image, level, rgb);
  return rgb;
}

}  // namespace unlabel::augment
