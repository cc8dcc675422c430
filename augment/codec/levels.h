#pragma once

#include <unlabel/augment/codec/decode.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <type_traits>

namespace unlabel::augment {

/// Samples of more than 8 bits, or signed ones, as levels 0 to 255, by the rule of DecodeOptions::range. One object for each image.
class LevelMap {
 public:
  /// Throws UsageError unless low < high.
  explicit LevelMap(const std::optional<std::array<double, 2>>& range);

  /// Without a range for uint16_t only. Not a number is `low`.
  template <class Sample>
  std::uint8_t operator()(Sample sample) {
    if constexpr (std::is_same_v<Sample, std::uint16_t>) {
      if (!ranged_) {
        lowest_ = std::min<int>(lowest_, sample);
        highest_ = std::max<int>(highest_, sample);
        return static_cast<std::uint8_t>(sample >> 8);
      }
    }
    const double level = (static_cast<double>(sample) - low_) * scale_;
    return !(level > 0) ? 0 : level >= 255 ? 255 : static_cast<std::uint8_t>(level + 0.5);
  }

  bool ranged() const { return ranged_; }

  /// Adds the image to `report`, if there is one and the image's levels were not given by a range.
  void add_to(DecodeReport* report) const;

 private:
  bool ranged_;
  double low_ = 0, scale_ = 1;
  int lowest_ = 65535, highest_ = 0;
};

/// CV_8UC3 of an image of 1, 3 or 4 channels of any depth: gray is repeated, a fourth channel dropped. Throws UsageError for others, and
/// for samples that need a range and have none.
cv::Mat to_rgb8(const cv::Mat& image, const std::optional<std::array<double, 2>>& range, DecodeReport* report);

}  // namespace unlabel::augment
