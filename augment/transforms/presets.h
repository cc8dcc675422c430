#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/augment/transforms/transform.h>

#include <optional>
#include <string>
#include <vector>

namespace unlabel::augment {

/// Changes to a preset. Unset options are as in the preset's paper.
struct PresetOptions {
  std::optional<int> global_size{};              ///< side of the global crops in pixels
  std::optional<int> global_count{};             ///< global crops (byol: of each kind)
  std::optional<Range> global_scale{};           ///< [low, high] of their area, as a fraction of the image's
  std::optional<int> local_size{};               ///< side of the local crops in pixels
  std::optional<int> local_count{};              ///< local crops; 0: none
  std::optional<Range> local_scale{};            ///< [low, high] of their area
  std::optional<std::vector<double>> mean{};     ///< of the normalization, one a channel
  std::optional<std::vector<double>> std{};      ///< of the normalization, one a channel
  double jitter = 1;                             ///< scales the strength of the color jitter; 0: none
  bool blur = true;                              ///< off for small images, as CIFAR's published recipes have it
  std::optional<Interpolation> interpolation{};  ///< bilinear or bicubic
  std::optional<Family> crop_family{};           ///< of the random crops: torchvision, or byol (RandomResizedCrop)
  bool exact = false;                            ///< MultiCrop's `exact`
};
OptionTable table(PresetOptions& options);

/// The names that `preset` knows.
const std::vector<std::string>& preset_names();

/// The augmentations of a paper. Sides are in pixels, (.08-1) is the area of a crop as a fraction of the image's.
///
/// `swav`, `deepcluster_v2`: 2 x 224 (.14-1) and 6 x 96 (.05-.14), which options may leave out; flip, jitter .8/.8/.8/.2
/// (p .8), gray (p .2), blur sigma .1-2 (p .5); std .228 in the first channel, as the code has it.
/// Caron et al. 2020, arXiv:2006.09882, and its code.
///
/// `simclr`: 2 x 224 (.08-1); flip, jitter .8/.8/.8/.2 (p .8), gray (p .2), blur (p .5). SimCLR's policy in torchvision's
/// operations, as most others have it. The authors' own code (google-research/simclr, data_util.py) works on floats by TensorFlow's
/// functions: crops are drawn by sample_distorted_bounding_box, none below a tenth of the image, and resized by TensorFlow 1's bicubic (a =
/// -3/4, not antialiased); contrast turns about each channel's mean, saturation is scaled in HSV; the blur has height / 10 taps and zeros
/// beyond the border; nothing is normalized.
/// Chen et al. 2020, arXiv:2002.05709.
///
/// `byol_view1`, `byol_view2`, and `byol` with both: 224 (.08-1) bicubic; flip, BYOL's own jitter .4/.4/.2/.1 (p .8), gray
/// (p .2), blur of 23 taps (p 1; .1), solarize (p 0; .2). The number of taps is 2 floor(size / 20) + 1. The crop is that of the released
/// code: one draw, of which what is higher or wider than the image is cut off, and a bicubic without antialiasing, in floats. The paper's
/// text says no more than area, ratio and bicubic; with crop_family `torchvision` it is torchvision's crop, which has ten draws, an
/// antialiased bicubic and 8 bits.
/// Grill et al. 2020, arXiv:2006.07733, table 6, and deepmind-research/byol.
///
/// `deepcluster`: 1 x 224 (.08-1); flip. Its networks begin with the Sobel filter (also a step, Sobel). Caron et al. 2018,
/// arXiv:1807.05520.
///
/// `eval`: the short side to 256, central 224, in the same ratio for other sizes; up to 64 pixels the whole image at that
/// size.
///
/// Throws UsageError for an unknown name, naming the nearest, and for options that do not apply.
MultiCrop preset(const std::string& name, const PresetOptions& options = {});

/// The normalization of a pipeline; null when it has none.
const Normalize* find_normalize(const Pipeline& pipeline);

/// The view from which a network trained on such views computes features: preset `eval` at the size and normalization of the first view.
MultiCrop evaluation_view(const MultiCrop& training);

}  // namespace unlabel::augment
