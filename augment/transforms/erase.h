#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/parameters.h>

#include <opencv2/core/types.hpp>

#include <string>

namespace unlabel::augment {

struct Known;
class Work;

// Steps that erase a part of the image. The box is drawn by ops/geometry.h.
// What the functions of each step do is said in transform.h.

/// Fills a box of random area and ratio.
struct RandomErasing {
  static constexpr const char* kName = "RandomErasing";
  double p = 0.5;
  Range scale{0.02, 0.33};  ///< of the image's area
  Range ratio{0.3, 3.3};    ///< height / width, log-uniform
  double value = 0;         ///< a fraction of white; behind Normalize the number itself
};
/// RandomErasing's box; none when it is empty. A type of its own: a DrawnBox is what is left of an image.
struct DrawnErasing : DrawnBox {};
OptionTable table(RandomErasing&);
void validate(const RandomErasing&, const std::string& where);
DrawnErasing draw(const RandomErasing&, cv::Size image, Random& random);
void check(const RandomErasing&, const DrawnErasing& drawn, cv::Size image);
Known after(const RandomErasing&, Known known, const std::string& where);
void apply(const RandomErasing&, const DrawnErasing& drawn, Work& work);

}  // namespace unlabel::augment
