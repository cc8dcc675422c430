#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/filter.h>

#include <opencv2/core.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace unlabel::augment {

namespace {

std::uint8_t to_pixel(float value, std::uint8_t) {
  return static_cast<std::uint8_t>(std::clamp(std::lrintf(value), 0L, 255L));
}
float to_pixel(float value, float) { return value; }

/// A row's floats with `radius` pixels of border on either side.
template <class Pixel>
void pad_row(const Pixel* row, int width, int channels, int radius, Border border, float* out) {
  for (int i = 0; i < width * channels; ++i) out[radius * channels + i] = row[i];
  for (int x = 1; x <= radius; ++x)
    for (const int at : {-x, width - 1 + x}) {
      const int from = border == Border::kZero ? -1 : cv::borderInterpolate(at, width, cv::BORDER_REFLECT_101);
      for (int c = 0; c < channels; ++c) out[(radius + at) * channels + c] = from < 0 ? 0 : row[from * channels + c];
    }
}

/// sum over t of kernel[t] (in[t - r] + in[t + r]) for symmetric kernels; `at(t)` gives the row shifted by t.
template <class At>
void convolve(const std::vector<float>& kernel, int length, At at, float* out) {
  const int radius = static_cast<int>(kernel.size()) / 2;
  const float* middle = at(0);
  for (int i = 0; i < length; ++i) out[i] = kernel[radius] * middle[i];
  for (int t = 1; t <= radius; ++t) {
    const float weight = kernel[radius + t];
    const float *before = at(-t), *after = at(t);
    for (int i = 0; i < length; ++i) out[i] += weight * (before[i] + after[i]);
  }
}

template <class Pixel>
void blur(const cv::Mat& image, const std::vector<float>& kernel, Border border, cv::Mat& out) {
  const int radius = static_cast<int>(kernel.size()) / 2, channels = image.channels();
  const int length = image.cols * channels;
  static thread_local std::vector<float> padded, rows, sums;
  padded.resize(length + 2 * static_cast<std::size_t>(radius) * channels);
  rows.resize((static_cast<std::size_t>(image.rows) + 1) * length);
  sums.resize(length);
  for (int y = 0; y < image.rows; ++y) {
    pad_row(image.ptr<Pixel>(y), image.cols, channels, radius, border, padded.data());
    const float* middle = padded.data() + radius * channels;
    convolve(
        kernel, length, [&](int t) { return middle + t * channels; },
        rows.data() + static_cast<std::ptrdiff_t>(y) * length);
  }
  float* const zeros = rows.data() + static_cast<std::ptrdiff_t>(image.rows) * length;
  std::fill_n(zeros, length, 0.0f);
  out.create(image.size(), image.type());
  for (int y = 0; y < image.rows; ++y) {
    const auto row = [&](int t) -> const float* {
      int from = y + t;
      if (from < 0 || from >= image.rows) {
        if (border == Border::kZero) return zeros;
        from = cv::borderInterpolate(from, image.rows, cv::BORDER_REFLECT_101);
      }
      return rows.data() + static_cast<std::ptrdiff_t>(from) * length;
    };
    convolve(kernel, length, row, sums.data());
    Pixel* result = out.ptr<Pixel>(y);
    for (int i = 0; i < length; ++i) result[i] = to_pixel(sums[i], Pixel{});
  }
}

}  // namespace

int gaussian_radius(double sigma, int size) { return size > 0 ? size / 2 : static_cast<int>(std::ceil(3.5 * sigma)); }

void gaussian_kernel(double sigma, int size, std::vector<float>& weights) {
  if (!(sigma > 0 && sigma <= 1000)) throw UsageError("gaussian_blur: sigma ", sigma, " is not in (0, 1000]");
  if (size < 0 || (size > 0 && size % 2 == 0)) throw UsageError("gaussian_blur: kernel size ", size, " is not odd");
  const int radius = gaussian_radius(sigma, size);
  weights.resize(2 * static_cast<std::size_t>(radius) + 1);
  double sum = 0;
  for (int x = -radius; x <= radius; ++x) sum += std::exp(-0.5 * (x / sigma) * (x / sigma));
  for (int x = -radius; x <= radius; ++x)
    weights[x + radius] = static_cast<float>(std::exp(-0.5 * (x / sigma) * (x / sigma)) / sum);
}

std::vector<float> gaussian_kernel(double sigma, int size) {
  std::vector<float> weights;
  gaussian_kernel(sigma, size, weights);
  return weights;
}

void gaussian_blur(const cv::Mat& image, double sigma, int size, Border border, cv::Mat& out) {
  if (image.empty() || (image.depth() != CV_8U && image.depth() != CV_32F))
    throw UsageError("gaussian_blur takes 8-bit or float images");
  const auto kernel = gaussian_kernel(sigma, size);
  if (image.depth() == CV_8U) {
    blur<std::uint8_t>(image, kernel, border, out);
  } else {
    blur<float>(image, kernel, border, out);
  }
}

void sobel(const cv::Mat& image, cv::Mat& out) {
  if (image.type() != CV_32FC3) throw UsageError("sobel takes normalized CV_32FC3 images");
  const int width = image.cols + 2;
  static thread_local std::vector<float> gray;  // with a border of zeros
  gray.assign((static_cast<std::size_t>(image.rows) + 2) * width, 0.0f);
  for (int y = 0; y < image.rows; ++y) {
    const float* in = image.ptr<float>(y);
    float* row = gray.data() + (y + std::ptrdiff_t{1}) * width + 1;
    for (int x = 0; x < image.cols; ++x, in += 3) row[x] = (in[0] + in[1] + in[2]) * (1.0f / 3.0f);
  }
  out.create(image.size(), CV_32FC2);
  for (int y = 0; y < image.rows; ++y) {
    const float* above = gray.data() + static_cast<std::ptrdiff_t>(y) * width;
    const float *here = above + width, *below = here + width;
    float* result = out.ptr<float>(y);
    for (int x = 0; x < image.cols; ++x) {
      result[2 * x] = above[x] - above[x + 2] + 2 * (here[x] - here[x + 2]) + below[x] - below[x + 2];
      result[2 * x + 1] = above[x] + 2 * above[x + 1] + above[x + 2] - (below[x] + 2 * below[x + 1] + below[x + 2]);
    }
  }
}

}  // namespace unlabel::augment
