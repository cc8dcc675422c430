#pragma once

#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/random.h>

#include <nlohmann/json.hpp>
#include <opencv2/core/types.hpp>

#include <array>
#include <string>

namespace unlabel::augment {

struct ImageInfo;  // work_image.h
class WorkImage;

// What transforms share: types of their options, types of their parameters, and checks of values.

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

/// Which implementation's definition a RandomResizedCrop or a ColorJitter follows.
enum class Family {
  kTorchvision,  ///< geometry.h, resize.h, color.h
  kByol,         ///< BYOL's released code; works on floats, so all later steps do
};

void to_json(nlohmann::json& json, const ImageSize& size);
void from_json(const nlohmann::json& json, ImageSize& size);
void to_json(nlohmann::json& json, const Range& range);
void from_json(const nlohmann::json& json, Range& range);

/// The names in JSON of an enum with two values, in the order of the values.
template <class Enum>
inline constexpr std::array<const char*, 0> kEnumNames{};
template <>
inline constexpr std::array kEnumNames<Interpolation>{"bilinear", "bicubic"};
template <>
inline constexpr std::array kEnumNames<Border>{"reflect", "zero"};
template <>
inline constexpr std::array kEnumNames<Sampling>{"nearest", "bilinear"};
template <>
inline constexpr std::array kEnumNames<Family>{"torchvision", "byol"};

template <class Enum>
concept NamedEnum = kEnumNames<Enum>
.size() == 2;

template <NamedEnum Enum>
void to_json(nlohmann::json& json, const Enum& value) {
  json = kEnumNames<Enum>[static_cast<std::size_t>(value)];
}

/// Of the two names, which OptionType has checked.
template <NamedEnum Enum>
void from_json(const nlohmann::json& json, Enum& value) {
  value = static_cast<Enum>(json == kEnumNames<Enum>[1]);
}

// ---- Parameters ----

/// Of a transform without random parameters (Resize, CenterCrop, Grayscale, Normalize, Sobel).
struct NoParams {
  bool operator==(const NoParams&) const = default;
};

/// Whether the transform is applied (flip, grayscale, solarize).
struct ApplyParams {
  bool apply = false;
  bool operator==(const ApplyParams&) const = default;
};

/// RandomResizedCrop's box, in pixels of the image that it is cut from.
struct CropParams {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  bool operator==(const CropParams&) const = default;
};

OptionTable table(NoParams&);
OptionTable table(ApplyParams&);
OptionTable table(CropParams&);

// ---- Requirements of a transform on the images that it gets ----

// They throw UsageError that begins with `where` and says what to do. Defined beside ImageInfo, in work_image.cpp.

void require_three_channels(const ImageInfo& info, const std::string& where);
/// Three channels in [0, 1].
void require_rgb(const ImageInfo& info, const std::string& where);
/// Three channels of bytes.
void require_bytes(const ImageInfo& info, const std::string& where);
/// For a transform that fills with a color.
void require_before_normalize(const ImageInfo& info, const std::string& where);

// ---- Checks ----

// All throw UsageError. Those of options begin its message with `where` and name the field.

/// low < range.low <= range.high <= high.
void check_range(const char* field, Range range, double low, double high, const std::string& where);

/// A fraction of white, in [0, 1].
void check_fill(double fill, const std::string& where);

/// The box lies in the image, and neither its width nor its height is below `least`.
void check_box(const CropParams& box, int least, cv::Size image);

}  // namespace unlabel::augment

namespace unlabel::detail {

// How OptionTable reads the types above.

template <>
struct OptionType<augment::ImageSize> {
  static std::string name() { return "an integer or [height, width]"; }
  static bool accepts(const nlohmann::json& j) {
    return OptionType<int>::accepts(j) || OptionType<std::array<int, 2>>::accepts(j);
  }
};

template <>
struct OptionType<augment::Range> {
  static constexpr auto kKind = OptionKind::kList;
  static std::string name() { return "[low, high]"; }
  static bool accepts(const nlohmann::json& j) { return OptionType<std::array<double, 2>>::accepts(j); }
};

template <augment::NamedEnum Enum>
struct OptionType<Enum> {
  static constexpr auto& kNames = augment::kEnumNames<Enum>;
  static std::string name() { return concat("'", kNames[0], "' or '", kNames[1], "'"); }
  static bool accepts(const nlohmann::json& j) { return j == kNames[0] || j == kNames[1]; }
};

}  // namespace unlabel::detail
