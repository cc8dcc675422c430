#include <unlabel/augment/error.h>
#include <unlabel/augment/resize.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace unlabel::augment {

namespace {

constexpr std::int64_t kMaxPixels = std::int64_t{1} << 27;

/// How a pass multiplies and rounds: Pillow's fixed point for 8 bits, plain floats otherwise.
template <class Pixel>
struct Arithmetic;

template <>
struct Arithmetic<std::uint8_t> {
  using Weight = std::int32_t;
  using Sum = std::int32_t;
  static constexpr int kBits = 32 - 8 - 2;  // a cubic's negative lobes need two bits beyond the 8 of the result
  static constexpr Sum kStart = 1 << (kBits - 1);
  static Weight weight(double w) { return static_cast<Weight>((w < 0 ? -0.5 : 0.5) + w * (1 << kBits)); }
  static std::uint8_t pixel(Sum sum) { return static_cast<std::uint8_t>(std::clamp(sum >> kBits, 0, 255)); }
};

template <>
struct Arithmetic<float> {
  using Weight = float;
  using Sum = float;
  static constexpr Sum kStart = 0;
  static Weight weight(double w) { return static_cast<float>(w); }
  static float pixel(Sum sum) { return sum; }
};

double triangle(double x) {
  x = std::abs(x);
  return x < 1 ? 1 - x : 0;
}

double keys_cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// For every output pixel the input pixels [first, first + count) and their weights.
template <class Weight>
struct Taps {
  std::vector<int> first, count;
  std::vector<Weight> weights;  // `stride` for each output pixel
  int stride = 0;
  const Weight* of(int out) const { return weights.data() + static_cast<std::ptrdiff_t>(out) * stride; }
};

template <class Pixel>
void make_taps(int in, int out, Interpolation interpolation, Taps<typename Arithmetic<Pixel>::Weight>& taps) {
  const auto filter = interpolation == Interpolation::kBilinear ? triangle : keys_cubic;
  const double scale = static_cast<double>(in) / out;
  const double filter_scale = std::max(scale, 1.0);
  const double support = (interpolation == Interpolation::kBilinear ? 1.0 : 2.0) * filter_scale;
  taps.stride = static_cast<int>(std::ceil(support)) * 2 + 1;
  taps.first.resize(out);
  taps.count.resize(out);
  taps.weights.resize(static_cast<std::size_t>(out) * taps.stride);
  static thread_local std::vector<double> w;
  w.resize(taps.stride);
  for (int o = 0; o < out; ++o) {
    const double center = (o + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), in) - first;
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += w[i] = filter((i + first - center + 0.5) * (1.0 / filter_scale));
    for (int i = 0; i < count; ++i)
      taps.weights[static_cast<std::size_t>(o) * taps.stride + i] =
          Arithmetic<Pixel>::weight(sum != 0 ? w[i] / sum : w[i]);
    taps.first[o] = first;
    taps.count[o] = count;
  }
}

template <class Pixel, int kChannels>
void resize_row(const Pixel* in, const Taps<typename Arithmetic<Pixel>::Weight>& taps, int width, Pixel* out) {
  using A = Arithmetic<Pixel>;
  for (int x = 0; x < width; ++x, out += kChannels) {
    const auto* weight = taps.of(x);
    const Pixel* pixel = in + static_cast<std::ptrdiff_t>(taps.first[x]) * kChannels;
    typename A::Sum sum[kChannels];
    for (auto& s : sum) s = A::kStart;
    for (int i = 0; i < taps.count[x]; ++i, pixel += kChannels)
      for (int c = 0; c < kChannels; ++c) sum[c] += pixel[c] * weight[i];
    for (int c = 0; c < kChannels; ++c) out[c] = A::pixel(sum[c]);
  }
}

template <class Pixel>
void resize_columns(const Pixel* in, std::ptrdiff_t row_length, const Taps<typename Arithmetic<Pixel>::Weight>& taps,
                    int height, cv::Mat& out) {
  using A = Arithmetic<Pixel>;
  static thread_local std::vector<typename A::Sum> sums;
  sums.resize(row_length);
  for (int y = 0; y < height; ++y) {
    std::fill(sums.begin(), sums.end(), A::kStart);
    for (int i = 0; i < taps.count[y]; ++i) {
      const auto weight = taps.of(y)[i];
      const Pixel* row = in + (taps.first[y] + i) * row_length;
      for (std::ptrdiff_t x = 0; x < row_length; ++x) sums[x] += row[x] * weight;
    }
    Pixel* result = out.ptr<Pixel>(y);
    for (std::ptrdiff_t x = 0; x < row_length; ++x) result[x] = A::pixel(sums[x]);
  }
}

template <class Pixel>
void resize_image(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out) {
  using Weight = typename Arithmetic<Pixel>::Weight;
  static thread_local Taps<Weight> horizontal, vertical;
  static thread_local std::vector<Pixel> rows;
  const int channels = image.channels();
  const std::ptrdiff_t row_length = static_cast<std::ptrdiff_t>(size.width) * channels;
  rows.resize(static_cast<std::size_t>(image.rows) * row_length);

  // A pass that would not change the size is left out: its weights are all 1.
  if (image.cols == size.width) {
    for (int y = 0; y < image.rows; ++y)
      std::memcpy(rows.data() + y * row_length, image.ptr<Pixel>(y), row_length * sizeof(Pixel));
  } else {
    make_taps<Pixel>(image.cols, size.width, interpolation, horizontal);
    const auto pass = channels == 1   ? resize_row<Pixel, 1>
                      : channels == 2 ? resize_row<Pixel, 2>
                      : channels == 3 ? resize_row<Pixel, 3>
                                      : resize_row<Pixel, 4>;
    for (int y = 0; y < image.rows; ++y)
      pass(image.ptr<Pixel>(y), horizontal, size.width, rows.data() + y * row_length);
  }
  if (image.rows == size.height) {
    for (int y = 0; y < size.height; ++y)
      std::memcpy(out.ptr<Pixel>(y), rows.data() + y * row_length, row_length * sizeof(Pixel));
  } else {
    make_taps<Pixel>(image.rows, size.height, interpolation, vertical);
    resize_columns<Pixel>(rows.data(), row_length, vertical, size.height, out);
  }
}

}  // namespace

void resize(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out) {
  if (image.empty() || image.channels() > 4 || (image.depth() != CV_8U && image.depth() != CV_32F))
    throw UsageError("resize takes 8-bit or float images of 1 to 4 channels");
  if (size.width < 1 || size.height < 1) throw UsageError("cannot resize to ", size.width, " x ", size.height);
  if (std::int64_t{size.width} * std::max(image.rows, size.height) > kMaxPixels)
    throw Error("cannot resize ", image.cols, " x ", image.rows, " pixels to ", size.width, " x ", size.height,
                ": the image is too long for its width");
  out.create(size, image.type());
  if (image.depth() == CV_8U) {
    resize_image<std::uint8_t>(image, size, interpolation, out);
  } else {
    resize_image<float>(image, size, interpolation, out);
  }
}

}  // namespace unlabel::augment
