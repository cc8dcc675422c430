#pragma once

#include <unlabel/augment/transforms/parameters.h>

#include <opencv2/core/mat.hpp>

#include <vector>

namespace unlabel::augment {

// Policies, which choose among many operations, and these operations. transform.h documents the functions of each transform.

/// The operations of RandAugment and TrivialAugmentWide, one after the other.
struct PolicyParams {
  std::vector<std::string> operations;  ///< of auto_operations()
  std::vector<double> magnitudes;       ///< of auto_magnitude
  bool operator==(const PolicyParams&) const = default;
};
/// `num_ops` random operations of auto_operations, all of one magnitude.
struct RandAugment {
  static constexpr const char* kName = "RandAugment";
  using Params = PolicyParams;
  static constexpr auto kRequires = require_bytes;
  int num_ops = 2;
  int magnitude = 9;
  int num_magnitude_bins = 31;
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};
/// One random operation of auto_operations of a random magnitude.
struct TrivialAugmentWide {
  static constexpr const char* kName = "TrivialAugmentWide";
  using Params = PolicyParams;
  static constexpr auto kRequires = require_bytes;
  int num_magnitude_bins = 31;
  Sampling interpolation = Sampling::kNearest;
  double fill = 0;
};
OptionTable table(PolicyParams&);
OptionTable table(RandAugment&);
OptionTable table(TrivialAugmentWide&);
void validate(const RandAugment&, const std::string& where);
void validate(const TrivialAugmentWide&, const std::string& where);
PolicyParams make_params(const RandAugment&, cv::Size image, Random& random);
PolicyParams make_params(const TrivialAugmentWide&, cv::Size image, Random& random);
void check(const RandAugment&, const PolicyParams& params, cv::Size image);
void check(const TrivialAugmentWide&, const PolicyParams& params, cv::Size image);
void apply(const RandAugment&, const PolicyParams& params, WorkImage& work);
void apply(const TrivialAugmentWide&, const PolicyParams& params, WorkImage& work);

// The operations that policies of augmentation choose from (AutoAugment: Cubuk et al. 2019, arXiv:1805.09501, table 6), on CV_8UC3 images
// as PIL has them, bit by bit. `out` may be `image`. All throw UsageError for other types.

/// Keeps the uppermost bits of each value, 0 to 8 (PIL's ImageOps.posterize).
void posterize(const cv::Mat& image, int bits, cv::Mat& out);

/// Stretches each channel so that its least value is 0 and its greatest 255 (ImageOps.autocontrast).
void autocontrast(const cv::Mat& image, cv::Mat& out);

/// Evens out each channel's histogram (ImageOps.equalize).
void equalize(const cv::Mat& image, cv::Mat& out);

/// smoothed + factor (image - smoothed), smoothed by 3 x 3 weights of 1 with 5 in the middle, which leaves out the border
/// (ImageEnhance.Sharpness). The factor must be finite and at least 0.
void adjust_sharpness(const cv::Mat& image, double factor, cv::Mat& out);

/// The fourteen operations of RandAugment and TrivialAugment, as torchvision names them: "Identity", "ShearX", "ShearY", "TranslateX",
/// "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize".
const std::vector<std::string>& auto_operations();

/// Whose ranges of magnitudes.
enum class AutoSpace {
  kRand,         ///< torchvision's RandAugment (Cubuk et al. 2020, arXiv:1909.13719)
  kTrivialWide,  ///< its TrivialAugmentWide (Müller & Hutter 2021, arXiv:2103.10158)
};

/// The magnitude of the `bin`-th of `bins` of an operation, for an image of that size: pixels (Translate), degrees (Rotate), a tangent
/// (Shear), a difference from 1 (Brightness, Color, Contrast, Sharpness), bits (Posterize), a level (Solarize), or 0. Bit-equal to
/// torchvision.transforms (v1), whose magnitudes are float32 numbers of torch.linspace; v2 counts Solarize from 1 to 0 and multiplies by
/// 255, which rounds otherwise.
double auto_magnitude(AutoSpace space, const std::string& operation, int bin, int bins, cv::Size image);

/// Throws UsageError when there is no such operation, or the magnitude is out of its range.
void check_auto(const std::string& operation, double magnitude);

/// Applies an operation with a magnitude, as above; Translate moves by whole pixels, cut towards 0. `fill`: a fraction of white.
void apply_auto(const cv::Mat& image, const std::string& operation, double magnitude, Sampling sampling, double fill,
                cv::Mat& out);

}  // namespace unlabel::augment
