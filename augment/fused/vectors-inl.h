// Vectors of levels: what resize-inl.h, color-inl.h and blur-inl.h have in common.
//
// Compiled once for every set of instructions, from view_kernel.cpp: the guard below is toggled by Highway's foreach_target.
#if defined(UNLABEL_AUGMENT_FUSED_VECTORS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNLABEL_AUGMENT_FUSED_VECTORS_INL_H_
#undef UNLABEL_AUGMENT_FUSED_VECTORS_INL_H_
#else
#define UNLABEL_AUGMENT_FUSED_VECTORS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Tags of whole vectors, and the vectors themselves. A vector of shorts has as many bytes as one of floats, and twice the lanes.
const hn::ScalableTag<float> kFloats;
const hn::RebindToSigned<decltype(kFloats)> kInts;
using Floats = hn::Vec<decltype(kFloats)>;
using Ints = hn::Vec<decltype(kInts)>;

// Levels in 64ths: 0 to 16320, with room for twice that. A product with a weight in 32768ths is off by half a 64th at most.
const hn::ScalableTag<std::int16_t> kShorts;
const hn::Rebind<std::uint8_t, decltype(kShorts)> kShortBytes;
using Shorts = hn::Vec<decltype(kShorts)>;
constexpr int kShortBits = 6;

int lanes() { return static_cast<int>(hn::Lanes(kFloats)); }
int short_lanes() { return static_cast<int>(hn::Lanes(kShorts)); }

int round_up(int value, int to) { return (value + to - 1) / to * to; }

/// Bytes as levels in 64ths.
Shorts load_shorts(const std::uint8_t* at) {
  return hn::ShiftLeft<kShortBits>(hn::PromoteTo(kShorts, hn::LoadU(kShortBytes, at)));
}

/// Levels in 64ths, rounded to whole levels and clamped to 0 to 255.
Shorts whole_levels(Shorts value) {
  const auto half = hn::Set(kShorts, std::int16_t{1 << (kShortBits - 1)});
  const auto levels = hn::ShiftRight<kShortBits>(hn::SaturatedAdd(value, half));
  return hn::Min(hn::Max(levels, hn::Zero(kShorts)), hn::Set(kShorts, std::int16_t{255}));
}

/// Stores levels in 64ths as bytes: rounded, and clamped to 0 to 255.
void store_bytes(Shorts value, std::uint8_t* at) {
  const auto half = hn::Set(kShorts, std::int16_t{1 << (kShortBits - 1)});
  hn::StoreU(hn::DemoteTo(kShortBytes, hn::ShiftRight<kShortBits>(hn::SaturatedAdd(value, half))), kShortBytes, at);
}

/// value * weight, of a weight in 32768ths, rounded.
Shorts scaled(Shorts value, Shorts weight) { return hn::MulFixedPoint15(value, weight); }
Shorts scaled(Shorts value, std::int16_t weight) { return scaled(value, hn::Set(kShorts, weight)); }

/// A weight of -1 to 1 in 32768ths; 1 itself becomes 32767.
constexpr std::int16_t in_shorts(float weight) {
  const float value = std::clamp(32768 * weight, -32768.0f, 32767.0f);
  return static_cast<std::int16_t>(value < 0 ? value - 0.5f : value + 0.5f);
}

/// Stores the first `count` of the vector's floats, where there is no room for all.
void store_part(Floats value, int count, float* at) {
  if (count >= lanes()) return hn::StoreU(value, kFloats, at);
  HWY_ALIGN float all[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(value, kFloats, all);
  std::copy_n(all, count, at);
}

/// Calls use(n) with `count` as a constant of the compiler, so that loops over it are unrolled; with 0 where it is not 1 to `most`.
template <int most, class Use>
HWY_INLINE void with_known(int count, const Use& use) {
  if (count == most) return use(std::integral_constant<int, most>());
  if constexpr (most > 1)
    with_known<most - 1>(count, use);
  else
    use(std::integral_constant<int, 0>());
}
constexpr int kMostKnown = 8;  // taps

/// Weights `step` apart, each repeated in all lanes. If the compiler knows how many there are (`known`) they stay in registers: it does not
/// load them again after each store of a result, as it must where they may have been overwritten.
template <int known>
struct Weights {
  Shorts values[known];

  Weights(const std::int16_t* at, std::ptrdiff_t step, int) {
    for (int k = 0; k < known; ++k) values[k] = hn::Set(kShorts, at[k * step]);
  }
  int count() const { return known; }
  Shorts operator[](int k) const { return values[k]; }
};

/// A count that is known only when the program runs: weights are loaded where they are used.
template <>
struct Weights<0> {
  const std::int16_t* at;
  std::ptrdiff_t step;
  int counted;

  Weights(const std::int16_t* first, std::ptrdiff_t apart, int count) : at(first), step(apart), counted(count) {}
  int count() const { return counted; }
  Shorts operator[](int k) const { return hn::Set(kShorts, at[k * step]); }
};

/// How many rows are resized or blurred at once, so that what one step stores has arrived in the cache when the next one reads it.
constexpr int kRows = 8;

}  // namespace
}  // namespace unlabel::augment::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
