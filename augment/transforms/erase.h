#pragma once

#include <unlabel/augment/transforms/parameters.h>

namespace unlabel::augment {

// Transforms that erase a part of the image. transform.h documents the functions of each transform.

/// RandomErasing's box; nothing is erased when it is empty. Not a CropParams, which is the part of an image that is kept.
struct EraseParams : CropParams {};
/// Fills a box of random area and aspect ratio (ops/geometry.h, random_erasing_box).
struct RandomErasing {
  static constexpr const char* kName = "RandomErasing";
  using Params = EraseParams;
  double p = 0.5;
  Range scale{0.02, 0.33};  ///< of the image's area
  Range ratio{0.3, 3.3};    ///< height / width, log-uniform
  double value = 0;         ///< a fraction of white; after Normalize the number itself
};
OptionTable table(RandomErasing&);
void validate(const RandomErasing&, const std::string& where);
EraseParams make_params(const RandomErasing&, cv::Size image, Random& random);
void check(const RandomErasing&, const EraseParams& params, cv::Size image);
ImageInfo info_after(const RandomErasing&, ImageInfo info, const std::string& where);
void apply(const RandomErasing&, const EraseParams& params, WorkImage& work);

}  // namespace unlabel::augment
