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

// Steps that move pixels about and keep the size. The arithmetic is in ops/geometry.h and ops/affine.h.
// What the functions of each step do is said in transform.h.

/// Mirrors left and right.
struct RandomHorizontalFlip {
  static constexpr const char* kName = "RandomHorizontalFlip";
  double p = 0.5;
};
OptionTable table(RandomHorizontalFlip&);
void validate(const RandomHorizontalFlip&, const std::string& where);
DrawnChoice draw(const RandomHorizontalFlip&, cv::Size image, Random& random);
void apply(const RandomHorizontalFlip&, const DrawnChoice& drawn, Work& work);

/// RandomRotation's angle (counter-clockwise), or RandomAffine's amounts (clockwise; see AffineChange).
struct DrawnAffine {
  double angle = 0;                    ///< degrees
  std::array<int, 2> translate{0, 0};  ///< pixels
  double scale = 1;
  double shear = 0;  ///< degrees
  bool operator==(const DrawnAffine&) const = default;
};
OptionTable table(DrawnAffine&);

/// Turns about the middle by a random angle, counter-clockwise.
struct RandomRotation {
  static constexpr const char* kName = "RandomRotation";
  Range degrees{-10, 10};
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;  ///< what comes in from outside, a fraction of white
};
OptionTable table(RandomRotation&);
void validate(const RandomRotation&, const std::string& where);
DrawnAffine draw(const RandomRotation&, cv::Size image, Random& random);
void check(const RandomRotation&, const DrawnAffine& drawn, cv::Size image);
Known after(const RandomRotation&, Known known, const std::string& where);
void apply(const RandomRotation&, const DrawnAffine& drawn, Work& work);

/// Shears, scales, turns and moves by random amounts, about the middle.
struct RandomAffine {
  static constexpr const char* kName = "RandomAffine";
  Range degrees{-10, 10};
  std::array<double, 2> translate{0, 0};  ///< at most so much of the width, and of the height, either way; whole pixels
  Range scale{1, 1};
  Range shear{0, 0};  ///< degrees, along the rows
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};
OptionTable table(RandomAffine&);
void validate(const RandomAffine&, const std::string& where);
DrawnAffine draw(const RandomAffine&, cv::Size image, Random& random);
void check(const RandomAffine&, const DrawnAffine& drawn, cv::Size image);
Known after(const RandomAffine&, Known known, const std::string& where);
void apply(const RandomAffine&, const DrawnAffine& drawn, Work& work);

}  // namespace unlabel::augment
