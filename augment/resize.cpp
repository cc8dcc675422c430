#include <unlabel/augment/error.h>
#include <unlabel/augment/resize.h>
#include <unlabel/augment/scratch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
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

/// Resizes every row to out.cols pixels. A pass that would not change the size copies: its weights are all 1.
template <class Pixel>
void resize_rows(const cv::Mat& in, Interpolation interpolation, cv::Mat& out) {
  if (in.cols == out.cols) return in.copyTo(out);
  static thread_local Taps<typename Arithmetic<Pixel>::Weight> taps;
  make_taps<Pixel>(in.cols, out.cols, interpolation, taps);
  const int channels = in.channels();
  const auto pass = channels == 1   ? resize_row<Pixel, 1>
                    : channels == 2 ? resize_row<Pixel, 2>
                    : channels == 3 ? resize_row<Pixel, 3>
                                    : resize_row<Pixel, 4>;
  for (int y = 0; y < in.rows; ++y) pass(in.ptr<Pixel>(y), taps, out.cols, out.ptr<Pixel>(y));
}

/// Resizes every column to out.rows pixels.
template <class Pixel>
void resize_columns(const cv::Mat& in, Interpolation interpolation, cv::Mat& out) {
  using A = Arithmetic<Pixel>;
  if (in.rows == out.rows) return in.copyTo(out);
  static thread_local Taps<typename A::Weight> taps;
  static thread_local std::vector<typename A::Sum> sums;
  make_taps<Pixel>(in.rows, out.rows, interpolation, taps);
  const int length = in.cols * in.channels();
  sums.resize(length);
  for (int y = 0; y < out.rows; ++y) {
    std::fill(sums.begin(), sums.end(), A::kStart);
    for (int i = 0; i < taps.count[y]; ++i) {
      const auto weight = taps.of(y)[i];
      const Pixel* row = in.ptr<Pixel>(taps.first[y] + i);
      for (int x = 0; x < length; ++x) sums[x] += row[x] * weight;
    }
    Pixel* result = out.ptr<Pixel>(y);
    for (int x = 0; x < length; ++x) result[x] = A::pixel(sums[x]);
  }
}

template <class Pixel>
void resize_image(const cv::Mat& image, Interpolation interpolation, bool columns_first, cv::Mat& out) {
  static thread_local std::vector<Pixel> buffer;
  const cv::Size size = columns_first ? cv::Size(image.cols, out.rows) : cv::Size(out.cols, image.rows);
  buffer.resize(static_cast<std::size_t>(size.width) * size.height * image.channels());
  cv::Mat between(size, image.type(), buffer.data());
  if (columns_first) {
    resize_columns<Pixel>(image, interpolation, between);
    resize_rows<Pixel>(between, interpolation, out);
  } else {
    resize_rows<Pixel>(image, interpolation, between);
    resize_columns<Pixel>(between, interpolation, out);
  }
  release_if_huge(buffer);
}

}  // namespace

void resize(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out) {
  if (image.empty() || image.channels() > 4 || (image.depth() != CV_8U && image.depth() != CV_32F))
    throw UsageError("resize takes 8-bit or float images of 1 to 4 channels");
  if (size.width < 1 || size.height < 1) throw UsageError("cannot resize to ", size.width, " x ", size.height);
  // Pillow 13 takes first what shrinks the image more.
  const bool columns_first =
      image.rows > size.height && std::int64_t{image.rows} - size.height > 2 * (std::int64_t{image.cols} - size.width);
  const std::int64_t between =
      columns_first ? std::int64_t{image.cols} * size.height : std::int64_t{size.width} * image.rows;
  if (std::max(between, std::int64_t{size.width} * size.height) > kMaxPixels)
    throw Error("cannot resize ", image.cols, " x ", image.rows, " pixels to ", size.width, " x ", size.height,
                ": the image is too long for its width");
  out.create(size, image.type());
  if (image.depth() == CV_8U) {
    resize_image<std::uint8_t>(image, interpolation, columns_first, out);
  } else {
    resize_image<float>(image, interpolation, columns_first, out);
  }
}

}  // namespace unlabel::augment
