#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/random_shift.h>
#include <unlabel/augment/random.h>

#include <algorithm>

namespace unlabel::augment {

namespace {

constexpr std::int64_t kMostValues = std::int64_t{1} << 40;
constexpr int kMostPad = 1 << 16;

void check(const ImageBatch& b, int pad) {
  if (b.images < 0 || b.channels < 1 || b.height < 1 || b.width < 1)
    throw UsageError("random_shift: a batch of ", b.images, " x ", b.channels, " x ", b.height, " x ", b.width,
                     " has no images");
  if (pad < 0 || pad > kMostPad) throw UsageError("random_shift: pad must be 0 to ", kMostPad, " pixels, not ", pad);
  std::int64_t values = b.channels;
  for (const std::int64_t size : {std::int64_t{b.height}, std::int64_t{b.width}, std::max<std::int64_t>(b.images, 1)}) {
    if (values > kMostValues / size) throw UsageError("random_shift: more than 2^40 values");
    values *= size;
  }
}

/// Column x of the result is column x + shift of the row, or its nearest.
template <class In, class Out>
void shift_row(const In* in, int width, int shift, Out* out) {
  const int before = std::clamp(-shift, 0, width), behind = std::clamp(shift, 0, width);
  std::fill_n(out, before, static_cast<Out>(in[0]));
  std::copy(in + behind, in + width - before, out + before);
  std::fill_n(out + width - behind, behind, static_cast<Out>(in[width - 1]));
}

template <class In, class Out>
void shift_batch(const In* in, const ImageBatch& batch, int pad, const ShiftKey& key, Out* out) {
  check(batch, pad);
  const std::int64_t plane = std::int64_t{batch.height} * batch.width;
  for (std::int64_t i = 0; i < batch.images; ++i) {
    Random random({key.seed, key.epoch, key.sample + static_cast<std::uint64_t>(i), key.view});
    const auto places = static_cast<std::uint32_t>(2 * pad + 1);
    const int x = static_cast<int>(random.below(places)) - pad, y = static_cast<int>(random.below(places)) - pad;
    for (int c = 0; c < batch.channels; ++c, in += plane, out += plane)
      for (int row = 0; row < batch.height; ++row) {
        const int from = std::clamp(row + y, 0, batch.height - 1);
        shift_row(in + std::int64_t{from} * batch.width, batch.width, x, out + std::int64_t{row} * batch.width);
      }
  }
}

}  // namespace

void random_shift(const std::uint8_t* in, const ImageBatch& batch, int pad, const ShiftKey& key, std::uint8_t* out) {
  shift_batch(in, batch, pad, key, out);
}

void random_shift(const std::uint8_t* in, const ImageBatch& batch, int pad, const ShiftKey& key, float* out) {
  shift_batch(in, batch, pad, key, out);
}

void random_shift(const float* in, const ImageBatch& batch, int pad, const ShiftKey& key, float* out) {
  shift_batch(in, batch, pad, key, out);
}

}  // namespace unlabel::augment
