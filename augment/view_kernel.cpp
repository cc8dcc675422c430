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
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<float> kFloats;
const hn::RebindToSigned<decltype(kFloats)> kInts;
const hn::Rebind<std::uint8_t, decltype(kFloats)> kBytes;
const hn::Rebind<std::uint16_t, decltype(kFloats)> kShorts;
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
  std::memcpy(at, all, count * sizeof(float));
}

// ---- Resize ----

float triangle(float x) { return std::max(1 - std::abs(x), 0.0f); }

float keys_cubic(float x) {
  x = std::abs(x);
  if (x < 1) return (1.5f * x - 2.5f) * x * x + 1;
  return x < 2 ? ((-0.5f * x + 2.5f) * x - 4) * x + 2 : 0;
}

/// Of the samples in [begin, begin + extent), which may begin and end within a sample, to `out` outputs.
template <class Filter>
void make_taps(double begin, double extent, int samples, int out, bool mirror, double support, Filter filter,
               ResizeTaps& taps) {
  const int low = static_cast<int>(begin), high = std::min(static_cast<int>(std::ceil(begin + extent)), samples);
  const double step = extent / out, width = std::max(step, 1.0), reach = support * width;
  const auto narrow = static_cast<float>(1 / width);
  taps.count = std::min(static_cast<int>(std::ceil(2 * reach)) + 1, high - low);
  taps.padded = (out + lanes() - 1) / lanes() * lanes();
  taps.first.resize(taps.padded);
  taps.weights.assign(static_cast<std::size_t>(taps.count) * taps.padded, 0.0f);
  int most = 1;
  for (int i = 0; i < out; ++i) {
    const double center = begin + (i + 0.5) * step;
    const int from = std::clamp(static_cast<int>(center - reach + 0.5), low, high - 1);
    const int to = std::clamp(static_cast<int>(center + reach + 0.5), from + 1, high);
    // Whole groups of taps are read: near the end they begin earlier, with weights of 0.
    const int first = std::min(from, high - taps.count), skipped = from - first;
    const int place = mirror ? out - 1 - i : i;
    float* const weights = taps.weights.data() + place;
    taps.first[place] = first;
    const int count = std::min(to - from, taps.count - skipped);
    const auto offset = static_cast<float>(from + 0.5 - center);
    float sum = 0;
    for (int k = 0; k < count; ++k) {
      const float weight = filter((offset + static_cast<float>(k)) * narrow);
      weights[static_cast<std::ptrdiff_t>(skipped + k) * taps.padded] = weight;
      sum += weight;
    }
    if (sum != 0) {
      for (int k = skipped; k < skipped + count; ++k) weights[static_cast<std::ptrdiff_t>(k) * taps.padded] /= sum;
    } else {
      weights[static_cast<std::ptrdiff_t>(skipped) * taps.padded] = 1;
    }
    most = std::max(most, skipped + count);
  }
  taps.count = most;
  for (int i = out; i < taps.padded; ++i) {
    taps.first[i] = taps.first[out - 1];
    for (int k = 0; k < taps.count; ++k) {
      const auto row = static_cast<std::ptrdiff_t>(k) * taps.padded;
      taps.weights[row + i] = taps.weights[row + out - 1];
    }
  }
}

void make_taps(double begin, double extent, int samples, int out, bool mirror, Interpolation interpolation,
               ResizeTaps& taps) {
  if (interpolation == Interpolation::kBilinear)
    make_taps(begin, extent, samples, out, mirror, 1, triangle, taps);
  else
    make_taps(begin, extent, samples, out, mirror, 2, keys_cubic, taps);
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

/// Resizes a line; `in` begins with sample `low`.
void resize_across(const float* in, const ResizeTaps& taps, int low, float* out) {
  const int count = taps.count;
  for (int x = 0; x < taps.padded; x += lanes()) {
    const float* weights = taps.weights.data() + x;
    // Along a line the places rise, or fall where it is mirrored: all that this vector takes lies between its ends.
    const int begin = std::min(taps.first[x], taps.first[x + lanes() - 1]);
    auto index = hn::Sub(hn::LoadU(kInts, taps.first.data() + x), hn::Set(kInts, begin));
    const float* const window = in + begin - low;
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
  struct Columns {
    int low, high;
  };
  std::array<Columns, 2> columns{};
  for (int i = 0; i < std::min(planes, 2); ++i) {
    const auto& plane = image.planes[i];
    const double x = plan.box.x / double(plane.step_x), width = plan.box.width / double(plane.step_x);
    const double y = plan.box.y / double(plane.step_y), height = plan.box.height / double(plane.step_y);
    make_taps(x, width, plane.width, plan.size.width, plan.mirror, plan.interpolation, s.across[i]);
    make_taps(y, height, plane.height, plan.size.height, false, plan.interpolation, s.down[i]);
    columns[i] = {static_cast<int>(x), std::min(static_cast<int>(std::ceil(x + width)), plane.width)};
    const std::size_t room = columns[i].high - columns[i].low + 5 * static_cast<std::size_t>(lanes());
    if (s.columns.size() < room) s.columns.resize(room);
  }
  for (int i = 0; i < planes; ++i)
    if (s.lines[i].size() < static_cast<std::size_t>(s.across[0].padded)) s.lines[i].resize(s.across[0].padded);
  s.plane = static_cast<std::size_t>(plan.size.area()) + PlanarImage::kSlack;
  if (s.pixels.size() < 3 * s.plane) s.pixels.resize(3 * s.plane);

  const auto center = hn::Set(kFloats, 128);
  for (int y = 0; y < plan.size.height; ++y) {
    for (int i = 0; i < planes; ++i) {
      const int kind = i > 0 ? 1 : 0;
      resize_down(image, i, s.down[kind], y, columns[kind].low, columns[kind].high, s.columns.data());
      resize_across(s.columns.data(), s.across[kind], columns[kind].low, s.lines[i].data());
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

Floats clamp(Floats value) { return hn::Min(hn::Max(value, hn::Zero(kFloats)), hn::Set(kFloats, 255)); }

// Levels are whole numbers from operation to operation, cut or rounded where PIL does so (color.h).

/// The mean of a colour's channels as the eye weighs them, in whole levels.
Floats gray_of(const Rgb& c) {
  const auto half = hn::Set(kFloats, 0.5f);
  return hn::Floor(
      hn::MulAdd(hn::Set(kFloats, 0.299f), c.r,
                 hn::MulAdd(hn::Set(kFloats, 0.587f), c.g, hn::MulAdd(hn::Set(kFloats, 0.114f), c.b, half))));
}

/// other + factor (value - other).
Floats blend(Floats value, Floats factor, Floats other) {
  return hn::Floor(clamp(hn::MulAdd(factor, hn::Sub(value, other), other)));
}

Rgb blend(const Rgb& c, float factor, Floats other) {
  const auto f = hn::Set(kFloats, factor);
  return {blend(c.r, f, other), blend(c.g, f, other), blend(c.b, f, other)};
}

/// How much of its colour a channel keeps at a hue: 0 below, 1 above, a slope between.
Floats ramp(Floats value) { return hn::Min(hn::Max(value, hn::Zero(kFloats)), hn::Set(kFloats, 1)); }

/// Through HSV with hue and saturation in 8 bits. `steps`: by how many of 256 the hue turns, -128 to 127.
Rgb turn_hue(const Rgb& c, float steps) {
  const auto zero = hn::Zero(kFloats), one = hn::Set(kFloats, 1), two = hn::Set(kFloats, 2),
             white = hn::Set(kFloats, 255);
  const auto most = hn::Max(c.r, hn::Max(c.g, c.b)), least = hn::Min(c.r, hn::Min(c.g, c.b)),
             range = hn::Sub(most, least);
  const auto inverse = hn::Div(one, hn::Max(range, one));  // grey, whose range is 0, has the hue 0
  const auto of_red = hn::Mul(hn::Sub(c.g, c.b), inverse);
  const auto of_green = hn::MulAdd(hn::Sub(c.b, c.r), inverse, two);
  const auto of_blue = hn::MulAdd(hn::Sub(c.r, c.g), inverse, hn::Set(kFloats, 4));
  auto hue = hn::IfThenElse(hn::Eq(most, c.r), of_red, hn::IfThenElse(hn::Eq(most, c.g), of_green, of_blue));
  hue = hn::IfThenElse(hn::Lt(hue, zero), hn::Add(hue, hn::Set(kFloats, 6)), hue);
  hue = hn::Add(hn::Floor(hn::Mul(hue, hn::Set(kFloats, 255.0f / 6))), hn::Set(kFloats, steps));
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

Floats solarize(Floats value, float threshold) {
  return hn::IfThenElse(hn::Lt(value, hn::Set(kFloats, threshold)), value, hn::Sub(hn::Set(kFloats, 255), value));
}

/// `means` has the mean grey for each operation that is a contrast.
HWY_INLINE Rgb apply_points(Rgb c, const ViewPlan& plan, int count, const float* means) {
  using Kind = PointOperation::Kind;
  for (int i = 0; i < count; ++i) {
    const auto& point = plan.points[i];
    switch (point.kind) {
      case Kind::kBrightness:
        c = blend(c, point.value, hn::Zero(kFloats));
        break;
      case Kind::kContrast:
        c = blend(c, point.value, hn::Set(kFloats, means[i]));
        break;
      case Kind::kSaturation:
        c = blend(c, point.value, gray_of(c));
        break;
      case Kind::kHue:
        c = turn_hue(c, point.value);
        break;
      case Kind::kGray:
        c.r = c.g = c.b = gray_of(c);
        break;
      case Kind::kSolarize:
        c = {solarize(c.r, point.value), solarize(c.g, point.value), solarize(c.b, point.value)};
        break;
    }
  }
  return c;
}

Rgb load_pixels(const ViewScratch& s, int at) {
  const std::uint8_t* const p = s.pixels.data() + at;
  return {load_bytes(p), load_bytes(p + s.plane), load_bytes(p + 2 * s.plane)};
}

/// The mean grey after the first `count` operations, in whole levels as PIL has it.
float mean_gray(const ViewPlan& plan, int count, const float* means, const ViewScratch& s) {
  constexpr int kBlock = 4096;  // a float's sum of so many stays exact to a thousandth
  const int pixels = plan.size.area();
  double total = 0;
  for (int begin = 0; begin < pixels; begin += kBlock) {
    const int end = std::min(begin + kBlock, pixels), whole = begin + (end - begin) / lanes() * lanes();
    auto sum = hn::Zero(kFloats);
    for (int i = begin; i < whole; i += lanes())
      sum = hn::Add(sum, gray_of(apply_points(load_pixels(s, i), plan, count, means)));
    if (whole < end) {
      const auto gray = gray_of(apply_points(load_pixels(s, whole), plan, count, means));
      sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(kFloats, end - whole), gray));
    }
    total += hn::GetLane(hn::SumOfLanes(kFloats, sum));
  }
  return static_cast<float>(std::floor(total / pixels + 0.5));
}

/// Applies the operations, and normalises into `out`; with a blur to come, back into scratch.pixels.
void colour_view(const ViewPlan& plan, ViewScratch& s, float* out) {
  const int pixels = plan.size.area();
  std::array<float, ViewPlan::kMostPoints> means{};
  for (int i = 0; i < plan.point_count; ++i)
    if (plan.points[i].kind == PointOperation::Kind::kContrast) means[i] = mean_gray(plan, i, means.data(), s);
  if (plan.blur) {
    if (plan.point_count == 0) return;
    for (int i = 0; i < pixels; i += lanes()) {
      const auto c = apply_points(load_pixels(s, i), plan, plan.point_count, means.data());
      std::uint8_t* const p = s.pixels.data() + i;
      store_bytes(c.r, p);
      store_bytes(c.g, p + s.plane);
      store_bytes(c.b, p + 2 * s.plane);
    }
    return;
  }
  for (int i = 0; i < pixels; i += lanes()) {
    const auto c = apply_points(load_pixels(s, i), plan, plan.point_count, means.data());
    int channel = 0;
    for (const auto& value : {c.r, c.g, c.b}) {
      const auto normal =
          hn::MulAdd(value, hn::Set(kFloats, plan.scale[channel]), hn::Set(kFloats, plan.shift[channel]));
      store_part(normal, pixels - i, out + static_cast<std::ptrdiff_t>(channel) * pixels + i);
      ++channel;
    }
  }
}

// ---- Blur ----

/// Where a mirror about the outermost pixels has pixel `at`.
int reflect(int at, int size) {
  if (size == 1) return 0;
  while (at < 0 || at >= size) at = at < 0 ? -at : 2 * size - 2 - at;
  return at;
}

/// The sum of two rows of bytes.
Floats load_pair(const std::uint8_t* a, const std::uint8_t* b) {
  const auto sum = hn::Add(hn::PromoteTo(kShorts, hn::LoadU(kBytes, a)), hn::PromoteTo(kShorts, hn::LoadU(kBytes, b)));
  return hn::ConvertTo(kFloats, hn::PromoteTo(kInts, sum));
}

/// Blurs scratch.pixels and normalises into `out`.
void blur_view(const ViewPlan& plan, ViewScratch& s, float* out) {
  const int width = plan.size.width, height = plan.size.height, radius = static_cast<int>(plan.blur_weights.size()) / 2;
  const float* const weights = plan.blur_weights.data() + radius;  // of distance 0, 1, ...
  const std::size_t room = width + 2 * static_cast<std::size_t>(radius) + 2 * lanes();
  if (s.blurred.size() < room) s.blurred.resize(room);
  s.rows.resize(2 * static_cast<std::size_t>(radius) + 1);
  if (s.zeros.size() < width + PlanarImage::kSlack) s.zeros.resize(width + PlanarImage::kSlack);
  float* const row = s.blurred.data() + radius;
  for (int channel = 0; channel < 3; ++channel) {
    const std::uint8_t* const in = s.pixels.data() + channel * s.plane;
    const auto scale = hn::Set(kFloats, plan.scale[channel]), shift = hn::Set(kFloats, plan.shift[channel]);
    for (int y = 0; y < height; ++y) {
      for (int k = -radius; k <= radius; ++k) {
        const bool beyond = y + k < 0 || y + k >= height;
        s.rows[k + radius] = beyond && plan.blur_zero_border
                                 ? s.zeros.data()
                                 : in + static_cast<std::ptrdiff_t>(reflect(y + k, height)) * width;
      }
      const std::uint8_t* const* const at = s.rows.data() + radius;
      for (int x = 0; x < width; x += lanes()) {
        auto sum = hn::Mul(hn::Set(kFloats, weights[0]), load_bytes(at[0] + x));
        for (int k = 1; k <= radius; ++k)
          sum = hn::MulAdd(hn::Set(kFloats, weights[k]), load_pair(at[-k] + x, at[k] + x), sum);
        hn::StoreU(sum, kFloats, row + x);
      }
      for (int k = 1; k <= radius; ++k) {
        row[-k] = plan.blur_zero_border ? 0 : row[reflect(-k, width)];
        row[width - 1 + k] = plan.blur_zero_border ? 0 : row[reflect(width - 1 + k, width)];
      }
      float* const result = out + (static_cast<std::ptrdiff_t>(channel) * height + y) * width;
      for (int x = 0; x < width; x += lanes()) {
        const float* const p = row + x;
        auto sum = hn::Mul(hn::Set(kFloats, weights[0]), hn::LoadU(kFloats, p));
        for (int k = 1; k <= radius; ++k)
          sum = hn::MulAdd(hn::Set(kFloats, weights[k]), hn::Add(hn::LoadU(kFloats, p - k), hn::LoadU(kFloats, p + k)),
                           sum);
        sum = hn::Round(sum);
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
