#pragma once

#include <cstdint>

namespace unlabel::augment {

/// Images of bytes in NCHW order, one after the other without gaps.
struct ImageBatch {
  std::int64_t images = 0;
  int channels = 0;  ///< of all stacked frames together
  int height = 0;
  int width = 0;
};

/// Which shifts a batch gets: image i those of the key {seed, epoch, sample + i, view}, as RandomShift draws them.
struct ShiftKey {
  std::uint64_t seed = 0;
  std::uint64_t epoch = 0;   ///< or the step, where samples are drawn again and again
  std::uint64_t sample = 0;  ///< of the first image
  std::uint32_t view = 0;
};

/// DrQ's random shift of whole batches: every image is padded by `pad` pixels, which repeat its border, and cropped to its size at a
/// place that is uniform among the (2 pad + 1)^2; all channels alike (Kostrikov, Yarats and Fergus 2020, arXiv:2004.13649; DrQ-v2's
/// grid_sample shifts by whole pixels too, and differs by its rounding only). `in` and `out` hold images * channels * height * width
/// values and must not overlap; floats are the bytes' values, 0 to 255. Throws UsageError for sizes below 1, a negative pad, and batches
/// beyond 2^40 values.
void random_shift(const std::uint8_t* in, const ImageBatch& batch, int pad, const ShiftKey& key, std::uint8_t* out);
void random_shift(const std::uint8_t* in, const ImageBatch& batch, int pad, const ShiftKey& key, float* out);
void random_shift(const float* in, const ImageBatch& batch, int pad, const ShiftKey& key, float* out);

}  // namespace unlabel::augment
