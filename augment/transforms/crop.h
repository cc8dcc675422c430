#pragma once

#include <unlabel/augment/transforms/parameters.h>

namespace unlabel::augment {

// Transforms that crop, resize or shift an image. The arithmetic is in ops/resize.h and ops/geometry.h; transform.h documents the functions
// of each transform.

/// A box of random area and aspect ratio, resized.
///
/// - torchvision: random_resized_crop_box, antialiased by `resize`
/// - byol: as in BYOL's released code, byol_crop_box, then resize_sampled, clamped to [0, 1]; the result is float, whatever the image was
struct RandomResizedCrop {
  static constexpr const char* kName = "RandomResizedCrop";
  using Params = CropParams;
  ImageSize size{224};
  Range scale{0.08, 1};           ///< of the image's area
  Range ratio{3.0 / 4, 4.0 / 3};  ///< width / height, log-uniform
  Interpolation interpolation = Interpolation::kBilinear;
  Family family = Family::kTorchvision;
};
OptionTable table(RandomResizedCrop&);
void validate(const RandomResizedCrop&, const std::string& where);
CropParams make_params(const RandomResizedCrop&, cv::Size image, Random& random);
void check(const RandomResizedCrop&, const CropParams& params, cv::Size image);
cv::Size size_after(const RandomResizedCrop&, cv::Size image);
ImageInfo info_after(const RandomResizedCrop&, ImageInfo info, const std::string& where);
void apply(const RandomResizedCrop&, const CropParams& params, WorkImage& work);

/// Resizes to [height, width], or the short side to an integer, keeping the aspect ratio.
struct Resize {
  static constexpr const char* kName = "Resize";
  using Params = NoParams;
  ImageSize size{256};
  Interpolation interpolation = Interpolation::kBilinear;
};
OptionTable table(Resize&);
void validate(const Resize&, const std::string& where);
cv::Size size_after(const Resize&, cv::Size image);
ImageInfo info_after(const Resize&, ImageInfo info, const std::string& where);
void apply(const Resize&, const NoParams&, WorkImage& work);

/// The central pixels; padded with zeros where the image is smaller.
struct CenterCrop {
  static constexpr const char* kName = "CenterCrop";
  using Params = NoParams;
  ImageSize size{224};
};
OptionTable table(CenterCrop&);
void validate(const CenterCrop&, const std::string& where);
cv::Size size_after(const CenterCrop&, cv::Size image);
ImageInfo info_after(const CenterCrop&, ImageInfo info, const std::string& where);
void apply(const CenterCrop&, const NoParams&, WorkImage& work);

/// A Resize and the CenterCrop that follows it at once: only the cropped pixels are computed, so that a very long image needs no very long
/// intermediate one.
void apply(const Resize&, const CenterCrop&, WorkImage& work);

/// RandomShift's offset, in [0, 2 pad]; (pad, pad) moves nothing.
struct ShiftParams {
  int x = 0;
  int y = 0;
  bool operator==(const ShiftParams&) const = default;
};
/// DrQ's random shift (Kostrikov et al. 2020, arXiv:2004.13649): pads by repeating the border pixels, and crops the old size at random.
struct RandomShift {
  static constexpr const char* kName = "RandomShift";
  using Params = ShiftParams;
  int pad = 4;
};
OptionTable table(ShiftParams&);
OptionTable table(RandomShift&);
void validate(const RandomShift&, const std::string& where);
ShiftParams make_params(const RandomShift&, cv::Size image, Random& random);
void check(const RandomShift&, const ShiftParams& params, cv::Size image);
void apply(const RandomShift&, const ShiftParams& params, WorkImage& work);

}  // namespace unlabel::augment
