// The second part of a view: operations on the colors of its pixels, and levels to normalized floats.
//
// Compiled once for every set of instructions, from view_kernel.cpp: the guard below is toggled by Highway's foreach_target.
#if defined(UNLABEL_AUGMENT_FUSED_COLOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNLABEL_AUGMENT_FUSED_COLOR_INL_H_
#undef UNLABEL_AUGMENT_FUSED_COLOR_INL_H_
#else
#define UNLABEL_AUGMENT_FUSED_COLOR_INL_H_
#endif

#include <unlabel/augment/fused/vectors-inl.h>
#include <unlabel/augment/fused/view_kernel.h>

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

// Levels are whole numbers from operation to operation, cut or rounded where PIL does so (color.h).

/// A vector of pixels.
struct Rgb {
  Shorts r, g, b;
};

// A vector of levels makes two of floats, which have half as many lanes; where a vector is one lane, it makes one.
#if HWY_TARGET == HWY_SCALAR
constexpr int kHalves = 1;
template <int half>
Floats to_floats(Shorts levels) {
  return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, levels));
}
Shorts to_shorts(const Floats (&halves)[kHalves]) { return hn::DemoteTo(kShorts, hn::NearestInt(halves[0])); }
#else
constexpr int kHalves = 2;
template <int half>
Floats to_floats(Shorts levels) {
  if constexpr (half == 0)
    return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, hn::LowerHalf(levels)));
  else
    return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, hn::UpperHalf(hn::Half<decltype(kShorts)>(), levels)));
}
Shorts to_shorts(const Floats (&halves)[kHalves]) {
  const hn::Half<decltype(kShorts)> few;
  return hn::Combine(kShorts, hn::DemoteTo(few, hn::NearestInt(halves[1])),
                     hn::DemoteTo(few, hn::NearestInt(halves[0])));
}
#endif

/// .299 R + .587 G + .114 B in 128ths of a level, rounded.
HWY_INLINE Shorts gray_of(const Rgb& c) {
  constexpr int kBits = 7;
  const auto part = [](Shorts value, float weight) { return scaled(hn::ShiftLeft<kBits>(value), in_shorts(weight)); };
  const auto sum = hn::Add(hn::Add(part(c.r, 0.299f), part(c.g, 0.587f)),
                           hn::Add(part(c.b, 0.114f), hn::Set(kShorts, std::int16_t{1 << (kBits - 1)})));
  return hn::ShiftRight<kBits>(sum);
}

/// A PointOperation for 16 bits.
struct Point {
  PointOperation::Kind kind;
  std::int16_t turn = 0;  ///< kHue
  std::int16_t part = 0;  ///< of a factor, in 16384ths; doubled so often:
  int doublings = 0;
  std::int16_t threshold = 0;  ///< kSolarize: the least level that is not below it

  explicit Point(const PointOperation& operation) : kind(operation.kind) {
    float value = operation.value;
    if (kind == PointOperation::Kind::kHue) {
      turn = static_cast<std::int16_t>(value);
    } else if (kind == PointOperation::Kind::kSolarize) {
      threshold = threshold_of(value);
    } else {
      // 16 bits have room for factors below 2; larger ones are halved until they fit.
      for (; value >= 2 && doublings < 9; ++doublings) value /= 2;
      part = static_cast<std::int16_t>(std::lround(std::clamp(16384 * value, 0.0f, 32767.0f)));
    }
  }

  /// Levels are whole: x < level is x < ceil(level).
  static std::int16_t threshold_of(float level) {
    return static_cast<std::int16_t>(std::ceil(std::clamp(level, 0.0f, 256.0f)));
  }
};

/// other + factor (value - other), cut to 0 to 255 and to whole levels.
HWY_INLINE Shorts blend(Shorts value, const Point& factor, Shorts other) {
  auto change = scaled(hn::ShiftLeft<kShortBits + 1>(hn::Sub(value, other)), factor.part);
  for (int i = 0; i < factor.doublings; ++i) change = hn::SaturatedAdd(change, change);
  const auto sum = hn::SaturatedAdd(change, hn::ShiftLeft<kShortBits>(other));
  return hn::ShiftRight<kShortBits>(
      hn::Min(hn::Max(sum, hn::Zero(kShorts)), hn::Set(kShorts, std::int16_t{255 << kShortBits})));
}

HWY_INLINE Rgb blend(const Rgb& c, const Point& factor, Shorts other) {
  return {blend(c.r, factor, other), blend(c.g, factor, other), blend(c.b, factor, other)};
}

/// 1 / value to a float's precision or nearly so.
HWY_INLINE Floats reciprocal(Floats value) {
  const auto about = hn::ApproximateReciprocal(value);
  return hn::Mul(about, hn::NegMulAdd(value, about, hn::Set(kFloats, 2)));
}

/// Of a half of the lanes: what rounds to floor(times over / under).
template <int half>
HWY_INLINE Floats floor_of_quotient(Shorts over, Shorts under, float times) {
  const auto quotient = hn::Mul(to_floats<half>(over), reciprocal(to_floats<half>(under)));
  // The nearest to a half less: what a quotient may lack to be whole is added, others are 1/510 and more away.
  return hn::MulAdd(quotient, hn::Set(kFloats, times), hn::Set(kFloats, 1.0f / 1024 - 0.5f));
}

/// floor(times over / under)
HWY_INLINE Shorts floor_of_quotient(Shorts over, Shorts under, float times) {
  Floats halves[kHalves];
  halves[0] = floor_of_quotient<0>(over, under, times);
  if constexpr (kHalves > 1) halves[kHalves - 1] = floor_of_quotient<kHalves - 1>(over, under, times);
  return to_shorts(halves);
}

/// Turns the hue in HSV, with hue and saturation in 8 bits as PIL has them. `steps`: by how many of 256 the hue turns, -128 to 127.
HWY_INLINE Rgb turn_hue(const Rgb& c, std::int16_t steps) {
  const auto zero = hn::Zero(kShorts), one = hn::Set(kShorts, std::int16_t{1}),
             white = hn::Set(kShorts, std::int16_t{255});
  // To HSV: V is the greatest channel; H is by which channel that is (a third of 255 each), and how far the others differ.
  const auto most = hn::Max(c.r, hn::Max(c.g, c.b)), range = hn::Sub(most, hn::Min(c.r, hn::Min(c.g, c.b)));
  const auto of_red = hn::Eq(most, c.r), of_green = hn::Eq(most, c.g);
  const auto over =
      hn::IfThenElse(of_red, hn::Sub(c.g, c.b), hn::IfThenElse(of_green, hn::Sub(c.b, c.r), hn::Sub(c.r, c.g)));
  const auto third = hn::IfThenElse(
      of_red, zero, hn::IfThenElse(of_green, hn::Set(kShorts, std::int16_t{85}), hn::Set(kShorts, std::int16_t{170})));
  auto hue = hn::Add(floor_of_quotient(over, hn::Max(range, one), 255.0f / 6),
                     third);  // gray, whose range is 0, has the hue 0
  // Below 0 it wraps around at 255, as PIL's does; turning wraps around at 256.
  hue = hn::IfThenElse(hn::Lt(hue, zero), hn::Add(hue, white), hue);
  hue = hn::And(hn::Add(hue, hn::Set(kShorts, steps)), white);
  const auto saturation = floor_of_quotient(range, hn::Max(most, one), 255);
  // V S, the most that a channel lies below V, in 128ths of a level; S of 255 in 32768ths: 255 are 32767.
  const auto taken =
      hn::MulFixedPoint15(hn::ShiftLeft<7>(most), hn::Add(hn::ShiftLeft<7>(saturation), hn::ShiftRight<1>(saturation)));

  // Back to RGB: the share of V S that a channel loses, by the distance of the hue in sixths of a turn from the channel's own: none up to
  // one sixth, all from two on, and linear between. In 4096ths, then in 32768ths.
  const auto angle = scaled(hn::ShiftLeft<7>(hue), in_shorts(6 * 4096 / (255 * 128.0f)));
  const auto lost = [&](Shorts slope) {
    return hn::ShiftLeft<3>(hn::Min(hn::Max(slope, zero), hn::Set(kShorts, std::int16_t{4095})));
  };
  const auto from = [&](int sixths) {
    return hn::Abs(hn::Sub(angle, hn::Set(kShorts, static_cast<std::int16_t>(4096 * sixths))));
  };
  const auto unit = hn::Set(kShorts, std::int16_t{4096}), two = hn::Set(kShorts, std::int16_t{8192});
  const auto top = hn::Add(hn::ShiftLeft<7>(most), hn::Set(kShorts, std::int16_t{64}));
  const auto channel = [&](Shorts share) { return hn::ShiftRight<7>(hn::Sub(top, hn::MulFixedPoint15(taken, share))); };
  return {channel(lost(hn::Sub(two, from(3)))), channel(lost(hn::Sub(from(2), unit))),
          channel(lost(hn::Sub(from(4), unit)))};
}

HWY_INLINE Shorts solarize(Shorts value, std::int16_t threshold) {
  return hn::IfThenElse(hn::Lt(value, hn::Set(kShorts, threshold)), value,
                        hn::Sub(hn::Set(kShorts, std::int16_t{255}), value));
}

/// Levels of as many pixels as fit into the nearest cache while operation after operation goes over them.
struct PixelBlock {
  static constexpr int kPixels = 512;
  HWY_ALIGN std::int16_t r[kPixels];
  HWY_ALIGN std::int16_t g[kPixels];
  HWY_ALIGN std::int16_t b[kPixels];

  Rgb load(int i) const { return {hn::Load(kShorts, r + i), hn::Load(kShorts, g + i), hn::Load(kShorts, b + i)}; }
  void store(const Rgb& c, int i) {
    hn::Store(c.r, kShorts, r + i);
    hn::Store(c.g, kShorts, g + i);
    hn::Store(c.b, kShorts, b + i);
  }
};

/// Applies the operation to the first `count` pixels.
HWY_INLINE void apply(const Point& point, int mean, int count, PixelBlock& block) {
  using Kind = PointOperation::Kind;
  const auto each = [&](const auto& change) {
    const Point same = point;  // no store changes it, so that it stays in registers
    for (int i = 0; i < count; i += short_lanes()) block.store(change(block.load(i), same), i);
  };
  switch (point.kind) {
    case Kind::kBrightness:
      return each([](const Rgb& c, const Point& p) { return blend(c, p, hn::Zero(kShorts)); });
    case Kind::kContrast:
      return each([mean](const Rgb& c, const Point& p) {
        return blend(c, p, hn::Set(kShorts, static_cast<std::int16_t>(mean)));
      });
    case Kind::kSaturation:
      return each([](const Rgb& c, const Point& p) { return blend(c, p, gray_of(c)); });
    case Kind::kHue:
      return each([](const Rgb& c, const Point& p) { return turn_hue(c, p.turn); });
    case Kind::kGray:
      return each([](const Rgb& c, const Point&) {
        const auto gray = gray_of(c);
        return Rgb{gray, gray, gray};
      });
    case Kind::kSolarize:
      return each([](const Rgb& c, const Point& p) {
        return Rgb{solarize(c.r, p.threshold), solarize(c.g, p.threshold), solarize(c.b, p.threshold)};
      });
  }
}

Shorts load_levels(const std::uint8_t* at) { return hn::PromoteTo(kShorts, hn::LoadU(kShortBytes, at)); }
void store_levels(Shorts levels, std::uint8_t* at) { hn::StoreU(hn::DemoteTo(kShortBytes, levels), kShortBytes, at); }

/// Applies operations [from, to) of the plan to all pixels, block by block, `mean` being the mean gray for a contrast: use(i, c) gets the
/// colors of pixels i, i + 1, ... of a vector.
template <class Use>
HWY_INLINE void for_each_pixels(const FusedViewParams& plan, const ViewScratch& s, int from, int to, int mean,
                                const Use& use) {
  const int pixels = plan.size.area();
  const std::uint8_t* const levels = s.pixels.data();
  const std::ptrdiff_t plane = s.plane;
  const auto load = [&](int i) {
    const std::uint8_t* const at = levels + i;
    return Rgb{load_levels(at), load_levels(at + plane), load_levels(at + 2 * plane)};
  };
  if (from == to) {
    for (int i = 0; i < pixels; i += short_lanes()) use(i, load(i));
    return;
  }
  PixelBlock block;
  for (int begin = 0; begin < pixels; begin += PixelBlock::kPixels) {
    const int count = std::min(PixelBlock::kPixels, pixels - begin);
    for (int i = 0; i < count; i += short_lanes()) block.store(load(begin + i), i);
    for (int k = from; k < to; ++k) apply(Point(plan.points[k]), mean, count, block);
    for (int i = 0; i < count; i += short_lanes()) use(begin + i, block.load(i));
  }
}

/// Stores the colors of pixels i, i + 1, ... into scratch.pixels.
HWY_INLINE void store_pixels(const Rgb& c, ViewScratch& s, int i) {
  std::uint8_t* const at = s.pixels.data() + i;
  store_levels(c.r, at);
  store_levels(c.g, at + s.plane);
  store_levels(c.b, at + 2 * s.plane);
}

/// The sum of lanes that are not negative.
HWY_INLINE std::int64_t sum_of(Shorts values) {
  const auto sum = hn::Add(to_floats<0>(values), kHalves > 1 ? to_floats<kHalves - 1>(values) : hn::Zero(kFloats));
  return static_cast<std::int64_t>(hn::GetLane(hn::SumOfLanes(kFloats, sum)));  // whole numbers, exact below 2^24
}

/// Applies operations [from, to) in place, and returns the mean gray then, in whole levels as PIL has it.
HWY_NOINLINE int apply_and_measure(const FusedViewParams& plan, int from, int to, int mean, ViewScratch& s) {
  const int pixels = plan.size.area();
  auto sum = hn::Zero(kShorts);
  std::int64_t total = 0;
  int added = 0;
  for_each_pixels(plan, s, from, to, mean, [&](int i, const Rgb& c) {
    if (from < to) store_pixels(c, s, i);
    auto gray = gray_of(c);
    // What lies behind the last pixel does not count.
    if (i + short_lanes() > pixels) gray = hn::IfThenElseZero(hn::FirstN(kShorts, pixels - i), gray);
    sum = hn::Add(sum, gray);
    if (++added == 128) {  // 128 x 255 is the most that a lane can hold
      total += sum_of(sum);
      sum = hn::Zero(kShorts);
      added = 0;
    }
  });
  total += sum_of(sum);
  return static_cast<int>(std::floor(static_cast<double>(total) / pixels + 0.5));
}

/// Writes the first `count` of the levels as scale * level + shift.
HWY_INLINE void normalize(Shorts levels, Floats scale, Floats shift, int count, float* out) {
  const auto first = hn::MulAdd(to_floats<0>(levels), scale, shift),
             second = hn::MulAdd(to_floats<kHalves - 1>(levels), scale, shift);
  if (count >= short_lanes()) {
    hn::StoreU(first, kFloats, out);
    if (kHalves > 1) hn::StoreU(second, kFloats, out + lanes());
    return;
  }
  store_part(first, count, out);
  if (count > lanes()) store_part(second, count - lanes(), out + lanes());
}

/// Applies the operations, and normalizes into `out`; with a blur to come, back into scratch.pixels.
HWY_NOINLINE void color_view(const FusedViewParams& plan, ViewScratch& s, float* out) {
  const int pixels = plan.size.area();
  // A contrast needs the mean gray of all pixels as they are before it, so operations run up to each contrast first.
  int from = 0, mean = 0;
  for (int i = 0; i < plan.point_count; ++i) {
    if (plan.points[i].kind != PointOperation::Kind::kContrast) continue;
    mean = apply_and_measure(plan, from, i, mean, s);
    from = i;
  }
  // The last operations on the way out: back into the view's bytes for a blur, else to floats.
  if (plan.blur) {
    if (from < plan.point_count)
      for_each_pixels(plan, s, from, plan.point_count, mean, [&](int i, const Rgb& c) { store_pixels(c, s, i); });
    return;
  }
  for_each_pixels(plan, s, from, plan.point_count, mean, [&](int i, const Rgb& c) {
    int channel = 0;
    for (const auto& levels : {c.r, c.g, c.b}) {
      normalize(levels, hn::Set(kFloats, plan.scale[channel]), hn::Set(kFloats, plan.shift[channel]), pixels - i,
                out + static_cast<std::ptrdiff_t>(channel) * pixels + i);
      ++channel;
    }
  });
}

}  // namespace
}  // namespace unlabel::augment::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
