#pragma once

#include <unlabel/augment/transforms/parameters.h>

#include <array>

namespace unlabel::augment {

// Transforms that move pixels and keep the size. The arithmetic is in ops/geometry.h and ops/affine.h; transform.h documents the functions
// of each transform.

/// Mirrors left and right.
struct RandomHorizontalFlip {
  static constexpr const char* kName = "RandomHorizontalFlip";
  using Params = ApplyParams;
  double p = 0.5;
};
OptionTable table(RandomHorizontalFlip&);
ApplyParams make_params(const RandomHorizontalFlip&, cv::Size image, Random& random);
void apply(const RandomHorizontalFlip&, const ApplyParams& params, WorkImage& work);

/// RandomRotation's angle (counter-clockwise), or RandomAffine's amounts (clockwise; see AffineChange).
struct AffineParams {
  double angle = 0;                    ///< degrees
  std::array<int, 2> translate{0, 0};  ///< pixels
  double scale = 1;
  double shear = 0;  ///< degrees
  bool operator==(const AffineParams&) const = default;
};
OptionTable table(AffineParams&);

/// Rotates about the center by a random angle, counter-clockwise.
struct RandomRotation {
  static constexpr const char* kName = "RandomRotation";
  using Params = AffineParams;
  static constexpr auto kRequires = require_before_normalize;
  Range degrees{-10, 10};
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;  ///< of pixels from outside the image, a fraction of white
};
OptionTable table(RandomRotation&);
void validate(const RandomRotation&, const std::string& where);
AffineParams make_params(const RandomRotation&, cv::Size image, Random& random);
void check(const RandomRotation&, const AffineParams& params, cv::Size image);
void apply(const RandomRotation&, const AffineParams& params, WorkImage& work);

/// Shears, scales, rotates and translates by random amounts, about the center.
struct RandomAffine {
  static constexpr const char* kName = "RandomAffine";
  using Params = AffineParams;
  static constexpr auto kRequires = require_before_normalize;
  Range degrees{-10, 10};
  std::array<double, 2> translate{
      0, 0};  ///< greatest fraction of the width and of the height, in either direction; whole pixels
  Range scale{1, 1};
  Range shear{0, 0};  ///< degrees, along the rows
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};
OptionTable table(RandomAffine&);
void validate(const RandomAffine&, const std::string& where);
AffineParams make_params(const RandomAffine&, cv::Size image, Random& random);
void check(const RandomAffine&, const AffineParams& params, cv::Size image);
void apply(const RandomAffine&, const AffineParams& params, WorkImage& work);

}  // namespace unlabel::augment
