#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/parameters.h>

#include <opencv2/core/types.hpp>

#include <string>

namespace unlabel::augment {

struct Known;
class Work;

// Steps that change the size of an image or what part of it is seen. The arithmetic is in ops/resize.h and ops/geometry.h.
// What the functions of each step do is said in transform.h.

/// A box of random area and ratio, resized.
///
/// - torchvision: random_resized_crop_box, antialiased by `resize`
/// - byol: as BYOL's released code has it, byol_crop_box, by resize_sampled, cut to [0, 1]: floats, whatever the image was
struct RandomResizedCrop {
  static constexpr const char* kName = "RandomResizedCrop";
  ImageSize size{224};
  Range scale{0.08, 1};           ///< of the image's area
  Range ratio{3.0 / 4, 4.0 / 3};  ///< width / height, log-uniform
  Interpolation interpolation = Interpolation::kBilinear;
  Family family = Family::kTorchvision;
};
OptionTable table(RandomResizedCrop&);
void validate(const RandomResizedCrop&, const std::string& where);
DrawnBox draw(const RandomResizedCrop&, cv::Size image, Random& random);
void check(const RandomResizedCrop&, const DrawnBox& drawn, cv::Size image);
cv::Size size_after(const RandomResizedCrop&, cv::Size image);
Known after(const RandomResizedCrop&, Known known, const std::string& where);
void apply(const RandomResizedCrop&, const DrawnBox& drawn, Work& work);

/// Resizes to [height, width], or the short side to an integer, keeping the ratio.
struct Resize {
  static constexpr const char* kName = "Resize";
  ImageSize size{256};
  Interpolation interpolation = Interpolation::kBilinear;
};
OptionTable table(Resize&);
void validate(const Resize&, const std::string& where);
cv::Size size_after(const Resize&, cv::Size image);
Known after(const Resize&, Known known, const std::string& where);
void apply(const Resize&, const NothingDrawn&, Work& work);

/// The central pixels; padded with zeros where the image is smaller.
struct CenterCrop {
  static constexpr const char* kName = "CenterCrop";
  ImageSize size{224};
};
OptionTable table(CenterCrop&);
void validate(const CenterCrop&, const std::string& where);
cv::Size size_after(const CenterCrop&, cv::Size image);
Known after(const CenterCrop&, Known known, const std::string& where);
void apply(const CenterCrop&, const NothingDrawn&, Work& work);

/// A Resize and the CenterCrop behind it at once: only what is kept is made, so that a long image makes no long one between them.
void apply(const Resize&, const CenterCrop&, Work& work);

/// DrQ's random shift: pads by the border's pixels and crops the old size at random.
struct PadShift {
  static constexpr const char* kName = "PadShift";
  int pad = 4;
};
/// PadShift's offset, in [0, 2 pad]; (pad, pad) moves nothing.
struct DrawnShift {
  int x = 0;
  int y = 0;
  bool operator==(const DrawnShift&) const = default;
};
OptionTable table(PadShift&);
OptionTable table(DrawnShift&);
void validate(const PadShift&, const std::string& where);
DrawnShift draw(const PadShift&, cv::Size image, Random& random);
void check(const PadShift&, const DrawnShift& drawn, cv::Size image);
void apply(const PadShift&, const DrawnShift& drawn, Work& work);

}  // namespace unlabel::augment
