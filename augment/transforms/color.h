#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/parameters.h>

#include <opencv2/core/types.hpp>

#include <array>
#include <string>

namespace unlabel::augment {

struct Known;
class Work;

// Steps that change the colors of pixels. The arithmetic is in ops/color.h and ops/color_byol.h.
// What the functions of each step do is said in transform.h.

/// Brightness, contrast, saturation and hue in random order, each by a uniform amount.
///
/// - torchvision: factors from [max(0, 1 - x), 1 + x], hue from [-hue, hue] turns
/// - byol: brightness is added, from [-x, x]; the rest is drawn alike and applied as color_byol.h says
struct ColorJitter {
  static constexpr const char* kName = "ColorJitter";
  double p = 1;  ///< probability to do anything
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  double hue = 0;  ///< at most 0.5
  Family family = Family::kTorchvision;
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
OptionTable table(ColorJitter&);
OptionTable table(DrawnJitter&);
void validate(const ColorJitter&, const std::string& where);
DrawnJitter draw(const ColorJitter&, cv::Size image, Random& random);
void check(const ColorJitter&, const DrawnJitter& drawn, cv::Size image);
Known after(const ColorJitter&, Known known, const std::string& where);
void apply(const ColorJitter&, const DrawnJitter& drawn, Work& work);

/// Gray, still three channels.
struct RandomGrayscale {
  static constexpr const char* kName = "RandomGrayscale";
  double p = 0.1;
};
OptionTable table(RandomGrayscale&);
void validate(const RandomGrayscale&, const std::string& where);
DrawnChoice draw(const RandomGrayscale&, cv::Size image, Random& random);
Known after(const RandomGrayscale&, Known known, const std::string& where);
void apply(const RandomGrayscale&, const DrawnChoice& drawn, Work& work);

/// To one channel, always: for encoders that take one.
struct Grayscale {
  static constexpr const char* kName = "Grayscale";
};
OptionTable table(Grayscale&);
Known after(const Grayscale&, Known known, const std::string& where);
void apply(const Grayscale&, const NothingDrawn&, Work& work);

/// Inverts what is brighter than the threshold.
struct RandomSolarize {
  static constexpr const char* kName = "RandomSolarize";
  double threshold = 0.5;  ///< fraction of white
  double p = 0.5;
};
OptionTable table(RandomSolarize&);
void validate(const RandomSolarize&, const std::string& where);
DrawnChoice draw(const RandomSolarize&, cv::Size image, Random& random);
Known after(const RandomSolarize&, Known known, const std::string& where);
void apply(const RandomSolarize&, const DrawnChoice& drawn, Work& work);

}  // namespace unlabel::augment
