#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/resize.h>
#include <unlabel/augment/scratch.h>

#include <algorithm>
#include <cmath>

namespace unlabel::augment {

namespace {

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

/// One axis of a resize, of whose `out` outputs [begin, begin + count) are made.
struct Axis {
  int in = 0, out = 0;
  int begin = 0, count = 0;
  Interpolation interpolation = Interpolation::kBilinear;

  double scale() const { return static_cast<double>(in) / out; }
  double support() const { return (interpolation == Interpolation::kBilinear ? 1.0 : 2.0) * std::max(scale(), 1.0); }
  double center(int o) const { return (o + 0.5) * scale(); }
  /// The inputs of an output: a pass that would not change the size copies.
  int first(int o) const { return in == out ? o : std::max(static_cast<int>(center(o) - support() + 0.5), 0); }
  int end(int o) const { return in == out ? o + 1 : std::min(static_cast<int>(center(o) + support() + 0.5), in); }
  /// Those of all outputs that are made.
  cv::Range inputs() const { return {first(begin), end(begin + count - 1)}; }
};

/// The taps of the outputs that are made, of an image that begins with input `skipped`.
template <class Pixel>
void make_taps(const Axis& axis, int skipped, Taps<typename Arithmetic<Pixel>::Weight>& taps) {
  const auto filter = axis.interpolation == Interpolation::kBilinear ? triangle : keys_cubic;
  const double filter_scale = std::max(axis.scale(), 1.0);
  taps.stride = static_cast<int>(std::ceil(axis.support())) * 2 + 1;
  taps.first.resize(axis.count);
  taps.count.resize(axis.count);
  taps.weights.resize(static_cast<std::size_t>(axis.count) * taps.stride);
  static thread_local std::vector<double> w;
  w.resize(taps.stride);
  for (int o = 0; o < axis.count; ++o) {
    const double center = axis.center(axis.begin + o);
    const int first = axis.first(axis.begin + o), count = axis.end(axis.begin + o) - first;
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += w[i] = filter((i + first - center + 0.5) * (1.0 / filter_scale));
    for (int i = 0; i < count; ++i)
      taps.weights[static_cast<std::size_t>(o) * taps.stride + i] =
          Arithmetic<Pixel>::weight(sum != 0 ? w[i] / sum : w[i]);
    taps.first[o] = first - skipped;
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

/// Resizes every row to out.cols pixels; `in` begins with column `skipped` of the axis.
template <class Pixel>
void resize_rows(const cv::Mat& in, const Axis& axis, int skipped, cv::Mat& out) {
  if (axis.in == axis.out) return in.colRange(axis.begin - skipped, axis.begin - skipped + axis.count).copyTo(out);
  static thread_local Taps<typename Arithmetic<Pixel>::Weight> taps;
  make_taps<Pixel>(axis, skipped, taps);
  const int channels = in.channels();
  const auto pass = channels == 1   ? resize_row<Pixel, 1>
                    : channels == 2 ? resize_row<Pixel, 2>
                    : channels == 3 ? resize_row<Pixel, 3>
                                    : resize_row<Pixel, 4>;
  for (int y = 0; y < in.rows; ++y) pass(in.ptr<Pixel>(y), taps, out.cols, out.ptr<Pixel>(y));
}

/// Resizes every column to out.rows pixels; `in` begins with row `skipped` of the axis.
template <class Pixel>
void resize_columns(const cv::Mat& in, const Axis& axis, int skipped, cv::Mat& out) {
  using A = Arithmetic<Pixel>;
  if (axis.in == axis.out) return in.rowRange(axis.begin - skipped, axis.begin - skipped + axis.count).copyTo(out);
  static thread_local Taps<typename A::Weight> taps;
  static thread_local std::vector<typename A::Sum> sums;
  make_taps<Pixel>(axis, skipped, taps);
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

/// The first pass computes only the part of `between` that the second one needs.
template <class Pixel>
void resize_image(const cv::Mat& image, const Axis& across, const Axis& down, bool columns_first, cv::Size between_size,
                  cv::Mat& out) {
  static thread_local std::vector<Pixel> buffer;
  buffer.resize(static_cast<std::size_t>(between_size.area()) * image.channels());
  cv::Mat between(between_size, image.type(), buffer.data());
  if (columns_first) {
    const cv::Range columns = across.inputs();
    resize_columns<Pixel>(image.colRange(columns), down, 0, between);
    resize_rows<Pixel>(between, across, columns.start, out);
  } else {
    const cv::Range rows = down.inputs();
    resize_rows<Pixel>(image.rowRange(rows), across, 0, between);
    resize_columns<Pixel>(between, down, rows.start, out);
  }
  release_if_huge(buffer);
}

/// The inputs of a resize that is not antialiased, `count` for each output and from the first to the last.
struct Samples {
  int count = 0;
  std::vector<int> places;
  std::vector<float> weights;
};

/// Keys' cubic with a = -1/2 at a distance of 1024ths.
float sampled_cubic(int distance) {
  constexpr int kOne = 1024;
  return distance < 2 * kOne ? static_cast<float>(keys_cubic(distance / static_cast<double>(kOne))) : 0.0f;
}

void find_samples(int in, int out, Interpolation interpolation, Samples& samples) {
  const bool cubic = interpolation == Interpolation::kBicubic;
  samples.count = cubic ? 4 : 2;
  samples.places.resize(static_cast<std::size_t>(out) * samples.count);
  samples.weights.resize(samples.places.size());
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (int o = 0; o < out; ++o) {
    const float at = (static_cast<float>(o) + 0.5f) * scale - 0.5f;
    const int before = static_cast<int>(std::floor(at));
    const float behind = at - static_cast<float>(before);
    const int in_1024ths = static_cast<int>(std::lrint(behind * 1024));
    int* const places = samples.places.data() + static_cast<std::ptrdiff_t>(o) * samples.count;
    float* const weights = samples.weights.data() + static_cast<std::ptrdiff_t>(o) * samples.count;
    float sum = 0;
    for (int i = 0; i < samples.count; ++i) {
      const int place = cubic ? before - 1 + i : before + i;
      places[i] = std::clamp(place, 0, in - 1);
      if (!cubic) {
        weights[i] = i == 0 ? 1 - behind : behind;
      } else {
        weights[i] = places[i] == place ? sampled_cubic(std::abs((i - 1) * 1024 - in_1024ths)) : 0;
        sum += weights[i];
      }
    }
    for (int i = 0; cubic && i < samples.count; ++i) weights[i] *= 1 / sum;
  }
}

template <class Pixel>
void sample_image(const cv::Mat& image, const Samples& across, const Samples& down, cv::Mat& out) {
  const int channels = image.channels();
  static thread_local std::vector<float> row;
  row.resize(static_cast<std::size_t>(image.cols) * channels);
  for (int y = 0; y < out.rows; ++y) {
    std::fill(row.begin(), row.end(), 0.0f);
    for (int i = 0; i < down.count; ++i) {
      const auto k = static_cast<std::ptrdiff_t>(y) * down.count + i;
      const Pixel* const in = image.ptr<Pixel>(down.places[k]);
      for (std::size_t x = 0; x < row.size(); ++x) row[x] += down.weights[k] * static_cast<float>(in[x]);
    }
    float* result = out.ptr<float>(y);
    for (int x = 0; x < out.cols; ++x)
      for (int c = 0; c < channels; ++c) {
        float sum = 0;
        for (int i = 0; i < across.count; ++i) {
          const auto k = static_cast<std::ptrdiff_t>(x) * across.count + i;
          sum += across.weights[k] * row[static_cast<std::ptrdiff_t>(across.places[k]) * channels + c];
        }
        *result++ = sum;
      }
  }
}

void check_image(const cv::Mat& image, cv::Size size) {
  if (image.empty() || image.channels() > 4 || (image.depth() != CV_8U && image.depth() != CV_32F))
    throw UsageError("resize takes 8-bit or float images of 1 to 4 channels");
  if (size.width < 1 || size.height < 1) throw UsageError("cannot resize to ", size.width, " x ", size.height);
}

}  // namespace

void refuse_pixels(cv::Size image, cv::Size size) {
  throw Error("cannot resize ", image.width, " x ", image.height, " pixels to ", size.width, " x ", size.height,
              ": the image is too long for its width");
}

void resize(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out) {
  resize_region(image, size, {{0, 0}, size}, interpolation, out);
}

void resize_region(const cv::Mat& image, cv::Size size, cv::Rect region, Interpolation interpolation, cv::Mat& out) {
  check_image(image, size);
  if (region.empty() || region.x < 0 || region.y < 0 || region.width > size.width - region.x ||
      region.height > size.height - region.y)
    throw UsageError("resize_region: ", region.width, " x ", region.height, " pixels at (", region.x, ", ", region.y,
                     ") do not lie in ", size.width, " x ", size.height);
  const Axis across{image.cols, size.width, region.x, region.width, interpolation},
      down{image.rows, size.height, region.y, region.height, interpolation};
  // Pillow 13 takes first what shrinks the image more.
  const bool columns_first =
      image.rows > size.height && std::int64_t{image.rows} - size.height > 2 * (std::int64_t{image.cols} - size.width);
  const cv::Size between =
      columns_first ? cv::Size(across.inputs().size(), region.height) : cv::Size(region.width, down.inputs().size());
  const auto pixels = [](cv::Size of) { return std::int64_t{of.width} * of.height; };
  if (std::max(pixels(between), pixels(region.size())) > kMaxPixels) refuse_pixels(image.size(), size);
  out.create(region.size(), image.type());
  if (image.depth() == CV_8U) {
    resize_image<std::uint8_t>(image, across, down, columns_first, between, out);
  } else {
    resize_image<float>(image, across, down, columns_first, between, out);
  }
}

void resize_sampled(const cv::Mat& image, cv::Size size, Interpolation interpolation, cv::Mat& out) {
  check_image(image, size);
  if (std::int64_t{size.width} * size.height > kMaxPixels) refuse_pixels(image.size(), size);
  static thread_local Samples across, down;
  find_samples(image.cols, size.width, interpolation, across);
  find_samples(image.rows, size.height, interpolation, down);
  out.create(size, CV_MAKETYPE(CV_32F, image.channels()));
  if (image.depth() == CV_8U) {
    sample_image<std::uint8_t>(image, across, down, out);
  } else {
    sample_image<float>(image, across, down, out);
  }
}

}  // namespace unlabel::augment
