#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/affine.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace unlabel::augment {

namespace {

constexpr double kDegree = std::numbers::pi / 180;

/// An image of T with that many values a pixel.
template <class T>
struct Picture {
  const cv::Mat& image;
  int channels = image.channels();

  bool has(double x, double y) const { return x >= 0 && y >= 0 && x < image.cols && y < image.rows; }
  const T* at(int x, int y) const { return image.ptr<T>(y) + static_cast<std::ptrdiff_t>(x) * channels; }
};

/// Whether PIL's 16.16 fixed point can hold all coordinates of such an image.
bool fits_fixed_point(const AffineMatrix& m, cv::Size size) {
  const auto small = [&](double x, double y) {
    return std::abs(m[0] * x + m[1] * y + m[2]) < 32768 && std::abs(m[3] * x + m[4] * y + m[5]) < 32768;
  };
  return small(0, 0) && small(size.width, 0) && small(0, size.height) && small(size.width, size.height);
}

/// Takes the nearest pixels, in PIL's three kinds of arithmetic.
template <class T>
void nearest(const Picture<T>& in, const AffineMatrix& m, cv::Mat& out) {
  const auto take = [&](int row, int column, double x, double y) {
    if (in.has(x, y))
      std::copy_n(in.at(static_cast<int>(x), static_cast<int>(y)), in.channels,
                  out.ptr<T>(row) + static_cast<std::ptrdiff_t>(column) * in.channels);
  };
  if (m[1] == 0 && m[3] == 0) {
    double y = m[5] + m[4] * 0.5;
    for (int i = 0; i < out.rows; ++i, y += m[4]) {
      double x = m[2] + m[0] * 0.5;
      for (int j = 0; j < out.cols; ++j, x += m[0]) take(i, j, x, y);
    }
    return;
  }
  if (fits_fixed_point(m, out.size())) {
    const auto fixed = [](double value) { return static_cast<std::int64_t>(std::floor(value * 65536 + 0.5)); };
    const std::int64_t across_x = fixed(m[0]), down_x = fixed(m[1]), across_y = fixed(m[3]), down_y = fixed(m[4]);
    std::int64_t left_x = fixed(m[2] + m[0] * 0.5 + m[1] * 0.5), left_y = fixed(m[5] + m[3] * 0.5 + m[4] * 0.5);
    for (int i = 0; i < out.rows; ++i, left_x += down_x, left_y += down_y) {
      std::int64_t x = left_x, y = left_y;
      for (int j = 0; j < out.cols; ++j, x += across_x, y += across_y)
        take(i, j, static_cast<double>(x >> 16), static_cast<double>(y >> 16));
    }
    return;
  }
  for (int i = 0; i < out.rows; ++i)
    for (int j = 0; j < out.cols; ++j)
      take(i, j, m[0] * (j + 0.5) + m[1] * (i + 0.5) + m[2], m[3] * (j + 0.5) + m[4] * (i + 0.5) + m[5]);
}

template <class T>
void bilinear(const Picture<T>& in, const AffineMatrix& m, cv::Mat& out) {
  const auto clip = [](int place, int count) { return std::clamp(place, 0, count - 1); };
  for (int i = 0; i < out.rows; ++i)
    for (int j = 0; j < out.cols; ++j) {
      double x = m[0] * (j + 0.5) + m[1] * (i + 0.5) + m[2], y = m[3] * (j + 0.5) + m[4] * (i + 0.5) + m[5];
      if (!in.has(x, y)) continue;
      x -= 0.5, y -= 0.5;
      const int column = static_cast<int>(std::floor(x)), line = static_cast<int>(std::floor(y));
      const double right = x - column, below = y - line;
      const int x0 = clip(column, in.image.cols), x1 = clip(column + 1, in.image.cols), y0 = clip(line, in.image.rows),
                y1 = clip(line + 1, in.image.rows);
      T* const pixel = out.ptr<T>(i) + static_cast<std::ptrdiff_t>(j) * in.channels;
      for (int c = 0; c < in.channels; ++c) {
        const auto mix = [](double a, double b, double share) { return a + (b - a) * share; };
        const double above = mix(in.at(x0, y0)[c], in.at(x1, y0)[c], right),
                     under = mix(in.at(x0, y1)[c], in.at(x1, y1)[c], right);
        pixel[c] = static_cast<T>(mix(above, under, below));
      }
    }
}

template <class T>
void transform(const cv::Mat& image, const AffineMatrix& matrix, Sampling sampling, cv::Mat& out) {
  const Picture<T> in{image};
  if (sampling == Sampling::kBilinear) return bilinear(in, matrix, out);
  nearest(in, matrix, out);
}

}  // namespace

AffineMatrix affine_matrix(const AffineChange& change, cv::Point2d center) {
  const double turn = change.angle * kDegree, sx = change.shear_x * kDegree, sy = change.shear_y * kDegree;
  const double a = std::cos(turn - sy) / std::cos(sy), c = std::sin(turn - sy) / std::cos(sy);
  const double b = -std::cos(turn - sy) * std::tan(sx) / std::cos(sy) - std::sin(turn);
  const double d = -std::sin(turn - sy) * std::tan(sx) / std::cos(sy) + std::cos(turn);
  AffineMatrix m{d / change.scale, -b / change.scale, 0, -c / change.scale, a / change.scale, 0};
  const double x = -center.x - change.translate.x, y = -center.y - change.translate.y;
  m[2] += m[0] * x + m[1] * y;
  m[5] += m[3] * x + m[4] * y;
  m[2] += center.x;
  m[5] += center.y;
  return m;
}

AffineMatrix rotation_matrix(double angle, cv::Size image) {
  const double rest = std::fmod(angle, 360.0), turn = -(rest < 0 ? rest + 360 : rest) * kDegree;
  const auto rounded = [](double value) {  // to 15 decimal places, exactly
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed, 15).ptr;
    std::from_chars(text, end, value);
    return value;
  };
  AffineMatrix m{rounded(std::cos(turn)),  rounded(std::sin(turn)), 0,
                 rounded(-std::sin(turn)), rounded(std::cos(turn)), 0};
  const double x = image.width / 2.0, y = image.height / 2.0;
  m[2] = m[0] * -x + m[1] * -y + x;
  m[5] = m[3] * -x + m[4] * -y + y;
  return m;
}

void affine(const cv::Mat& image, const AffineMatrix& matrix, Sampling sampling, double fill, cv::Mat& out) {
  if (image.depth() != CV_8U && image.depth() != CV_32F)
    throw UsageError("affine takes images of 8 bits or floats, not ", cv::typeToString(image.type()));
  for (const double value : matrix)
    if (!(std::abs(value) <= 1e12))
      throw UsageError("affine: the matrix has the number ", value, ", which is no place in an image");
  if (out.data == image.data && image.data) return affine(image.clone(), matrix, sampling, fill, out);
  out.create(image.size(), image.type());
  out.setTo(cv::Scalar::all(image.depth() == CV_8U ? std::round(255 * std::clamp(fill, 0.0, 1.0)) : fill));
  if (image.depth() == CV_8U) return transform<std::uint8_t>(image, matrix, sampling, out);
  transform<float>(image, matrix, sampling, out);
}

}  // namespace unlabel::augment
