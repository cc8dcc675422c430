#pragma once

#include <unlabel/augment/transforms/parameters.h>

#include <array>

namespace unlabel::augment {

// Transforms of the colors of pixels. The arithmetic is in ops/color.h and ops/color_byol.h; transform.h documents the functions of each
// transform.

/// ColorJitter's amounts and their order.
struct JitterParams {
  bool apply = false;
  std::array<int, 4> order{0, 1, 2, 3};  ///< 0 brightness, 1 contrast, 2 saturation, 3 hue
  double brightness = 1;                 ///< a factor; family byol: an addend
  double contrast = 1;
  double saturation = 1;
  double hue = 0;  ///< turns
  bool operator==(const JitterParams&) const = default;
};
/// Brightness, contrast, saturation and hue in random order, each by a uniform amount.
///
/// - torchvision: factors from [max(0, 1 - x), 1 + x], hue from [-hue, hue] turns
/// - byol: brightness is added, from [-x, x]; the other amounts have the same ranges, and are applied by color_byol.h
struct ColorJitter {
  static constexpr const char* kName = "ColorJitter";
  using Params = JitterParams;
  static constexpr auto kRequires = require_rgb;
  double p = 1;  ///< probability to do anything
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  double hue = 0;  ///< at most 0.5
  Family family = Family::kTorchvision;
};
OptionTable table(JitterParams&);
OptionTable table(ColorJitter&);
void validate(const ColorJitter&, const std::string& where);
JitterParams make_params(const ColorJitter&, cv::Size image, Random& random);
void check(const ColorJitter&, const JitterParams& params, cv::Size image);
ImageInfo info_after(const ColorJitter&, ImageInfo info, const std::string& where);
void apply(const ColorJitter&, const JitterParams& params, WorkImage& work);

/// Gray, still three channels.
struct RandomGrayscale {
  static constexpr const char* kName = "RandomGrayscale";
  using Params = ApplyParams;
  static constexpr auto kRequires = require_rgb;
  double p = 0.1;
};
OptionTable table(RandomGrayscale&);
ApplyParams make_params(const RandomGrayscale&, cv::Size image, Random& random);
void apply(const RandomGrayscale&, const ApplyParams& params, WorkImage& work);

/// To one channel, always: for encoders that take one.
struct Grayscale {
  static constexpr const char* kName = "Grayscale";
  using Params = NoParams;
  static constexpr auto kRequires = require_rgb;
};
OptionTable table(Grayscale&);
ImageInfo info_after(const Grayscale&, ImageInfo info, const std::string& where);
void apply(const Grayscale&, const NoParams&, WorkImage& work);

/// Inverts levels above the threshold.
struct RandomSolarize {
  static constexpr const char* kName = "RandomSolarize";
  using Params = ApplyParams;
  static constexpr auto kRequires = require_rgb;
  double threshold = 0.5;  ///< fraction of white
  double p = 0.5;
};
OptionTable table(RandomSolarize&);
void validate(const RandomSolarize&, const std::string& where);
ApplyParams make_params(const RandomSolarize&, cv::Size image, Random& random);
void apply(const RandomSolarize&, const ApplyParams& params, WorkImage& work);

}  // namespace unlabel::augment
