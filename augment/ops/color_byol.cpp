#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/color_byol.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace unlabel::augment::byol {

namespace {

float unit(float value) { return std::clamp(value, 0.0f, 1.0f); }

template <class Function>
void for_each_pixel(const cv::Mat& image, cv::Mat& out, const char* operation, double amount, Function function) {
  if (image.type() != CV_32FC3)
    throw UsageError("byol::", operation, " takes CV_32FC3 images in [0, 1], not ", cv::typeToString(image.type()));
  if (!(std::abs(amount) <= std::numeric_limits<float>::max()))
    throw UsageError("byol::", operation, ": the amount must be finite, not ", amount);
  out.create(image.size(), image.type());
  for (int y = 0; y < image.rows; ++y) {
    const float* in = image.ptr<float>(y);
    float* result = out.ptr<float>(y);
    for (int x = 0; x < image.cols; ++x, in += 3, result += 3) function(in, result);
  }
}

struct Hsv {
  float h, s, v;
};

Hsv rgb_to_hsv(const float* p) {
  const float r = p[0], g = p[1], b = p[2];
  const float v = std::max({r, g, b}), range = v - std::min({r, g, b});
  if (range <= 0) return {0, 0, v};
  const float norm = 1.0f / (6.0f * range);
  float h = r == v ? norm * (g - b) : g == v ? norm * (b - r) + 2.0f / 6.0f : norm * (r - g) + 4.0f / 6.0f;
  if (h < 0) h += 1;
  return {h, v > 0 ? range / v : 0.0f, v};
}

void hsv_to_rgb(Hsv hsv, float* out) {
  const float c = hsv.s * hsv.v, m = hsv.v - c;
  const float sixths = (hsv.h - std::floor(hsv.h)) * 6;
  const float x = c * (1 - std::abs(std::fmod(sixths, 2.0f) - 1));
  constexpr int kRole[6][3] = {{0, 1, 2}, {1, 0, 2}, {2, 0, 1},
                               {2, 1, 0}, {1, 2, 0}, {0, 2, 1}};  // of r, g, b in {c, x, 0}
  const std::array<float, 3> values{c, x, 0};
  const int* role = kRole[sixths >= 0 ? std::min(static_cast<int>(sixths), 5) : 0];  // 0: of pixels that are no numbers
  for (int i = 0; i < 3; ++i) out[i] = unit(values[role[i]] + m);
}

}  // namespace

void adjust_brightness(const cv::Mat& image, double delta, cv::Mat& out) {
  for_each_pixel(image, out, "adjust_brightness", delta,
                 [d = static_cast<float>(delta)](const float* in, float* result) {
                   for (int c = 0; c < 3; ++c) result[c] = unit(in[c] + d);
                 });
}

void adjust_contrast(const cv::Mat& image, double factor, cv::Mat& out) {
  double sums[3]{};
  for (int y = 0; y < image.rows && image.type() == CV_32FC3; ++y)
    for (int x = 0; x < image.cols; ++x)
      for (int c = 0; c < 3; ++c) sums[c] += image.ptr<float>(y)[3 * x + c];
  std::array<float, 3> mean;
  for (int c = 0; c < 3; ++c) mean[c] = static_cast<float>(sums[c] / static_cast<double>(image.total()));
  for_each_pixel(image, out, "adjust_contrast", factor,
                 [f = static_cast<float>(factor), mean](const float* in, float* result) {
                   for (int c = 0; c < 3; ++c) result[c] = unit(f * (in[c] - mean[c]) + mean[c]);
                 });
}

void adjust_saturation(const cv::Mat& image, double factor, cv::Mat& out) {
  for_each_pixel(image, out, "adjust_saturation", factor,
                 [f = static_cast<float>(factor)](const float* in, float* result) {
                   const Hsv hsv = rgb_to_hsv(in);
                   hsv_to_rgb({hsv.h, unit(hsv.s * f), hsv.v}, result);
                 });
}

void adjust_hue(const cv::Mat& image, double delta, cv::Mat& out) {
  for_each_pixel(image, out, "adjust_hue", delta, [d = static_cast<float>(delta)](const float* in, float* result) {
    const Hsv hsv = rgb_to_hsv(in);
    hsv_to_rgb({hsv.h + d, hsv.s, hsv.v}, result);
  });
}

}  // namespace unlabel::augment::byol
