#pragma once

#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/options.h>

#include <nlohmann/json.hpp>
#include <opencv2/core/types.hpp>

#include <string>

namespace unlabel::augment {

// What several families of transforms share: types of options and of drawn parameters, their JSON, and checks of values.

// ---- Types of options ----

/// Height and width. In JSON an integer, for a square, or [height, width].
struct ImageSize {
  int height = 0;
  int width = 0;  ///< 0: as the height (Resize: the short side is `height`)
  bool operator==(const ImageSize&) const = default;
};

/// In JSON [low, high].
struct Range {
  double low = 0;
  double high = 1;
  bool operator==(const Range&) const = default;
};

/// Whose definitions a RandomResizedCrop or a ColorJitter has.
enum class Family {
  kTorchvision,  ///< geometry.h, resize.h, color.h
  kByol,         ///< of BYOL's released code; works on floats, so that all later steps do
};

void to_json(nlohmann::json& json, const ImageSize& size);
void from_json(const nlohmann::json& json, ImageSize& size);
void to_json(nlohmann::json& json, const Range& range);
void from_json(const nlohmann::json& json, Range& range);
void to_json(nlohmann::json& json, Interpolation value);
void from_json(const nlohmann::json& json, Interpolation& value);
void to_json(nlohmann::json& json, Border value);
void from_json(const nlohmann::json& json, Border& value);
void to_json(nlohmann::json& json, Sampling value);
void from_json(const nlohmann::json& json, Sampling& value);
void to_json(nlohmann::json& json, Family value);
void from_json(const nlohmann::json& json, Family& value);

// ---- Drawn parameters ----

/// Nothing random (Resize, CenterCrop, Grayscale, Normalize, Sobel).
struct NothingDrawn {
  bool operator==(const NothingDrawn&) const = default;
};

/// Whether the step happens (flip, gray, solarize).
struct DrawnChoice {
  bool apply = false;
  bool operator==(const DrawnChoice&) const = default;
};

/// RandomResizedCrop's box, in pixels of the image it is cut from.
struct DrawnBox {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  bool operator==(const DrawnBox&) const = default;
};

OptionTable table(NothingDrawn&);
OptionTable table(DrawnChoice&);
OptionTable table(DrawnBox&);

// ---- Checks ----

// All throw UsageError. Those of options begin its message with `where` and name the field.

/// p is in [0, 1].
void check_probability(double p, const std::string& where);

/// low < range.low <= range.high <= high.
void check_range(const char* field, Range range, double low, double high, const std::string& where);

/// A fraction of white.
void check_fill(double fill, const std::string& where);

/// The box lies in the image, and neither its width nor its height is below `least`.
void check_box(const DrawnBox& box, int least, cv::Size image);

}  // namespace unlabel::augment

namespace unlabel::detail {

/// How OptionTable reads the types above.
template <>
struct OptionType<augment::ImageSize> {
  static std::string name() { return "an integer or [height, width]"; }
  static bool accepts(const nlohmann::json& j) {
    if (OptionType<int>::accepts(j)) return true;
    return j.is_array() && j.size() == 2 && OptionType<int>::accepts(j[0]) && OptionType<int>::accepts(j[1]);
  }
};

template <>
struct OptionType<augment::Range> {
  static std::string name() { return "[low, high]"; }
  static bool accepts(const nlohmann::json& j) {
    return j.is_array() && j.size() == 2 && OptionType<double>::accepts(j[0]) && OptionType<double>::accepts(j[1]);
  }
};

template <>
struct OptionType<augment::Interpolation> {
  static std::string name() { return "'bilinear' or 'bicubic'"; }
  static bool accepts(const nlohmann::json& j) { return j == "bilinear" || j == "bicubic"; }
};

template <>
struct OptionType<augment::Border> {
  static std::string name() { return "'reflect' or 'zero'"; }
  static bool accepts(const nlohmann::json& j) { return j == "reflect" || j == "zero"; }
};

template <>
struct OptionType<augment::Sampling> {
  static std::string name() { return "'nearest' or 'bilinear'"; }
  static bool accepts(const nlohmann::json& j) { return j == "nearest" || j == "bilinear"; }
};

template <>
struct OptionType<augment::Family> {
  static std::string name() { return "'torchvision' or 'byol'"; }
  static bool accepts(const nlohmann::json& j) { return j == "torchvision" || j == "byol"; }
};

}  // namespace unlabel::detail
