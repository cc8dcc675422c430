// This file is compiled once for every set of instructions (Highway's foreach_target), and the best is chosen when the program runs.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unlabel/augment/view_kernel.cpp"
#include <unlabel/augment/error.h>
#include <unlabel/augment/view_kernel.h>

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
const hn::Rebind<std::uint8_t, decltype(kFloats)> kBytes;
using Floats = hn::Vec<decltype(kFloats)>;
using Ints = hn::Vec<decltype(kInts)>;

int lanes() { return static_cast<int>(hn::Lanes(kFloats)); }

Floats load_bytes(const std::uint8_t* at) {
  return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, hn::LoadU(kBytes, at)));
}

/// Rounds, and clamps to 0 to 255.
void store_bytes(Floats value, std::uint8_t* at) {
  hn::StoreU(hn::DemoteTo(kBytes, hn::NearestInt(value)), kBytes, at);
}

/// The first `count` of the vector's floats.
void store_part(Floats value, int count, float* at) {
  if (count >= lanes()) return hn::StoreU(value, kFloats, at);
  HWY_ALIGN float all[HWY_MAX_BYTES / sizeof(float)];
  hn::Store(value, kFloats, all);
  std::copy_n(all, count, at);
}

// ---- Resize ----

float triangle(float x) { return std::max(1 - std::abs(x), 0.0f); }

float keys_cubic(float x) {
  x = std::abs(x);
  if (x < 1) return (1.5f * x - 2.5f) * x * x + 1;
  return x < 2 ? ((-0.5f * x + 2.5f) * x - 4) * x + 2 : 0;
}

/// Taps from a plane's samples to `out` outputs of the pixels [begin, begin + extent), which are not looked beyond (resize.h). Where `step`
/// pixels share a sample, each tap of a pixel goes to the samples that libjpeg's upsampling would make it from: for a step of 2 three
/// quarters of the nearest and a quarter of the next, else the one that it lies in. Only rounding differs from doing one after the other.
template <class Filter>
void make_taps(int begin, int extent, int step, int samples, int out, bool mirror, double support, Filter filter,
               std::vector<float>& pixel_weights, ResizeTaps& taps) {
  const double scale = static_cast<double>(extent) / out, width = std::max(scale, 1.0), reach = support * width;
  const auto narrow = static_cast<float>(1 / width);
  const int end = begin + extent, beside = step == 2 ? 1 : 0;
  const int most_pixels = std::min(static_cast<int>(std::ceil(2 * reach)) + 1, extent);
  taps.low = std::max(begin / step - beside, 0);
  taps.high = std::min((end - 1) / step + 1 + beside, samples);
  taps.padded = (out + lanes() - 1) / lanes() * lanes();
  const int room = std::min((most_pixels - 1) / step + 2 + 2 * beside, taps.high - taps.low);
  taps.first.resize(taps.padded);
  taps.weights.assign(static_cast<std::size_t>(room) * taps.padded, 0.0f);
  pixel_weights.resize(most_pixels);
  taps.count = 1;
  for (int i = 0; i < out; ++i) {
    const double center = begin + (i + 0.5) * scale;
    const int from = std::clamp(static_cast<int>(center - reach + 0.5), begin, end - 1);
    const int count = std::clamp(static_cast<int>(center + reach + 0.5) - from, 1, std::min(end - from, most_pixels));
    const auto offset = static_cast<float>(from + 0.5 - center);
    float sum = 0;
    for (int k = 0; k < count; ++k) sum += pixel_weights[k] = filter((offset + static_cast<float>(k)) * narrow);
    if (sum == 0) sum = pixel_weights[0] = 1;
    const float inverse = 1 / sum;

    const int place = mirror ? out - 1 - i : i;
    float* const weights = taps.weights.data() + place;
    const auto add = [&, first = std::clamp(from / step - (from % step == 0 ? beside : 0), taps.low, taps.high - 1)](
                         int sample, float weight) {
      const int at = std::clamp(sample, 0, samples - 1) - first;
      weights[static_cast<std::ptrdiff_t>(at) * taps.padded] += weight;
      taps.count = std::max(taps.count, at + 1);
      taps.first[place] = first;
    };
    for (int k = 0; k < count; ++k) {
      const int pixel = from + k, sample = pixel / step;
      const float weight = pixel_weights[k] * inverse;
      if (step == 2) {
        add(sample, 0.75f * weight);
        add(pixel % 2 == 0 ? sample - 1 : sample + 1, 0.25f * weight);
      } else {
        add(sample, weight);
      }
    }
  }
  // `count` inputs are read for every output: near the end they begin earlier.
  for (int place = 0; place < out; ++place) {
    const int shift = taps.first[place] + taps.count - taps.high;
    if (shift <= 0) continue;
    taps.first[place] -= shift;
    for (int k = taps.count - 1; k >= 0; --k) {
      float* const weight = taps.weights.data() + static_cast<std::ptrdiff_t>(k) * taps.padded + place;
      *weight = k < shift ? 0 : *(weight - static_cast<std::ptrdiff_t>(shift) * taps.padded);
    }
  }
  for (int i = out; i < taps.padded; ++i) {
    taps.first[i] = taps.first[out - 1];
    for (int k = 0; k < taps.count; ++k) {
      const auto row = static_cast<std::ptrdiff_t>(k) * taps.padded;
      taps.weights[row + i] = taps.weights[row + out - 1];
    }
  }
}

void make_taps(int begin, int extent, int step, int samples, int out, bool mirror, Interpolation interpolation,
               std::vector<float>& pixel_weights, ResizeTaps& taps) {
  if (interpolation == Interpolation::kBilinear)
    make_taps(begin, extent, step, samples, out, mirror, 1, triangle, pixel_weights, taps);
  else
    make_taps(begin, extent, step, samples, out, mirror, 2, keys_cubic, pixel_weights, taps);
}

/// Output row `y` of a plane, for its columns [low, high).
void resize_down(const PlanarImage& image, int plane, const ResizeTaps& taps, int y, int low, int high, float* out) {
  const int stride = image.planes[plane].stride, count = taps.count;
  const std::uint8_t* const in = image.data(plane) + static_cast<std::ptrdiff_t>(taps.first[y]) * stride;
  const float* const weights = taps.weights.data() + y;
  for (int x = low; x < high; x += lanes()) {
    const std::uint8_t* at = in + x;
    auto sum = hn::Mul(hn::Set(kFloats, weights[0]), load_bytes(at));
    for (int k = 1; k < count; ++k) {
      at += stride;
      sum = hn::MulAdd(hn::Set(kFloats, weights[static_cast<std::ptrdiff_t>(k) * taps.padded]), load_bytes(at), sum);
    }
    hn::StoreU(sum, kFloats, out + x - low);
  }
}

#if HWY_TARGET == HWY_AVX3
/// Lane i is what is at index[i] of a and b, one after the other.
Floats look_up_two(Floats a, Floats b, Ints index) { return Floats{_mm512_permutex2var_ps(a.raw, index.raw, b.raw)}; }
#elif HWY_TARGET != HWY_SCALAR
Floats look_up_two(Floats a, Floats b, Ints index) {
  const auto within = hn::And(index, hn::Set(kInts, lanes() - 1));
  const auto at = hn::IndicesFromVec(kFloats, within);
  const auto second = hn::RebindMask(kFloats, hn::Gt(index, hn::Set(kInts, lanes() - 1)));
  return hn::IfThenElse(second, hn::TableLookupLanes(b, at), hn::TableLookupLanes(a, at));
}
#endif

/// Resizes a line; `in` begins with sample taps.low.
void resize_across(const float* in, const ResizeTaps& taps, float* out) {
  const int count = taps.count;
  for (int x = 0; x < taps.padded; x += lanes()) {
    const float* weights = taps.weights.data() + x;
    // Along a line the places rise, or fall where it is mirrored: all that this vector takes lies between its ends.
    const int begin = std::min(taps.first[x], taps.first[x + lanes() - 1]);
    auto index = hn::Sub(hn::LoadU(kInts, taps.first.data() + x), hn::Set(kInts, begin));
    const float* const window = in + begin - taps.low;
    auto sum = hn::Zero(kFloats);
    const auto one = hn::Set(kInts, 1);
#if HWY_TARGET != HWY_SCALAR
    const int span = std::max(taps.first[x], taps.first[x + lanes() - 1]) + count - begin;
    if (span <= 4 * lanes()) {
      const auto a = hn::LoadU(kFloats, window), b = hn::LoadU(kFloats, window + lanes());
      if (span <= 2 * lanes()) {
        for (int k = 0; k < count; ++k, weights += taps.padded, index = hn::Add(index, one))
          sum = hn::MulAdd(hn::LoadU(kFloats, weights), look_up_two(a, b, index), sum);
      } else {
        const auto c = hn::LoadU(kFloats, window + 2 * lanes()), d = hn::LoadU(kFloats, window + 3 * lanes());
        const auto half = hn::Set(kInts, 2 * lanes());
        for (int k = 0; k < count; ++k, weights += taps.padded, index = hn::Add(index, one)) {
          const auto upper = hn::RebindMask(kFloats, hn::Gt(index, hn::Sub(half, one)));
          const auto value = hn::IfThenElse(upper, look_up_two(c, d, hn::Sub(index, half)), look_up_two(a, b, index));
          sum = hn::MulAdd(hn::LoadU(kFloats, weights), value, sum);
        }
      }
      hn::StoreU(sum, kFloats, out + x);
      continue;
    }
#endif
    for (int k = 0; k < count; ++k, weights += taps.padded, index = hn::Add(index, one))
      sum = hn::MulAdd(hn::LoadU(kFloats, weights), hn::GatherIndex(kFloats, window, index), sum);
    hn::StoreU(sum, kFloats, out + x);
  }
}

/// The crop, resized and mirrored, as bytes of red, green and blue in scratch.pixels.
void resize_view(const PlanarImage& image, const ViewPlan& plan, ViewScratch& s) {
  const int planes = image.plane_count();
  const bool alike = planes == 1 || (image.planes[1].step_x == image.planes[0].step_x &&
                                     image.planes[1].step_y == image.planes[0].step_y);
  for (int i = 0; i < (alike ? 1 : 2); ++i) {
    const auto& plane = image.planes[i];
    make_taps(plan.box.x, plan.box.width, plane.step_x, plane.width, plan.size.width, plan.mirror, plan.interpolation,
              s.pixel_weights, s.across[i]);
    make_taps(plan.box.y, plan.box.height, plane.step_y, plane.height, plan.size.height, false, plan.interpolation,
              s.pixel_weights, s.down[i]);
    const std::size_t room = s.across[i].high - s.across[i].low + 5 * static_cast<std::size_t>(lanes());
    if (s.columns.size() < room) s.columns.resize(room);
  }
  for (int i = 0; i < planes; ++i)
    if (s.lines[i].size() < static_cast<std::size_t>(s.across[0].padded)) s.lines[i].resize(s.across[0].padded);
  s.plane = static_cast<std::size_t>(plan.size.area()) + PlanarImage::kSlack;
  if (s.pixels.size() < 3 * s.plane) s.pixels.resize(3 * s.plane);

  const auto center = hn::Set(kFloats, 128);
  for (int y = 0; y < plan.size.height; ++y) {
    for (int i = 0; i < planes; ++i) {
      const int kind = i > 0 && !alike ? 1 : 0;
      const auto& across = s.across[kind];
      resize_down(image, i, s.down[kind], y, across.low, across.high, s.columns.data());
      resize_across(s.columns.data(), across, s.lines[i].data());
    }
    std::uint8_t* const red = s.pixels.data() + static_cast<std::ptrdiff_t>(y) * plan.size.width;
    std::uint8_t* const green = red + s.plane;
    std::uint8_t* const blue = green + s.plane;
    for (int x = 0; x < plan.size.width; x += lanes()) {
      const auto first = hn::LoadU(kFloats, s.lines[0].data() + x);
      if (image.colors == PlanarImage::Colors::kGray) {
        for (auto* out : {red, green, blue}) store_bytes(first, out + x);
        continue;
      }
      const auto second = hn::LoadU(kFloats, s.lines[1].data() + x), third = hn::LoadU(kFloats, s.lines[2].data() + x);
      if (image.colors == PlanarImage::Colors::kRgb) {
        store_bytes(first, red + x);
        store_bytes(second, green + x);
        store_bytes(third, blue + x);
        continue;
      }
      const auto cb = hn::Sub(second, center), cr = hn::Sub(third, center);
      store_bytes(hn::MulAdd(cr, hn::Set(kFloats, 1.402f), first), red + x);
      store_bytes(hn::MulAdd(cr, hn::Set(kFloats, -0.714136f), hn::MulAdd(cb, hn::Set(kFloats, -0.344136f), first)),
                  green + x);
      store_bytes(hn::MulAdd(cb, hn::Set(kFloats, 1.772f), first), blue + x);
    }
  }
}

// ---- Colours ----

struct Rgb {
  Floats r, g, b;
};

HWY_INLINE Floats clamp(Floats value) { return hn::Min(hn::Max(value, hn::Zero(kFloats)), hn::Set(kFloats, 255)); }

// Levels are whole numbers from operation to operation, cut or rounded where PIL does so (color.h).

/// The mean of a colour's channels as the eye weighs them, in whole levels.
HWY_INLINE Floats gray_of(const Rgb& c) {
  const auto half = hn::Set(kFloats, 0.5f);
  return hn::Floor(
      hn::MulAdd(hn::Set(kFloats, 0.299f), c.r,
                 hn::MulAdd(hn::Set(kFloats, 0.587f), c.g, hn::MulAdd(hn::Set(kFloats, 0.114f), c.b, half))));
}

/// other + factor (value - other).
HWY_INLINE Floats blend(Floats value, Floats factor, Floats other) {
  return hn::Floor(clamp(hn::MulAdd(factor, hn::Sub(value, other), other)));
}

HWY_INLINE Rgb blend(const Rgb& c, float factor, Floats other) {
  const auto f = hn::Set(kFloats, factor);
  return {blend(c.r, f, other), blend(c.g, f, other), blend(c.b, f, other)};
}

/// 1 / value to a float's precision or nearly so.
HWY_INLINE Floats reciprocal(Floats value) {
  const auto about = hn::ApproximateReciprocal(value);
  return hn::Mul(about, hn::NegMulAdd(value, about, hn::Set(kFloats, 2)));
}

/// How much of its colour a channel keeps at a hue: 0 below, 1 above, a slope between.
HWY_INLINE Floats ramp(Floats value) { return hn::Min(hn::Max(value, hn::Zero(kFloats)), hn::Set(kFloats, 1)); }

/// Through HSV with hue and saturation in 8 bits. `steps`: by how many of 256 the hue turns, -128 to 127.
HWY_INLINE Rgb turn_hue(const Rgb& c, float steps) {
  const auto zero = hn::Zero(kFloats), one = hn::Set(kFloats, 1), two = hn::Set(kFloats, 2),
             white = hn::Set(kFloats, 255);
  const auto most = hn::Max(c.r, hn::Max(c.g, c.b)), least = hn::Min(c.r, hn::Min(c.g, c.b)),
             range = hn::Sub(most, least);
  const auto inverse = reciprocal(hn::Max(range, one));  // grey, whose range is 0, has the hue 0
  const auto of_red = hn::Mul(hn::Sub(c.g, c.b), inverse);
  const auto of_green = hn::MulAdd(hn::Sub(c.b, c.r), inverse, two);
  const auto of_blue = hn::MulAdd(hn::Sub(c.r, c.g), inverse, hn::Set(kFloats, 4));
  auto hue = hn::IfThenElse(hn::Eq(most, c.r), of_red, hn::IfThenElse(hn::Eq(most, c.g), of_green, of_blue));
  hue = hn::IfThenElse(hn::Lt(hue, zero), hn::Add(hue, hn::Set(kFloats, 6)), hue);
  // Before it is cut, what a quotient of whole numbers may lack to be whole again is added: others are 1/510 and more away.
  const auto little = hn::Set(kFloats, 1.0f / 1024);
  hue = hn::Add(hn::Floor(hn::MulAdd(hue, hn::Set(kFloats, 255.0f / 6), little)), hn::Set(kFloats, steps));
  const auto turn = hn::Set(kFloats, 256);
  hue = hn::IfThenElse(hn::Lt(hue, zero), hn::Add(hue, turn), hue);
  hue = hn::IfThenElse(hn::Ge(hue, turn), hn::Sub(hue, turn), hue);
  hue = hn::Mul(hue, hn::Set(kFloats, 6.0f / 255));
  const auto saturation =
      hn::Mul(hn::Floor(hn::Div(hn::Mul(range, white), hn::Max(most, one))), hn::Set(kFloats, 1.0f / 255));
  const auto taken = hn::Mul(most, saturation);
  const auto channel = [&](Floats kept) { return hn::Round(hn::NegMulAdd(taken, hn::Sub(one, kept), most)); };
  return {channel(ramp(hn::Sub(hn::Abs(hn::Sub(hue, hn::Set(kFloats, 3))), one))),
          channel(ramp(hn::Sub(two, hn::Abs(hn::Sub(hue, two))))),
          channel(ramp(hn::Sub(two, hn::Abs(hn::Sub(hue, hn::Set(kFloats, 4))))))};
}

HWY_INLINE Floats solarize(Floats value, float threshold) {
  return hn::IfThenElse(hn::Lt(value, hn::Set(kFloats, threshold)), value, hn::Sub(hn::Set(kFloats, 255), value));
}

constexpr int kAtOnce = 2;  // vectors, which do not wait for each other

/// Operations [from, to) of the plan; `mean` is the mean grey for a contrast.
HWY_INLINE void apply_points(const ViewPlan& plan, int from, int to, float mean, Rgb (&c)[kAtOnce]) {
  using Kind = PointOperation::Kind;
  for (int i = from; i < to; ++i) {
    const float value = plan.points[i].value;
    switch (plan.points[i].kind) {
      case Kind::kBrightness:
        for (auto& one : c) one = blend(one, value, hn::Zero(kFloats));
        break;
      case Kind::kContrast:
        for (auto& one : c) one = blend(one, value, hn::Set(kFloats, mean));
        break;
      case Kind::kSaturation:
        for (auto& one : c) one = blend(one, value, gray_of(one));
        break;
      case Kind::kHue:
        for (auto& one : c) one = turn_hue(one, value);
        break;
      case Kind::kGray:
        for (auto& one : c) one.r = one.g = one.b = gray_of(one);
        break;
      case Kind::kSolarize:
        for (auto& one : c) one = {solarize(one.r, value), solarize(one.g, value), solarize(one.b, value)};
        break;
    }
  }
}

/// Applies operations [from, to) to all pixels: use(i, c) gets the colours of pixels i, i + 1, ...
template <class Use>
HWY_INLINE void for_each_pixels(const ViewPlan& plan, const ViewScratch& s, int from, int to, float mean,
                                const Use& use) {
  const int pixels = plan.size.area(), step = lanes();
  for (int i = 0; i < pixels; i += kAtOnce * step) {
    Rgb c[kAtOnce];
    for (int k = 0; k < kAtOnce; ++k) {
      const std::uint8_t* const at = s.pixels.data() + i + k * step;
      c[k] = {load_bytes(at), load_bytes(at + s.plane), load_bytes(at + 2 * s.plane)};
    }
    apply_points(plan, from, to, mean, c);
    for (int k = 0; k < kAtOnce; ++k) use(i + k * step, c[k]);
  }
}

HWY_INLINE void store_pixels(const Rgb& c, ViewScratch& s, int i) {
  std::uint8_t* const at = s.pixels.data() + i;
  store_bytes(c.r, at);
  store_bytes(c.g, at + s.plane);
  store_bytes(c.b, at + 2 * s.plane);
}

/// Applies operations [from, to) in place, and returns the mean grey then, in whole levels as PIL has it.
HWY_NOINLINE float apply_and_measure(const ViewPlan& plan, int from, int to, float mean, ViewScratch& s) {
  const int pixels = plan.size.area();
  auto sum = hn::Zero(kFloats);
  double total = 0;
  for_each_pixels(plan, s, from, to, mean, [&](int i, const Rgb& c) {
    if (from < to) store_pixels(c, s, i);
    const auto gray = gray_of(c);
    sum = hn::Add(
        sum, i + lanes() <= pixels ? gray : hn::IfThenElseZero(hn::FirstN(kFloats, std::max(pixels - i, 0)), gray));
    if (i % (1 << 14) == 0) {  // sums of whole numbers stay exact below 2^24
      total += hn::GetLane(hn::SumOfLanes(kFloats, sum));
      sum = hn::Zero(kFloats);
    }
  });
  total += hn::GetLane(hn::SumOfLanes(kFloats, sum));
  return static_cast<float>(std::floor(total / pixels + 0.5));
}

/// Applies the operations, and normalises into `out`; with a blur to come, back into scratch.pixels.
HWY_NOINLINE void colour_view(const ViewPlan& plan, ViewScratch& s, float* out) {
  const int pixels = plan.size.area();
  int from = 0;
  float mean = 0;
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
    for (const auto& value : {c.r, c.g, c.b}) {
      const auto normal =
          hn::MulAdd(value, hn::Set(kFloats, plan.scale[channel]), hn::Set(kFloats, plan.shift[channel]));
      if (i < pixels) store_part(normal, pixels - i, out + static_cast<std::ptrdiff_t>(channel) * pixels + i);
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

/// weights[0] at[0] and, for every distance k, weights[k] times what lies k steps before and behind.
HWY_INLINE Floats convolve(const float* weights, int radius, const float* at, std::ptrdiff_t step) {
  auto sum = hn::Mul(hn::Set(kFloats, weights[0]), hn::LoadU(kFloats, at));
  const float *before = at, *behind = at;
  for (int k = 1; k <= radius; ++k) {
    before -= step;
    behind += step;
    sum =
        hn::MulAdd(hn::Set(kFloats, weights[k]), hn::Add(hn::LoadU(kFloats, before), hn::LoadU(kFloats, behind)), sum);
  }
  return sum;
}

/// Blurs scratch.pixels and normalises into `out`.
HWY_NOINLINE void blur_view(const ViewPlan& plan, ViewScratch& s, float* out) {
  const int width = plan.size.width, height = plan.size.height, radius = static_cast<int>(plan.blur_weights.size()) / 2;
  const float* const weights = plan.blur_weights.data() + radius;  // of distance 0, 1, ...
  const std::ptrdiff_t stride = width + lanes();
  const std::size_t room = width + 2 * static_cast<std::size_t>(radius) + lanes();
  if (s.line.size() < room) s.line.resize(room);
  // With the rows that the border adds, which are made once each.
  const std::size_t rows_room = (height + 2 * static_cast<std::size_t>(radius)) * stride;
  if (s.rows.size() < rows_room) s.rows.resize(rows_room);
  float* const line = s.line.data() + radius;
  float* const rows = s.rows.data() + radius * stride;
  for (int channel = 0; channel < 3; ++channel) {
    for (int y = 0; y < height; ++y) {
      const std::uint8_t* const in = s.pixels.data() + channel * s.plane + static_cast<std::ptrdiff_t>(y) * width;
      for (int x = 0; x < width; x += lanes()) hn::StoreU(load_bytes(in + x), kFloats, line + x);
      for (int k = 1; k <= radius; ++k) {
        line[-k] = plan.blur_zero_border ? 0 : line[reflect(-k, width)];
        line[width - 1 + k] = plan.blur_zero_border ? 0 : line[reflect(width - 1 + k, width)];
      }
      for (int x = 0; x < width; x += lanes())
        hn::StoreU(convolve(weights, radius, line + x, 1), kFloats, rows + y * stride + x);
    }
    for (int k = 1; k <= radius; ++k)
      for (const int y : {-k, height - 1 + k}) {
        if (plan.blur_zero_border)
          std::fill_n(rows + y * stride, stride, 0.0f);
        else
          std::copy_n(rows + reflect(y, height) * stride, stride, rows + y * stride);
      }
    const auto scale = hn::Set(kFloats, plan.scale[channel]), shift = hn::Set(kFloats, plan.shift[channel]);
    for (int y = 0; y < height; ++y) {
      float* const result = out + (static_cast<std::ptrdiff_t>(channel) * height + y) * width;
      for (int x = 0; x < width; x += lanes()) {
        auto sum = hn::Round(convolve(weights, radius, rows + y * stride + x, stride));
        if (plan.solarize_after_blur) sum = solarize(sum, plan.solarize_threshold);
        store_part(hn::MulAdd(sum, scale, shift), width - x, result + x);
      }
    }
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
