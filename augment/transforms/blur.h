#pragma once

#include <unlabel/augment/transforms/parameters.h>

namespace unlabel::augment {

// Transforms that filter the image. The arithmetic is in ops/filter.h; transform.h documents the functions of each transform.

/// GaussianBlur's sigma, in pixels.
struct BlurParams {
  bool apply = false;
  double sigma = 0;
  bool operator==(const BlurParams&) const = default;
};
/// Gaussian blur with a random sigma, in pixels.
struct GaussianBlur {
  static constexpr const char* kName = "GaussianBlur";
  using Params = BlurParams;
  double p = 1;
  Range sigma{0.1, 2};
  int kernel_size = 0;  ///< taps, odd; 0: 2 ceil(3.5 sigma) + 1, beyond which the weights are negligible
  Border border = Border::kReflect;
};
OptionTable table(BlurParams&);
OptionTable table(GaussianBlur&);
void validate(const GaussianBlur&, const std::string& where);
BlurParams make_params(const GaussianBlur&, cv::Size image, Random& random);
void check(const GaussianBlur&, const BlurParams& params, cv::Size image);
void apply(const GaussianBlur&, const BlurParams& params, WorkImage& work);

/// DeepCluster's two edge channels.
struct Sobel {
  static constexpr const char* kName = "Sobel";
  using Params = NoParams;
  static constexpr auto kRequires = require_three_channels;
};
OptionTable table(Sobel&);
ImageInfo info_after(const Sobel&, ImageInfo info, const std::string& where);
void apply(const Sobel&, const NoParams&, WorkImage& work);

}  // namespace unlabel::augment
