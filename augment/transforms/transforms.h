#pragma once

#include <unlabel/augment/ops/affine.h>
#include <unlabel/augment/ops/filter.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/random.h>

#include <nlohmann/json.hpp>
#include <opencv2/core/mat.hpp>

#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace unlabel::augment {

// The steps of a pipeline as options. Each struct says what may happen to an image; drawing (below) decides what does
// happen to one view. Names and defaults are torchvision's. The arithmetic is in resize.h, geometry.h, affine.h, color.h,
// color_byol.h, auto_augment.h, filter.h and planar.h.

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

/// A box of random area and ratio, resized.
///
/// - torchvision: random_resized_crop_box, antialiased by `resize`
/// - byol: as BYOL's released code has it, byol_crop_box, by resize_sampled, cut to [0, 1]: floats, whatever the image was
struct RandomResizedCrop {
  ImageSize size{224};
  Range scale{0.08, 1};           ///< of the image's area
  Range ratio{3.0 / 4, 4.0 / 3};  ///< width / height, log-uniform
  Interpolation interpolation = Interpolation::kBilinear;
  Family family = Family::kTorchvision;
};

/// Resizes to [height, width], or the short side to an integer, keeping the ratio.
struct Resize {
  ImageSize size{256};
  Interpolation interpolation = Interpolation::kBilinear;
};

/// The central pixels; padded with zeros where the image is smaller.
struct CenterCrop {
  ImageSize size{224};
};

/// Mirrors left and right.
struct RandomHorizontalFlip {
  double p = 0.5;
};

/// Brightness, contrast, saturation and hue in random order, each by a uniform amount.
///
/// - torchvision: factors from [max(0, 1 - x), 1 + x], hue from [-hue, hue] turns
/// - byol: brightness is added, from [-x, x]; the rest is drawn alike and applied as color_byol.h says
struct ColorJitter {
  double p = 1;  ///< probability to do anything
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  double hue = 0;  ///< at most 0.5
  Family family = Family::kTorchvision;
};

/// Grey, still three channels.
struct RandomGrayscale {
  double p = 0.1;
};

/// To one channel, always: for encoders that take one.
struct Grayscale {};

/// Gaussian blur with a random sigma, in pixels.
struct GaussianBlur {
  double p = 1;
  Range sigma{0.1, 2};
  int kernel_size = 0;  ///< taps, odd; 0: as many as matter, 2 ceil(3.5 sigma) + 1
  Border border = Border::kReflect;
};

/// Inverts what is brighter than the threshold.
struct RandomSolarize {
  double threshold = 0.5;  ///< fraction of white
  double p = 0.5;
};

/// Turns about the middle by a random angle, counter-clockwise.
struct RandomRotation {
  Range degrees{-10, 10};
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;  ///< what comes in from outside, a fraction of white
};

/// Shears, scales, turns and moves by random amounts, about the middle.
struct RandomAffine {
  Range degrees{-10, 10};
  std::array<double, 2> translate{0, 0};  ///< at most so much of the width, and of the height, either way; whole pixels
  Range scale{1, 1};
  Range shear{0, 0};  ///< degrees, along the rows
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};

/// `num_ops` random operations of auto_augment.h at one strength.
struct RandAugment {
  int num_ops = 2;
  int magnitude = 9;
  int num_magnitude_bins = 31;
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};

/// One random operation of auto_augment.h at a random strength.
struct TrivialAugmentWide {
  int num_magnitude_bins = 31;
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};

/// Fills a box of random area and ratio.
struct RandomErasing {
  double p = 0.5;
  Range scale{0.02, 0.33};  ///< of the image's area
  Range ratio{0.3, 3.3};    ///< height / width, log-uniform
  double value = 0;         ///< a fraction of white; behind Normalize the number itself
};

/// DrQ's random shift: pads by the border's pixels and crops the old size at random.
struct PadShift {
  int pad = 4;
};

/// (x - mean) / std by channel.
struct Normalize {
  std::vector<double> mean{0.485, 0.456, 0.406};
  std::vector<double> std{0.229, 0.224, 0.225};
};

/// DeepCluster's two edge channels.
struct Sobel {};

using Step = std::variant<RandomResizedCrop, Resize, CenterCrop, RandomHorizontalFlip, ColorJitter, RandomGrayscale,
                          Grayscale, GaussianBlur, RandomSolarize, PadShift, Normalize, Sobel, RandomRotation,
                          RandomAffine, RandAugment, TrivialAugmentWide, RandomErasing>;

OptionTable table(RandomResizedCrop&);
OptionTable table(Resize&);
OptionTable table(CenterCrop&);
OptionTable table(RandomHorizontalFlip&);
OptionTable table(ColorJitter&);
OptionTable table(RandomGrayscale&);
OptionTable table(Grayscale&);
OptionTable table(GaussianBlur&);
OptionTable table(RandomSolarize&);
OptionTable table(PadShift&);
OptionTable table(Normalize&);
OptionTable table(Sobel&);
OptionTable table(RandomRotation&);
OptionTable table(RandomAffine&);
OptionTable table(RandAugment&);
OptionTable table(TrivialAugmentWide&);
OptionTable table(RandomErasing&);

/// The step's name in JSON, the struct's name: "RandomResizedCrop".
std::string_view name(const Step& step);

/// {"op": "RandomResizedCrop", "size": 224, ...} with every field. from: missing fields keep their defaults; throws
/// UsageError for an unknown operation or field, naming the nearest, and for a value out of range. `where` begins the
/// message.
nlohmann::json to_json(const Step& step);
Step step_from_json(const nlohmann::json& json, const std::string& where);

/// Throws UsageError that names the field which is out of range.
void validate(const Step& step, const std::string& where);

// What was drawn for one step of one view: all that is random about it.

/// Nothing random (Resize, CenterCrop, Grayscale, Normalize, Sobel).
struct NothingDrawn {
  bool operator==(const NothingDrawn&) const = default;
};

/// RandomResizedCrop's box, in pixels of the image it is cut from.
struct DrawnBox {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  bool operator==(const DrawnBox&) const = default;
};

/// Whether the step happens (flip, grey, solarize).
struct DrawnChoice {
  bool apply = false;
  bool operator==(const DrawnChoice&) const = default;
};

/// ColorJitter's amounts and their order.
struct DrawnJitter {
  bool apply = false;
  std::array<int, 4> order{0, 1, 2, 3};  ///< 0 brightness, 1 contrast, 2 saturation, 3 hue
  double brightness = 1;                 ///< a factor; byol: an addend
  double contrast = 1;
  double saturation = 1;
  double hue = 0;  ///< turns
  bool operator==(const DrawnJitter&) const = default;
};

/// GaussianBlur's sigma, in pixels.
struct DrawnBlur {
  bool apply = false;
  double sigma = 0;
  bool operator==(const DrawnBlur&) const = default;
};

/// PadShift's offset, in [0, 2 pad]; (pad, pad) moves nothing.
struct DrawnShift {
  int x = 0;
  int y = 0;
  bool operator==(const DrawnShift&) const = default;
};

/// RandomRotation's angle (counter-clockwise), or RandomAffine's amounts (clockwise; see AffineChange).
struct DrawnAffine {
  double angle = 0;                    ///< degrees
  std::array<int, 2> translate{0, 0};  ///< pixels
  double scale = 1;
  double shear = 0;  ///< degrees
  bool operator==(const DrawnAffine&) const = default;
};

/// The operations of RandAugment and TrivialAugmentWide, one after the other.
struct DrawnOperations {
  std::vector<std::string> operations;  ///< of auto_operations()
  std::vector<double> magnitudes;       ///< of auto_magnitude
  bool operator==(const DrawnOperations&) const = default;
};

/// RandomErasing's box; none when it is empty. A type of its own: a DrawnBox is what is left of an image.
struct DrawnErasing : DrawnBox {};

using Drawn = std::variant<NothingDrawn, DrawnBox, DrawnChoice, DrawnJitter, DrawnBlur, DrawnShift, DrawnAffine,
                           DrawnOperations, DrawnErasing>;

OptionTable table(DrawnBox&);
OptionTable table(DrawnChoice&);
OptionTable table(DrawnJitter&);
OptionTable table(DrawnBlur&);
OptionTable table(DrawnShift&);
OptionTable table(DrawnAffine&);
OptionTable table(DrawnOperations&);

/// {"x": 10, "y": 3, "width": 200, "height": 180}, {"apply": true} ... as it fits `step`; numbers come back bit-equal.
nlohmann::json to_json(const Drawn& drawn);
Drawn drawn_from_json(const Step& step, const nlohmann::json& json, const std::string& where);

/// The size of an image after the step, in pixels.
cv::Size size_after(const Step& step, cv::Size image);

/// Draws the step's parameters for an image of that size.
Drawn draw(const Step& step, cv::Size image, Random& random);

/// Throws UsageError when the parameters are of another step or out of range (a box that leaves the image).
void check(const Step& step, const Drawn& drawn, cv::Size image);

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
