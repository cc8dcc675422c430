// The last part of a view that is blurred: a separable filter, along rows and then columns, in 64ths of a level.
//
// Compiled once for every set of instructions, from view_kernel.cpp: the guard below is toggled by Highway's foreach_target.
#if defined(UNLABEL_AUGMENT_FUSED_BLUR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UNLABEL_AUGMENT_FUSED_BLUR_INL_H_
#undef UNLABEL_AUGMENT_FUSED_BLUR_INL_H_
#else
#define UNLABEL_AUGMENT_FUSED_BLUR_INL_H_
#endif

#include <unlabel/augment/fused/color-inl.h>
#include <unlabel/augment/fused/vectors-inl.h>
#include <unlabel/augment/fused/view_kernel.h>

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace unlabel::augment::HWY_NAMESPACE {
namespace {

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
  } else if (radius < width) {  // whole vectors, turned around
    for (int k = 1; k <= radius; k += short_lanes()) {
      std::int16_t* const last = line + width - 1;
      const auto before = hn::Reverse(kShorts, hn::LoadU(kShorts, line + k));
      const auto behind = hn::Reverse(kShorts, hn::LoadU(kShorts, last - k - short_lanes() + 1));
      hn::StoreU(before, kShorts, line - k - short_lanes() + 1);
      hn::StoreU(behind, kShorts, last + k);
    }
  } else {  // a line so short is mirrored again and again
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

/// Blurs scratch.pixels and normalizes into `out`.
HWY_NOINLINE void blur_view(const FusedViewParams& plan, ViewScratch& s, float* out) {
  const int width = plan.size.width, height = plan.size.height, radius = static_cast<int>(plan.blur_weights.size()) / 2;
  s.blur_weights.resize(radius + std::size_t{1});  // of distance 0, 1, ...
  for (int k = 0; k <= radius; ++k) s.blur_weights[k] = in_shorts(plan.blur_weights[radius + k]);
  const std::int16_t* const weights = s.blur_weights.data();
  // Lines with their borders to the left and right, and a whole plane with its borders above and below.
  const std::ptrdiff_t stride = round_up(width, short_lanes());
  const int border = round_up(radius, short_lanes()) + short_lanes();
  const std::ptrdiff_t line_room = stride + std::ptrdiff_t{2} * border;
  if (s.columns.size() < static_cast<std::size_t>(kRows * line_room)) s.columns.resize(kRows * line_room);
  const std::size_t rows_room = (height + 2 * static_cast<std::size_t>(radius)) * stride;
  if (s.rows.size() < rows_room) s.rows.resize(rows_room);
  std::int16_t* const lines = s.columns.data() + border;
  std::int16_t* const rows = s.rows.data() + radius * stride;
  for (int channel = 0; channel < 3; ++channel) {
    // Along the rows, kRows at a time.
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
    // The rows above and below, copied from those that are blurred already.
    for (int k = 1; k <= radius; ++k)
      for (const int y : {-k, height - 1 + k}) {
        if (plan.blur_zero_border)
          std::fill_n(rows + y * stride, stride, std::int16_t{0});
        else
          std::copy_n(rows + reflect(y, height) * stride, stride, rows + y * stride);
      }
    // Down the columns, and to floats.
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

}  // namespace
}  // namespace unlabel::augment::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
