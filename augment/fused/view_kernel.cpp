// This file is compiled once for every set of instructions (Highway's foreach_target), and the best is chosen when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unlabel/augment/fused/view_kernel.cpp"
#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/view_kernel.h>

// Vectors are members and elements of arrays here, which those of unknown length cannot be.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#endif
#include <hwy/foreach_target.h>  // NOLINT: before highway.h
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

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

Shorts load_shorts(const std::uint8_t* at) {
  return hn::ShiftLeft<kShortBits>(hn::PromoteTo(kShorts, hn::LoadU(kShortBytes, at)));
}

/// Rounded to levels of 0 to 255.
Shorts whole_levels(Shorts value) {
  const auto half = hn::Set(kShorts, std::int16_t{1 << (kShortBits - 1)});
  const auto levels = hn::ShiftRight<kShortBits>(hn::SaturatedAdd(value, half));
  return hn::Min(hn::Max(levels, hn::Zero(kShorts)), hn::Set(kShorts, std::int16_t{255}));
}

/// Rounds, and clamps to 0 to 255.
void store_bytes(Shorts value, std::uint8_t* at) {
  const auto half = hn::Set(kShorts, std::int16_t{1 << (kShortBits - 1)});
  hn::StoreU(hn::DemoteTo(kShortBytes, hn::ShiftRight<kShortBits>(hn::SaturatedAdd(value, half))), kShortBytes, at);
}

Shorts scaled(Shorts value, Shorts weight) { return hn::MulFixedPoint15(value, weight); }
Shorts scaled(Shorts value, std::int16_t weight) { return scaled(value, hn::Set(kShorts, weight)); }

/// A weight of -1 to 1 in 32768ths.
constexpr std::int16_t in_shorts(float weight) {
  const float value = std::clamp(32768 * weight, -32768.0f, 32767.0f);
  return static_cast<std::int16_t>(value < 0 ? value - 0.5f : value + 0.5f);
}

/// The first `count` of the vector's floats.
void store_part(Floats value, int count, float* at) {
  if (count >= lanes()) return hn::StoreU(value, kFloats, at);
  HWY_ALIGN float all[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(value, kFloats, all);
  std::copy_n(all, count, at);
}

/// A count of 1 to `most` that the compiler knows, so that loops over it are unrolled; else 0.
template <int most, class Use>
HWY_INLINE void with_known(int count, const Use& use) {
  if (count == most) return use(std::integral_constant<int, most>());
  if constexpr (most > 1)
    with_known<most - 1>(count, use);
  else
    use(std::integral_constant<int, 0>());
}
constexpr int kMostKnown = 8;

/// Weights `step` apart for all lanes: in registers if the compiler knows how many there are, which a store does not make it load again.
template <int known>
struct Weights {
  Shorts values[known];

  Weights(const std::int16_t* at, std::ptrdiff_t step, int) {
    for (int k = 0; k < known; ++k) values[k] = hn::Set(kShorts, at[k * step]);
  }
  int count() const { return known; }
  Shorts operator[](int k) const { return values[k]; }
};

template <>
struct Weights<0> {
  const std::int16_t* at;
  std::ptrdiff_t step;
  int counted;

  Weights(const std::int16_t* first, std::ptrdiff_t apart, int count) : at(first), step(apart), counted(count) {}
  int count() const { return counted; }
  Shorts operator[](int k) const { return hn::Set(kShorts, at[k * step]); }
};

// ---- Resize ----

HWY_INLINE Floats filter(Interpolation interpolation, Floats x) {
  const auto zero = hn::Zero(kFloats), one = hn::Set(kFloats, 1), two = hn::Set(kFloats, 2);
  x = hn::Abs(x);
  if (interpolation == Interpolation::kBilinear) return hn::Max(hn::Sub(one, x), zero);
  // Keys' cubic with a = -1/2.
  const auto near = hn::MulAdd(hn::Mul(x, x), hn::MulAdd(hn::Set(kFloats, 1.5f), x, hn::Set(kFloats, -2.5f)), one);
  const auto far = hn::MulAdd(
      hn::MulAdd(hn::MulAdd(hn::Set(kFloats, -0.5f), x, hn::Set(kFloats, 2.5f)), x, hn::Set(kFloats, -4)), x, two);
  return hn::IfThenElse(hn::Lt(x, one), near, hn::IfThenElseZero(hn::Lt(x, two), far));
}

/// Taps from a plane's samples to `out` outputs of the pixels [begin, begin + extent), which are not looked beyond (resize.h). Where `step`
/// pixels share a sample, each tap of a pixel goes to the samples that libjpeg's upsampling would make it from: if `smooth` three
/// quarters of the nearest and a quarter of the next, else the one that it lies in. Only rounding differs from doing one after the other.
void make_taps(int begin, int extent, int step, bool smooth, int samples, int out, bool mirror,
               Interpolation interpolation, LineVector<float>& offsets, ResizeTaps& taps) {
  const double scale = static_cast<double>(extent) / out, width = std::max(scale, 1.0);
  const double reach = (interpolation == Interpolation::kBilinear ? 1 : 2) * width;
  const int end = begin + extent, beside = smooth ? 1 : 0;
  const int pixels = std::min(static_cast<int>(std::ceil(2 * reach)), extent);  // that an output is made from, at most
  taps.low = std::max(begin / step - beside, 0);
  taps.high = std::min((end - 1) / step + 1 + beside, samples);
  taps.count = std::min(smooth ? pixels / 2 + 2 : (pixels + 2 * step - 2) / step, taps.high - taps.low);
  taps.padded = round_up(out, short_lanes());
  taps.first.resize(taps.padded);
  taps.weights.resize(static_cast<std::size_t>(taps.count) * taps.padded);
  taps.shorts.resize(taps.weights.size());
  offsets.resize(taps.padded);
  for (int place = 0; place < taps.padded; ++place) {
    const int i = std::min(place, out - 1);
    const double center = begin + ((mirror ? out - 1 - i : i) + 0.5) * scale;
    const int from = std::max(static_cast<int>(center - reach + 0.5), begin) - beside;
    const int first = std::clamp((from < 0 ? from - step + 1 : from) / step, taps.low, taps.high - taps.count);
    taps.first[place] = first;
    offsets[place] = static_cast<float>(first * step + 0.5 - center);
  }
  const auto narrow = hn::Set(kFloats, static_cast<float>(1 / width)), quarter = hn::Set(kFloats, 0.25f);
  auto most = hn::Zero(kFloats);
  for (int x = 0; x < taps.padded; x += lanes()) {
    const auto first = hn::LoadU(kInts, taps.first.data() + x);
    const auto first_pixel = hn::Mul(first, hn::Set(kInts, step));
    const auto offset = hn::LoadU(kFloats, offsets.data() + x);
    // The weight of the pixel that is `at` pixels behind the first sample's first one.
    const auto weight_of = [&](int at) {
      const auto pixel = hn::Add(first_pixel, hn::Set(kInts, at));
      const auto inside = hn::And(hn::Gt(pixel, hn::Set(kInts, begin - 1)), hn::Lt(pixel, hn::Set(kInts, end)));
      const auto distance = hn::Add(offset, hn::Set(kFloats, static_cast<float>(at)));
      return hn::IfThenElseZero(hn::RebindMask(kFloats, inside), filter(interpolation, hn::Mul(distance, narrow)));
    };
    float* const weights = taps.weights.data() + x;
    auto sum = hn::Zero(kFloats);
    for (int k = 0; k < taps.count; ++k) {
      auto weight = hn::Zero(kFloats);
      for (int i = 0; i < step; ++i) weight = hn::Add(weight, weight_of(k * step + i));
      if (smooth) {
        // Beyond the image's first and last sample are themselves.
        const auto sample = hn::Add(first, hn::Set(kInts, k));
        const auto is = [&](int which) { return hn::RebindMask(kFloats, hn::Eq(sample, hn::Set(kInts, which))); };
        const auto before = hn::IfThenElse(is(0), weight_of(2 * k), weight_of(2 * k - 1));
        const auto behind = hn::IfThenElse(is(samples - 1), weight_of(2 * k + 1), weight_of(2 * k + 2));
        weight = hn::MulAdd(hn::Set(kFloats, 0.75f), weight, hn::Mul(quarter, hn::Add(before, behind)));
      }
      hn::StoreU(weight, kFloats, weights + std::ptrdiff_t{k} * taps.padded);
      sum = hn::Add(sum, weight);
    }
    const auto inverse = hn::Div(hn::Set(kFloats, 1), sum);
    for (int k = 0; k < taps.count; ++k) {
      float* const at = weights + std::ptrdiff_t{k} * taps.padded;
      const auto weight = hn::Mul(hn::LoadU(kFloats, at), inverse);
      most = hn::Max(most, weight);
      hn::StoreU(weight, kFloats, at);
    }
  }
  taps.halved = hn::GetLane(hn::MaxOfLanes(kFloats, most)) > 1.001f;  // a bicubic's at the borders
  const auto times = hn::Set(kFloats, taps.halved ? 16384.0f : 32768.0f);
  const hn::Rebind<std::int16_t, decltype(kFloats)> few;
  for (std::size_t i = 0; i < taps.weights.size(); i += lanes())
    hn::StoreU(hn::DemoteTo(few, hn::NearestInt(hn::Mul(hn::LoadU(kFloats, taps.weights.data() + i), times))), few,
               taps.shorts.data() + i);
}

/// From so many taps on, weights are too small for 16 bits.
constexpr int kManyTaps = 128;

std::int16_t in_64ths(float level) {
  return static_cast<std::int16_t>(std::lround(std::clamp(64 * level, -32768.0f, 32767.0f)));
}

/// Output row `y` of a plane in 64ths, for its columns [low, high).
void resize_down(const PlanarImage& image, int plane, const ResizeTaps& taps, int y, int low, int high,
                 std::int16_t* out) {
  const int stride = image.planes[plane].stride, count = taps.count;
  const std::uint8_t* const in = image.data(plane) + static_cast<std::ptrdiff_t>(taps.first[y]) * stride;
  if (count > kManyTaps) {
    for (int x = low; x < high; ++x) {
      float sum = 0;
      for (std::ptrdiff_t k = 0; k < count; ++k) sum += taps.weights[k * taps.padded + y] * in[k * stride + x];
      out[x - low] = in_64ths(sum);
    }
    return;
  }
  const bool halved = taps.halved;
  with_known<kMostKnown>(count, [&](auto known) {
    const Weights<known> weights(taps.shorts.data() + y, taps.padded, count);
    for (int x = low; x < high; x += short_lanes()) {
      const std::uint8_t* at = in + x;
      auto sum = scaled(load_shorts(at), weights[0]);
      for (int k = 1; k < weights.count(); ++k) {
        at += stride;
        sum = hn::Add(sum, scaled(load_shorts(at), weights[k]));
      }
      hn::StoreU(halved ? hn::Add(sum, sum) : sum, kShorts, out + x - low);
    }
  });
}

#if HWY_TARGET == HWY_SCALAR
constexpr int kBlock = 1;
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3  // and what came after it
constexpr int kBlock = 32, kMostSpan = 4 * kBlock;
using Block = Shorts;
const hn::ScalableTag<std::int16_t> kBlockTag;
#else
constexpr int kBlock = 8, kMostSpan = 4 * kBlock;
const hn::CappedTag<std::int16_t, kBlock> kBlockTag;
using Block = hn::Vec<decltype(kBlockTag)>;
#endif

/// What resize_across looks up for each block of outputs: what it takes lies between the places of its ends, which rise along a line, or
/// fall where it is mirrored.
void find_blocks(ResizeTaps& taps) {
  taps.begins.resize(taps.padded / kBlock);
  taps.spans.resize(taps.padded / kBlock);
  taps.index.resize(taps.padded);
  for (int block = 0; block < taps.padded / kBlock; ++block) {
    const std::int32_t* const first = taps.first.data() + std::ptrdiff_t{block} * kBlock;
    const auto [low, high] = std::minmax(first[0], first[kBlock - 1]);
    taps.begins[block] = low - taps.low;
    taps.spans[block] = high + taps.count - low;
    for (int i = 0; i < kBlock; ++i) taps.index[block * kBlock + i] = static_cast<std::int16_t>(first[i] - low);
  }
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
Block first_index(const std::int16_t* at) { return hn::LoadU(kBlockTag, at); }
Block next_index(Block index) { return hn::Add(index, hn::Set(kBlockTag, std::int16_t{1})); }

/// Lane i is what is at index[i] of a and b, one after the other; an index counts to 64, and begins again.
Block look_up(Block a, Block b, Block index) { return Block{_mm512_permutex2var_epi16(a.raw, index.raw, b.raw)}; }

Block look_up(Block a, Block b, Block c, Block d, Block index) {
  const auto last = hn::Set(kBlockTag, std::int16_t{2 * kBlock - 1});
  return hn::IfThenElse(hn::Gt(index, last), look_up(c, d, index), look_up(a, b, index));
}
#elif HWY_TARGET != HWY_SCALAR
const hn::Repartition<std::uint8_t, decltype(kBlockTag)> kBlockBytes;

/// Of both bytes.
Block first_index(const std::int16_t* at) {
  return hn::Add(hn::Mul(hn::LoadU(kBlockTag, at), hn::Set(kBlockTag, std::int16_t{0x0202})),
                 hn::Set(kBlockTag, std::int16_t{0x0100}));
}
Block next_index(Block index) { return hn::Add(index, hn::Set(kBlockTag, std::int16_t{0x0202})); }

/// What lies at the bytes from `offset` on, and 0 for other indices.
template <int offset>
Block look_up(Block table, Block index) {
  const auto bytes = hn::Sub(hn::BitCast(kBlockBytes, index), hn::Set(kBlockBytes, offset));
  // From 16 on they get a high bit, as those below 0 have it.
  return hn::BitCast(kBlockTag, hn::TableLookupBytesOr0(hn::BitCast(kBlockBytes, table),
                                                        hn::SaturatedAdd(bytes, hn::Set(kBlockBytes, 0x70))));
}

Block look_up(Block a, Block b, Block index) { return hn::Or(look_up<0>(a, index), look_up<16>(b, index)); }
Block look_up(Block a, Block b, Block c, Block d, Block index) {
  return hn::Or(look_up(a, b, index), hn::Or(look_up<32>(c, index), look_up<48>(d, index)));
}
#endif

/// Outputs [x, x + kBlock) of a line, from what resize_across has.
void resize_slowly(const std::int16_t* in, const ResizeTaps& taps, int x, std::int16_t* out) {
  const std::int16_t* const weights = taps.shorts.data() + x;
  for (int i = 0; i < kBlock; ++i) {
    const std::int16_t* const at = in + taps.first[x + i] - taps.low;
    if (taps.count > kManyTaps) {
      float sum = 0;
      for (std::ptrdiff_t k = 0; k < taps.count; ++k) sum += taps.weights[k * taps.padded + x + i] * at[k];
      out[x + i] = in_64ths(sum / 64);
      continue;
    }
    int sum = 0;
    for (std::ptrdiff_t k = 0; k < taps.count; ++k) sum += (weights[k * taps.padded + i] * at[k] + (1 << 14)) >> 15;
    out[x + i] = static_cast<std::int16_t>(taps.halved ? 2 * sum : sum);
  }
}

/// Resizes `rows` lines in 64ths, which begin with sample taps.low and lie `stride` apart, into lines `out_stride` apart. Every instruction
/// set gives the same.
void resize_across(const std::int16_t* in, std::ptrdiff_t stride, int rows, const ResizeTaps& taps, std::int16_t* out,
                   std::ptrdiff_t out_stride) {
  const auto slowly = [&](int x) {
    for (int row = 0; row < rows; ++row) resize_slowly(in + row * stride, taps, x, out + row * out_stride);
  };
#if HWY_TARGET == HWY_SCALAR
  for (int x = 0; x < taps.padded; ++x) slowly(x);
#else
  const bool halved = taps.halved;
  const auto finished = [&](Block sum) { return halved ? hn::Add(sum, sum) : sum; };
  with_known<kMostKnown>(taps.count, [&](auto known) {
    for (int x = 0, block = 0; x < taps.padded; x += kBlock, ++block) {
      const int span = taps.spans[block];
      const std::int16_t* window = in + taps.begins[block];
      const std::int16_t* const weights = taps.shorts.data() + x;
      const auto first = first_index(taps.index.data() + x);
      std::int16_t* to = out + x;
      if constexpr (known > 0) {
        if (span <= 2 * kBlock) {
          Block index[known], weight[known];
          for (int k = 0; k < known; ++k) {
            index[k] = k == 0 ? first : next_index(index[k - 1]);
            weight[k] = hn::LoadU(kBlockTag, weights + std::ptrdiff_t{k} * taps.padded);
          }
          for (int row = 0; row < rows; ++row, window += stride, to += out_stride) {
            const auto a = hn::LoadU(kBlockTag, window), b = hn::LoadU(kBlockTag, window + kBlock);
            auto sum = hn::MulFixedPoint15(weight[0], look_up(a, b, index[0]));
            for (int k = 1; k < known; ++k) sum = hn::Add(sum, hn::MulFixedPoint15(weight[k], look_up(a, b, index[k])));
            hn::StoreU(finished(sum), kBlockTag, to);
          }
          continue;
        }
      }
      if (span > kMostSpan) {
        slowly(x);
        continue;
      }
      for (int row = 0; row < rows; ++row, window += stride, to += out_stride) {
        const auto a = hn::LoadU(kBlockTag, window), b = hn::LoadU(kBlockTag, window + kBlock),
                   c = hn::LoadU(kBlockTag, window + std::ptrdiff_t{2} * kBlock),
                   d = hn::LoadU(kBlockTag, window + std::ptrdiff_t{3} * kBlock);
        auto sum = hn::Zero(kBlockTag);
        auto index = first;
        for (int k = 0; k < taps.count; ++k) {
          const auto weight = hn::LoadU(kBlockTag, weights + std::ptrdiff_t{k} * taps.padded);
          sum = hn::Add(sum, hn::MulFixedPoint15(weight, look_up(a, b, c, d, index)));
          index = next_index(index);
        }
        hn::StoreU(finished(sum), kBlockTag, to);
      }
    }
  });
#endif
}

/// Writes a row of pixels, of planes `plane` apart, from lines in 64ths.
void store_row(PlanarImage::Colors colors, const std::int16_t* lines0, const std::int16_t* lines1,
               const std::int16_t* lines2, int width, std::uint8_t* red, std::size_t plane) {
  const auto center = hn::Set(kShorts, std::int16_t{128 << kShortBits});
  std::uint8_t* const green = red + plane;
  std::uint8_t* const blue = green + plane;
  for (int x = 0; x < width; x += short_lanes()) {
    const auto first = hn::LoadU(kShorts, lines0 + x);
    if (colors == PlanarImage::Colors::kGray) {
      for (auto* out : {red, green, blue}) store_bytes(first, out + x);
      continue;
    }
    const auto second = hn::LoadU(kShorts, lines1 + x), third = hn::LoadU(kShorts, lines2 + x);
    if (colors == PlanarImage::Colors::kRgb) {
      store_bytes(first, red + x);
      store_bytes(second, green + x);
      store_bytes(third, blue + x);
      continue;
    }
    const auto cb = hn::Sub(second, center), cr = hn::Sub(third, center);
    store_bytes(hn::SaturatedAdd(first, hn::SaturatedAdd(cr, scaled(cr, in_shorts(0.402f)))), red + x);
    store_bytes(
        hn::SaturatedAdd(first, hn::SaturatedAdd(scaled(cb, in_shorts(-0.344136f)), scaled(cr, in_shorts(-0.714136f)))),
        green + x);
    store_bytes(hn::SaturatedAdd(first, hn::SaturatedAdd(hn::SaturatedAdd(cb, cb), scaled(cb, in_shorts(-0.228f)))),
                blue + x);
  }
}

/// As many rows are resized at once: what one step stores is read by the next once it has arrived in the cache.
constexpr int kRows = 8;

/// The crop, resized and mirrored, as bytes of red, green and blue in scratch.pixels.
void resize_view(const PlanarImage& image, const ViewPlan& plan, ViewScratch& s) {
  const int planes = image.plane_count();
  const bool alike = planes == 1 || (image.planes[1].step_x == image.planes[0].step_x &&
                                     image.planes[1].step_y == image.planes[0].step_y);
  std::size_t column_room = 0;
  for (int i = 0; i < (alike ? 1 : 2); ++i) {
    const auto& plane = image.planes[i];
    make_taps(plan.box.x, plan.box.width, plane.step_x, plane.smooth_x, plane.width, plan.size.width, plan.mirror,
              plan.interpolation, s.offsets, s.across[i]);
    make_taps(plan.box.y, plan.box.height, plane.step_y, plane.smooth_y, plane.height, plan.size.height, false,
              plan.interpolation, s.offsets, s.down[i]);
    find_blocks(s.across[i]);
    column_room = std::max<std::size_t>(
        column_room, round_up(s.across[i].high - s.across[i].low, short_lanes()) + 5 * short_lanes());
  }
  const std::size_t line_room = s.across[0].padded;
  if (s.columns.size() < kRows * column_room) s.columns.resize(kRows * column_room);
  for (int i = 0; i < planes; ++i)
    if (s.lines[i].size() < kRows * line_room) s.lines[i].resize(kRows * line_room);
  s.plane = round_up(plan.size.area(), PlanarImage::kSlack) + PlanarImage::kSlack;
  if (s.pixels.size() < 3 * s.plane) s.pixels.resize(3 * s.plane);

  std::array<const std::int16_t*, 3> lines{};  // of grey three times the same
  for (int i = 0; i < 3; ++i) lines[i] = s.lines[std::min(i, planes - 1)].data();

  for (int y = 0; y < plan.size.height; y += kRows) {
    const int rows = std::min(kRows, plan.size.height - y);
    for (int i = 0; i < planes; ++i) {
      const int kind = i > 0 && !alike ? 1 : 0;
      const auto& across = s.across[kind];
      for (int row = 0; row < rows; ++row)
        resize_down(image, i, s.down[kind], y + row, across.low, across.high, s.columns.data() + row * column_room);
      resize_across(s.columns.data(), column_room, rows, across, s.lines[i].data(), line_room);
    }
    for (int row = 0; row < rows; ++row) {
      const std::size_t line = row * line_room;
      store_row(image.colors, lines[0] + line, lines[1] + line, lines[2] + line, plan.size.width,
                s.pixels.data() + static_cast<std::ptrdiff_t>(y + row) * plan.size.width, s.plane);
    }
  }
}

// ---- Colours ----

// Levels are whole numbers from operation to operation, cut or rounded where PIL does so (color.h).

struct Rgb {
  Shorts r, g, b;
};

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

/// The mean of a colour's channels as the eye weighs them.
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
      for (; value >= 2 && doublings < 9; ++doublings) value /= 2;
      part = static_cast<std::int16_t>(std::lround(std::clamp(16384 * value, 0.0f, 32767.0f)));
    }
  }

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

/// Through HSV with hue and saturation in 8 bits. `steps`: by how many of 256 the hue turns, -128 to 127.
HWY_INLINE Rgb turn_hue(const Rgb& c, std::int16_t steps) {
  const auto zero = hn::Zero(kShorts), one = hn::Set(kShorts, std::int16_t{1}),
             white = hn::Set(kShorts, std::int16_t{255});
  const auto most = hn::Max(c.r, hn::Max(c.g, c.b)), range = hn::Sub(most, hn::Min(c.r, hn::Min(c.g, c.b)));
  const auto of_red = hn::Eq(most, c.r), of_green = hn::Eq(most, c.g);
  const auto over =
      hn::IfThenElse(of_red, hn::Sub(c.g, c.b), hn::IfThenElse(of_green, hn::Sub(c.b, c.r), hn::Sub(c.r, c.g)));
  const auto third = hn::IfThenElse(
      of_red, zero, hn::IfThenElse(of_green, hn::Set(kShorts, std::int16_t{85}), hn::Set(kShorts, std::int16_t{170})));
  auto hue = hn::Add(floor_of_quotient(over, hn::Max(range, one), 255.0f / 6),
                     third);  // grey, whose range is 0, has the hue 0
  hue = hn::IfThenElse(hn::Lt(hue, zero), hn::Add(hue, white), hue);
  hue = hn::And(hn::Add(hue, hn::Set(kShorts, steps)), white);
  const auto saturation = floor_of_quotient(range, hn::Max(most, one), 255);
  // In 128ths of a level, by 32768ths of 1: 255 of 255 are 32767.
  const auto taken =
      hn::MulFixedPoint15(hn::ShiftLeft<7>(most), hn::Add(hn::ShiftLeft<7>(saturation), hn::ShiftRight<1>(saturation)));

  // How much of its colour a channel loses at a hue: of 4096 none, all, or between, by the distance in sixths of a turn from its own.
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

/// Levels of so many pixels that operation after operation goes over them in the nearest cache.
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

/// Applies operations [from, to) of the plan to all pixels, `mean` being the mean grey for a contrast: use(i, c) gets the colours of
/// pixels i, i + 1, ...
template <class Use>
HWY_INLINE void for_each_pixels(const ViewPlan& plan, const ViewScratch& s, int from, int to, int mean,
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

/// Applies operations [from, to) in place, and returns the mean grey then, in whole levels as PIL has it.
HWY_NOINLINE int apply_and_measure(const ViewPlan& plan, int from, int to, int mean, ViewScratch& s) {
  const int pixels = plan.size.area();
  auto sum = hn::Zero(kShorts);
  std::int64_t total = 0;
  int added = 0;
  for_each_pixels(plan, s, from, to, mean, [&](int i, const Rgb& c) {
    if (from < to) store_pixels(c, s, i);
    auto gray = gray_of(c);
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

/// Applies the operations, and normalises into `out`; with a blur to come, back into scratch.pixels.
HWY_NOINLINE void colour_view(const ViewPlan& plan, ViewScratch& s, float* out) {
  const int pixels = plan.size.area();
  int from = 0, mean = 0;
  for (int i = 0; i < plan.point_count; ++i) {
    if (plan.points[i].kind != PointOperation::Kind::kContrast) continue;
    mean = apply_and_measure(plan, from, i, mean, s);
    from = i;
  }
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

// ---- Blur ----

/// Where a mirror about the outermost pixels has pixel `at`.
int reflect(int at, int size) {
  if (size == 1) return 0;
  while (at < 0 || at >= size) at = at < 0 ? -at : 2 * size - 2 - at;
  return at;
}

/// Adds `radius` places before and behind a line, before and behind which there is room for short_lanes() more.
HWY_INLINE void add_border(std::int16_t* line, int width, int radius, bool zero) {
  if (zero) {
    std::fill_n(line - radius, radius, std::int16_t{0});
    std::fill_n(line + width, radius, std::int16_t{0});
  } else if (radius < width) {
    for (int k = 1; k <= radius; k += short_lanes()) {
      std::int16_t* const last = line + width - 1;
      const auto before = hn::Reverse(kShorts, hn::LoadU(kShorts, line + k));
      const auto behind = hn::Reverse(kShorts, hn::LoadU(kShorts, last - k - short_lanes() + 1));
      hn::StoreU(before, kShorts, line - k - short_lanes() + 1);
      hn::StoreU(behind, kShorts, last + k);
    }
  } else {
    for (int k = 1; k <= radius; ++k) {
      line[-k] = line[reflect(-k, width)];
      line[width - 1 + k] = line[reflect(width - 1 + k, width)];
    }
  }
}

/// Of `rows` lines, `stride` apart, gives use(row, x, value), for vectors of places x from 0 to `count`: weights[0] times what is there
/// and, for every distance k up to `radius`, weights[k] times what lies k steps before and behind.
template <class Use>
HWY_INLINE void convolve(const std::int16_t* all, int radius, const std::int16_t* lines, std::ptrdiff_t stride,
                         int rows, int count, std::ptrdiff_t step, const Use& use) {
  with_known<kMostKnown>(radius + 1, [&](auto known) {
    const Weights<known> weights(all, 1, radius + 1);
    for (int row = 0; row < rows; ++row) {
      const std::int16_t* const line = lines + row * stride;
      for (int x = 0; x < count; x += short_lanes()) {
        auto sum = scaled(hn::LoadU(kShorts, line + x), weights[0]);
        const std::int16_t *before = line + x, *behind = line + x;
        for (int k = 1; k < weights.count(); ++k) {
          before -= step;
          behind += step;
          sum = hn::Add(sum, scaled(hn::Add(hn::LoadU(kShorts, before), hn::LoadU(kShorts, behind)), weights[k]));
        }
        use(row, x, sum);
      }
    }
  });
}

/// Blurs scratch.pixels and normalises into `out`.
HWY_NOINLINE void blur_view(const ViewPlan& plan, ViewScratch& s, float* out) {
  const int width = plan.size.width, height = plan.size.height, radius = static_cast<int>(plan.blur_weights.size()) / 2;
  s.blur_weights.resize(radius + std::size_t{1});  // of distance 0, 1, ...
  for (int k = 0; k <= radius; ++k) s.blur_weights[k] = in_shorts(plan.blur_weights[radius + k]);
  const std::int16_t* const weights = s.blur_weights.data();
  const std::ptrdiff_t stride = round_up(width, short_lanes());
  const int border = round_up(radius, short_lanes()) + short_lanes();
  const std::ptrdiff_t line_room = stride + std::ptrdiff_t{2} * border;
  if (s.columns.size() < static_cast<std::size_t>(kRows * line_room)) s.columns.resize(kRows * line_room);
  // With the rows that the border adds, which are made once each.
  const std::size_t rows_room = (height + 2 * static_cast<std::size_t>(radius)) * stride;
  if (s.rows.size() < rows_room) s.rows.resize(rows_room);
  std::int16_t* const lines = s.columns.data() + border;
  std::int16_t* const rows = s.rows.data() + radius * stride;
  for (int channel = 0; channel < 3; ++channel) {
    for (int y = 0; y < height; y += kRows) {
      const int count = std::min(kRows, height - y);
      for (int row = 0; row < count; ++row) {
        const std::uint8_t* const in =
            s.pixels.data() + channel * s.plane + static_cast<std::ptrdiff_t>(y + row) * width;
        std::int16_t* const line = lines + row * line_room;
        for (int x = 0; x < width; x += short_lanes()) hn::StoreU(load_shorts(in + x), kShorts, line + x);
      }
      for (int row = 0; row < count; ++row) add_border(lines + row * line_room, width, radius, plan.blur_zero_border);
      std::int16_t* const first = rows + y * stride;
      convolve(weights, radius, lines, line_room, count, width, 1,
               [&](int row, int x, Shorts value) { hn::StoreU(value, kShorts, first + row * stride + x); });
    }
    for (int k = 1; k <= radius; ++k)
      for (const int y : {-k, height - 1 + k}) {
        if (plan.blur_zero_border)
          std::fill_n(rows + y * stride, stride, std::int16_t{0});
        else
          std::copy_n(rows + reflect(y, height) * stride, stride, rows + y * stride);
      }
    const auto scale = hn::Set(kFloats, plan.scale[channel]), shift = hn::Set(kFloats, plan.shift[channel]);
    const auto threshold = Point::threshold_of(plan.solarize_threshold);
    float* const plane = out + static_cast<std::ptrdiff_t>(channel) * height * width;
    convolve(weights, radius, rows, stride, height, width, stride, [&](int y, int x, Shorts value) {
      auto levels = whole_levels(value);
      if (plan.solarize_after_blur) levels = solarize(levels, threshold);
      normalize(levels, scale, shift, width - x, plane + static_cast<std::ptrdiff_t>(y) * width + x);
    });
  }
}

void make_view_here(const PlanarImage& image, const ViewPlan& plan, ViewScratch& scratch, float* out) {
  resize_view(image, plan, scratch);
  colour_view(plan, scratch, out);
  if (plan.blur) blur_view(plan, scratch, out);
}

}  // namespace
}  // namespace unlabel::augment::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unlabel::augment {

namespace {

HWY_EXPORT(make_view_here);

/// Those that there is code for and that run here, the fastest first: Highway gives the better ones the lower bits.
const std::vector<std::int64_t>& targets() {
  static const auto all = [] {
    const std::int64_t usable = HWY_TARGETS & (hwy::SupportedTargets() | HWY_STATIC_TARGET);
    std::vector<std::int64_t> found;
    for (int bit = 0; bit < 63; ++bit)
      if (const std::int64_t target = std::int64_t{1} << bit; usable & target) found.push_back(target);
    return found;
  }();
  return all;
}

std::string chosen;  // "": the fastest

}  // namespace

void make_view(const PlanarImage& image, const ViewPlan& plan, ViewScratch& scratch, float* out) {
  HWY_DYNAMIC_DISPATCH(make_view_here)(image, plan, scratch, out);
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const auto target : targets()) names.emplace_back(hwy::TargetName(target));
  return names;
}

std::string instruction_set() { return chosen.empty() ? instruction_sets().front() : chosen; }

void use_instruction_set(const std::string& name) {
  std::string known;
  for (const auto target : targets()) {
    known += std::string(known.empty() ? "" : ", ") + hwy::TargetName(target);
    if (!name.empty() && name != hwy::TargetName(target)) continue;
    hwy::GetChosenTarget().Update(target);
    chosen = name;
    return;
  }
  throw UsageError("there is no instruction set '", name, "' here; there are ", known);
}

}  // namespace unlabel::augment
#endif
