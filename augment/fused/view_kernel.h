#pragma once

#include <unlabel/augment/codec/planar_image.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/scratch.h>

#include <opencv2/core/types.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::augment {

// The implementation of fused_view.h: one view, from planes to normalized floats, in vector instructions.

/// One operation on the colors of a pixel, in levels of 0 to 255 (color.h).
struct PointOperation {
  enum class Kind { kBrightness, kContrast, kSaturation, kHue, kGray, kSolarize };
  Kind kind = Kind::kGray;
  float value = 0;  ///< a factor; kHue: 256ths of a turn; kSolarize: the threshold
};

/// The parameters of one view: crop, resize, mirror, operations on colors, blur, normalize.
struct FusedViewParams {
  static constexpr int kMostPoints = 12;

  cv::Rect box;  ///< in pixels of the image
  cv::Size size;
  bool mirror = false;
  Interpolation interpolation = Interpolation::kBilinear;
  std::array<PointOperation, kMostPoints> points{};  ///< before the blur
  int point_count = 0;
  bool blur = false;
  std::vector<float> blur_weights;  ///< of gaussian_kernel
  bool blur_zero_border = false;
  bool solarize_after_blur = false;
  float solarize_threshold = 0;  ///< in levels
  std::array<float, 3> scale{};  ///< output = scale * level + shift
  std::array<float, 3> shift{};
};

/// Weights of an antialiased resize along one axis: output i is the sum of weights[k * padded + i] * input[first[i] + k] for k < count.
struct ResizeTaps {
  int low = 0;  ///< all inputs are in [low, high)
  int high = 0;
  int count = 0;
  int padded = 0;  ///< outputs, rounded up to whole vectors; those beyond the last repeat it
  LineVector<std::int32_t> first;
  LineVector<float> weights;
  LineVector<std::int16_t> shorts;  ///< the weights in 32768ths, or half of them
  bool halved = false;
  // Along a line, of each block of outputs that are made at once: the first input, from `low` on, how many follow that it may take, and of
  // each output where in them it begins.
  LineVector<std::int32_t> begins;
  LineVector<std::int32_t> spans;
  LineVector<std::int16_t> index;
};

/// Memory that a thread reuses for every view.
struct ViewScratch {
  std::array<ResizeTaps, 2> across{}, down{};  ///< of the first plane, and of the others where they have fewer samples
  LineVector<float> offsets;                   ///< of each output's first input, in pixels from its center
  // Levels in 64ths:
  LineVector<std::int16_t> columns;                 ///< rows not yet resized across, or not yet blurred
  std::array<LineVector<std::int16_t>, 3> lines{};  ///< the same, resized
  LineVector<std::int16_t> rows;                    ///< a plane, blurred along its rows
  LineVector<std::uint8_t> pixels;                  ///< the view: three planes of levels, `plane` apart
  std::size_t plane = 0;
  LineVector<std::int16_t> blur_weights;  ///< of distance 0, 1, ..., in 32768ths
};

/// Makes the view: 3 x height x width floats, CHW. The box must lie within the image.
void make_view(const PlanarImage& image, const FusedViewParams& plan, ViewScratch& scratch, float* out);

/// The sets of instructions that this program has code for and this machine can run, the fastest first: "AVX3" (AVX-512), "AVX2",
/// "SSE4", or names of other machines; the last is the portable one.
std::vector<std::string> instruction_sets();

/// The one that is used from now on, for tests and comparisons; "" for the fastest again. Throws UsageError for one that is not among
/// instruction_sets(). Not to be called while views are made.
void use_instruction_set(const std::string& name);

/// The one in use.
std::string instruction_set();

}  // namespace unlabel::augment
