#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/parameters.h>

#include <opencv2/core/types.hpp>

#include <string>

namespace unlabel::augment {

struct Known;
class Work;

// Steps that filter the image. The arithmetic is in ops/filter.h.
// What the functions of each step do is said in transform.h.

/// Gaussian blur with a random sigma, in pixels.
struct GaussianBlur {
  static constexpr const char* kName = "GaussianBlur";
  double p = 1;
  Range sigma{0.1, 2};
  int kernel_size = 0;  ///< taps, odd; 0: as many as matter, 2 ceil(3.5 sigma) + 1
  Border border = Border::kReflect;
};
/// GaussianBlur's sigma, in pixels.
struct DrawnBlur {
  bool apply = false;
  double sigma = 0;
  bool operator==(const DrawnBlur&) const = default;
};
OptionTable table(GaussianBlur&);
OptionTable table(DrawnBlur&);
void validate(const GaussianBlur&, const std::string& where);
DrawnBlur draw(const GaussianBlur&, cv::Size image, Random& random);
void check(const GaussianBlur&, const DrawnBlur& drawn, cv::Size image);
void apply(const GaussianBlur&, const DrawnBlur& drawn, Work& work);

/// DeepCluster's two edge channels.
struct Sobel {
  static constexpr const char* kName = "Sobel";
};
OptionTable table(Sobel&);
Known after(const Sobel&, Known known, const std::string& where);
void apply(const Sobel&, const NothingDrawn&, Work& work);

}  // namespace unlabel::augment
