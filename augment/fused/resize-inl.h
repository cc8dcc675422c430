// The first part of a view: a box of the image's planes, resized with an antialiased filter, mirrored, and made RGB.
//
// Compiled once for every set of instructions, from view_kernel.cpp: the guard below is toggled by Highway's foreach_target.
#if defined(UNLABEL_AUGMENT_FUSED_RESIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNLABEL_AUGMENT_FUSED_RESIZE_INL_H_
#undef UNLABEL_AUGMENT_FUSED_RESIZE_INL_H_
#else
#define UNLABEL_AUGMENT_FUSED_RESIZE_INL_H_
#endif

#include <unlabel/augment/fused/vectors-inl.h>
#include <unlabel/augment/fused/view_kernel.h>

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

/// The weight of a pixel that lies x from the output, in units of the filter: a triangle, or Keys' cubic with a = -1/2 (resize.h).
HWY_INLINE Floats filter(Interpolation interpolation, Floats x) {
  const auto zero = hn::Zero(kFloats), one = hn::Set(kFloats, 1), two = hn::Set(kFloats, 2);
  x = hn::Abs(x);
  if (interpolation == Interpolation::kBilinear) return hn::Max(hn::Sub(one, x), zero);
  // (3/2 x - 5/2) x^2 + 1 up to 1, and ((-1/2 x + 5/2) x - 4) x + 2 up to 2.
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
  // Where each output begins. At the borders the first sample moves inwards, so that all outputs have `count` samples; what then lies
  // beyond the box gets the weight 0.
  for (int place = 0; place < taps.padded; ++place) {
    const int i = std::min(place, out - 1);
    const double center = begin + ((mirror ? out - 1 - i : i) + 0.5) * scale;
    const int from = std::max(static_cast<int>(center - reach + 0.5), begin) - beside;
    const int first = std::clamp((from < 0 ? from - step + 1 : from) / step, taps.low, taps.high - taps.count);
    taps.first[place] = first;
    offsets[place] = static_cast<float>(first * step + 0.5 - center);
  }
  // The weights of a vector of outputs at a time; `most` is the greatest of all.
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
    // Each output's weights sum to 1.
    const auto inverse = hn::Div(hn::Set(kFloats, 1), sum);
    for (int k = 0; k < taps.count; ++k) {
      float* const at = weights + std::ptrdiff_t{k} * taps.padded;
      const auto weight = hn::Mul(hn::LoadU(kFloats, at), inverse);
      most = hn::Max(most, weight);
      hn::StoreU(weight, kFloats, at);
    }
  }
  // Weights in 16 bits. Where one is above 1 all are halved, and sums doubled afterwards.
  taps.halved = hn::GetLane(hn::MaxOfLanes(kFloats, most)) > 1.001f;  // a bicubic's at the borders
  const auto times = hn::Set(kFloats, taps.halved ? 16384.0f : 32768.0f);
  const hn::Rebind<std::int16_t, decltype(kFloats)> few;
  for (std::size_t i = 0; i < taps.weights.size(); i += lanes())
    hn::StoreU(hn::DemoteTo(few, hn::NearestInt(hn::Mul(hn::LoadU(kFloats, taps.weights.data() + i), times))), few,
               taps.shorts.data() + i);
}

/// With more taps than this, weights are too small for 16 bits.
constexpr int kManyTaps = 128;

/// A level in 64ths, rounded.
std::int16_t in_64ths(float level) {
  return static_cast<std::int16_t>(std::lround(std::clamp(64 * level, -32768.0f, 32767.0f)));
}

/// Output row `y` of a plane in 64ths, for its columns [low, high).
void resize_down(const PlanarImage& image, int plane, const ResizeTaps& taps, int y, int low, int high,
                 std::int16_t* out) {
  const int stride = image.planes[plane].stride, count = taps.count;
  const std::uint8_t* const in = image.data(plane) + static_cast<std::ptrdiff_t>(taps.first[y]) * stride;
  if (count > kManyTaps) {  // rare, as the crop shrinks by a large factor: one pixel at a time, in floats
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

// Outputs of a line are made in blocks. What a block takes is loaded into two or four vectors, and each lane picks its input from them by
// its index (look_up): AVX-512 has an instruction that picks 16-bit lanes from two vectors, others pick bytes from one.
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

/// Fills in `begins`, `spans` and `index` of taps, which resize_across reads. What a block takes lies between the inputs of its two ends,
/// since these rise along a line, or fall where it is mirrored.
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
/// The index of each lane's first input, and from one input's index that of the next.
Block first_index(const std::int16_t* at) { return hn::LoadU(kBlockTag, at); }
Block next_index(Block index) { return hn::Add(index, hn::Set(kBlockTag, std::int16_t{1})); }

/// Lane i is what is at index[i] of a and b, one after the other; of an index the lowest 6 bits count. (Highway 1.0 has no function for
/// this instruction.)
Block look_up(Block a, Block b, Block index) { return Block{_mm512_permutex2var_epi16(a.raw, index.raw, b.raw)}; }

Block look_up(Block a, Block b, Block c, Block d, Block index) {
  const auto last = hn::Set(kBlockTag, std::int16_t{2 * kBlock - 1});
  return hn::IfThenElse(hn::Gt(index, last), look_up(c, d, index), look_up(a, b, index));
}
#elif HWY_TARGET != HWY_SCALAR
const hn::Repartition<std::uint8_t, decltype(kBlockTag)> kBlockBytes;

/// The same for tables of bytes: the index of each lane's lower byte, 2 i, and of its upper one, 2 i + 1.
Block first_index(const std::int16_t* at) {
  return hn::Add(hn::Mul(hn::LoadU(kBlockTag, at), hn::Set(kBlockTag, std::int16_t{0x0202})),
                 hn::Set(kBlockTag, std::int16_t{0x0100}));
}
Block next_index(Block index) { return hn::Add(index, hn::Set(kBlockTag, std::int16_t{0x0202})); }

/// What is at the bytes `index` - `offset` of the table, and 0 where that is not in it.
template <int offset>
Block look_up(Block table, Block index) {
  const auto bytes = hn::Sub(hn::BitCast(kBlockBytes, index), hn::Set(kBlockBytes, offset));
  // TableLookupBytesOr0 gives 0 for an index with a high bit: those below 0 have it, and adding 0x70 gives it to those from 16 on.
  return hn::BitCast(kBlockTag, hn::TableLookupBytesOr0(hn::BitCast(kBlockBytes, table),
                                                        hn::SaturatedAdd(bytes, hn::Set(kBlockBytes, 0x70))));
}

Block look_up(Block a, Block b, Block index) { return hn::Or(look_up<0>(a, index), look_up<16>(b, index)); }
Block look_up(Block a, Block b, Block c, Block d, Block index) {
  return hn::Or(look_up(a, b, index), hn::Or(look_up<32>(c, index), look_up<48>(d, index)));
}
#endif

/// Outputs [x, x + kBlock) of a line, one by one: for blocks that take too much for look_up, and for many taps.
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
  // A block of outputs of all rows, then the next: its weights and indices are loaded once.
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
        // The common case, few taps from two vectors: weights and indices stay in registers.
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
      // Any number of taps, from four vectors.
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

/// Writes a row of pixels as red, green and blue, of planes `plane` apart, from lines of the image's own colors in 64ths.
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
    // JFIF: R = Y + 1.402 Cr, G = Y - 0.344136 Cb - 0.714136 Cr, B = Y + 1.772 Cb. Factors beyond 1 are a whole part and a fraction.
    const auto cb = hn::Sub(second, center), cr = hn::Sub(third, center);
    store_bytes(hn::SaturatedAdd(first, hn::SaturatedAdd(cr, scaled(cr, in_shorts(0.402f)))), red + x);
    store_bytes(
        hn::SaturatedAdd(first, hn::SaturatedAdd(scaled(cb, in_shorts(-0.344136f)), scaled(cr, in_shorts(-0.714136f)))),
        green + x);
    store_bytes(hn::SaturatedAdd(first, hn::SaturatedAdd(hn::SaturatedAdd(cb, cb), scaled(cb, in_shorts(-0.228f)))),
                blue + x);
  }
}

/// The crop, resized and mirrored, as bytes of red, green and blue in scratch.pixels.
void resize_view(const PlanarImage& image, const FusedViewParams& plan, ViewScratch& s) {
  const int planes = image.plane_count();
  const bool alike = planes == 1 || (image.planes[1].step_x == image.planes[0].step_x &&
                                     image.planes[1].step_y == image.planes[0].step_y);
  // Weights once for all planes, or where chroma is subsampled once for luma and once for chroma. Lines have room for the four vectors that
  // resize_across loads from a block's begin on.
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

  std::array<const std::int16_t*, 3> lines{};  // of gray three times the same
  for (int i = 0; i < 3; ++i) lines[i] = s.lines[std::min(i, planes - 1)].data();

  // kRows output rows at a time: down each column first, then across, then to RGB.
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

}  // namespace
}  // namespace unlabel::augment::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
