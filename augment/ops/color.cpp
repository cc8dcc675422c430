#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/color.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

namespace unlabel::augment {

namespace {

using Byte = std::uint8_t;

void check(const cv::Mat& image, const char* operation) {
  if (image.type() != CV_8UC3 && image.type() != CV_32FC3)
    throw UsageError(operation, " takes CV_8UC3 or CV_32FC3 images, not ", cv::typeToString(image.type()));
}

void check_factor(double factor, const char* operation) {
  if (!(factor >= 0 && factor <= std::numeric_limits<float>::max()))
    throw UsageError(operation, ": the factor must be finite and >= 0, not ", factor);
}

/// Calls function(in, out) with the three channels of every pixel.
template <class Pixel, class Function>
void for_each_pixel(const cv::Mat& image, cv::Mat& out, Function function) {
  out.create(image.size(), image.type());
  for (int y = 0; y < image.rows; ++y) {
    const Pixel* in = image.ptr<Pixel>(y);
    Pixel* result = out.ptr<Pixel>(y);
    for (int x = 0; x < image.cols; ++x, in += 3, result += 3) function(in, result);
  }
}

void look_up(const cv::Mat& image, const std::array<Byte, 256>& table, cv::Mat& out) {
  out.create(image.size(), image.type());
  const int values = image.cols * image.channels();
  for (int y = 0; y < image.rows; ++y) {
    const Byte* in = image.ptr<Byte>(y);
    Byte* result = out.ptr<Byte>(y);
    for (int x = 0; x < values; ++x) result[x] = table[in[x]];
  }
}

Byte gray(const Byte* p) { return static_cast<Byte>((p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16); }
float gray(const float* p) { return 0.2989f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

/// other + factor (value - other), as PIL's blend: computed in floats, truncated.
Byte blend(Byte value, Byte other, float factor) {
  const float mixed = static_cast<float>(other) + factor * static_cast<float>(value - other);
  return mixed <= 0 ? 0 : mixed >= 255 ? 255 : static_cast<Byte>(mixed);
}
float blend(float value, float other, float factor) {
  return std::clamp(factor * value + (1 - factor) * other, 0.0f, 1.0f);
}

std::array<Byte, 256> blend_table(Byte other, float factor) {
  std::array<Byte, 256> table;
  for (int value = 0; value < 256; ++value) table[value] = blend(static_cast<Byte>(value), other, factor);
  return table;
}

template <class Pixel>
double gray_sum(const cv::Mat& image) {
  double sum = 0;
  for (int y = 0; y < image.rows; ++y) {
    const Pixel* p = image.ptr<Pixel>(y);
    std::conditional_t<std::is_same_v<Pixel, Byte>, std::int64_t, double> row = 0;
    for (int x = 0; x < image.cols; ++x, p += 3) row += gray(p);
    sum += static_cast<double>(row);
  }
  return sum;
}

/// The hue of a pixel in turns, in [0, 1), where `range` = max - min > 0 (colorsys' formula).
float hue_of(float r, float g, float b, float greatest, float range) {
  const float rc = (greatest - r) / range, gc = (greatest - g) / range, bc = (greatest - b) / range;
  float h;
  if (r == greatest) {
    h = bc - gc;
  } else if (g == greatest) {
    h = static_cast<float>(2.0 + rc - bc);
  } else {
    h = static_cast<float>(4.0 + gc - rc);
  }
  const double turns = h / 6.0 + 1.0;  // in [5/6, 11/6)
  return static_cast<float>(turns >= 1.0 ? turns - 1.0 : turns);
}

template <class Value>
void put_sextant(int sextant, Value v, Value p, Value q, Value t, Value* out) {
  switch (sextant) {
    case 0:
      out[0] = v, out[1] = t, out[2] = p;
      break;
    case 1:
      out[0] = q, out[1] = v, out[2] = p;
      break;
    case 2:
      out[0] = p, out[1] = v, out[2] = t;
      break;
    case 3:
      out[0] = p, out[1] = q, out[2] = v;
      break;
    case 4:
      out[0] = t, out[1] = p, out[2] = v;
      break;
    default:
      out[0] = v, out[1] = p, out[2] = q;
      break;
  }
}

Byte round_to_byte(double value) { return static_cast<Byte>(std::clamp(static_cast<int>(value + 0.5), 0, 255)); }

void adjust_hue_8bit(const cv::Mat& image, double shift, cv::Mat& out) {
  const Byte offset = static_cast<Byte>(static_cast<std::int32_t>(shift * 255));
  for_each_pixel<Byte>(image, out, [offset](const Byte* in, Byte* result) {
    const Byte r = in[0], g = in[1], b = in[2];
    const Byte v = std::max({r, g, b}), least = std::min({r, g, b});
    Byte h = 0, s = 0;
    if (v != least) {
      const float range = static_cast<float>(v - least);
      s = static_cast<Byte>(range / static_cast<float>(v) * 255.0);
      h = static_cast<Byte>(hue_of(r, g, b, v, range) * 255.0);
    }
    h = static_cast<Byte>(h + offset);
    if (s == 0) {
      result[0] = result[1] = result[2] = v;
      return;
    }
    const double sixths = h * 6.0 / 255.0;
    const int sextant = static_cast<int>(sixths);
    const float f = static_cast<float>(sixths - sextant), fs = static_cast<float>(s / 255.0);
    const Byte p = round_to_byte(v * (1.0 - fs));
    const Byte q = round_to_byte(v * (1.0 - static_cast<double>(fs * f)));
    const Byte t = round_to_byte(v * (1.0 - fs * (1.0 - f)));
    put_sextant(sextant % 6, v, p, q, t, result);
  });
}

void adjust_hue_float(const cv::Mat& image, float shift, cv::Mat& out) {
  for_each_pixel<float>(image, out, [shift](const float* in, float* result) {
    const float r = in[0], g = in[1], b = in[2];
    const float v = std::max({r, g, b}), range = v - std::min({r, g, b});
    float h = range > 0 ? hue_of(r, g, b, v, range) : 0.0f;
    const float s = range > 0 ? range / v : 0.0f;
    h += shift;
    h -= std::floor(h);
    if (!(h >= 0)) h = 0;  // of pixels that are no numbers
    const float sixths = h * 6, floor = std::floor(sixths), f = sixths - floor;
    const auto unit = [](float value) { return std::clamp(value, 0.0f, 1.0f); };
    put_sextant(static_cast<int>(floor) % 6, v, unit(v * (1 - s)), unit(v * (1 - s * f)), unit(v * (1 - s * (1 - f))),
                result);
  });
}

}  // namespace

void grayscale(const cv::Mat& image, cv::Mat& out) {
  check(image, "grayscale");
  const auto repeat = [](const auto* in, auto* result) { result[0] = result[1] = result[2] = gray(in); };
  if (image.depth() == CV_8U) {
    for_each_pixel<Byte>(image, out, repeat);
  } else {
    for_each_pixel<float>(image, out, repeat);
  }
}

void to_gray(const cv::Mat& image, cv::Mat& out) {
  check(image, "to_gray");
  const cv::Mat in = image;  // keeps the pixels when `out` is `image`
  out.create(in.size(), CV_MAKETYPE(in.depth(), 1));
  for (int y = 0; y < in.rows; ++y)
    for (int x = 0; x < in.cols; ++x)
      if (in.depth() == CV_8U) {
        out.ptr<Byte>(y)[x] = gray(in.ptr<Byte>(y) + 3 * x);
      } else {
        out.ptr<float>(y)[x] = gray(in.ptr<float>(y) + 3 * x);
      }
}

void adjust_brightness(const cv::Mat& image, double factor, cv::Mat& out) {
  check(image, "adjust_brightness");
  check_factor(factor, "adjust_brightness");
  const float f = static_cast<float>(factor);
  if (image.depth() == CV_8U) {
    look_up(image, blend_table(0, f), out);
  } else {
    for_each_pixel<float>(image, out, [f](const float* in, float* result) {
      for (int c = 0; c < 3; ++c) result[c] = blend(in[c], 0, f);
    });
  }
}

void adjust_contrast(const cv::Mat& image, double factor, cv::Mat& out) {
  check(image, "adjust_contrast");
  check_factor(factor, "adjust_contrast");
  const float f = static_cast<float>(factor);
  const double pixels = static_cast<double>(image.total());
  if (image.depth() == CV_8U) {
    look_up(image, blend_table(static_cast<Byte>(gray_sum<Byte>(image) / pixels + 0.5), f), out);
  } else {
    const float mean = static_cast<float>(gray_sum<float>(image) / pixels);
    for_each_pixel<float>(image, out, [f, mean](const float* in, float* result) {
      for (int c = 0; c < 3; ++c) result[c] = blend(in[c], mean, f);
    });
  }
}

void adjust_saturation(const cv::Mat& image, double factor, cv::Mat& out) {
  check(image, "adjust_saturation");
  check_factor(factor, "adjust_saturation");
  const auto mix = [f = static_cast<float>(factor)](const auto* in, auto* result) {
    const auto other = gray(in);
    for (int c = 0; c < 3; ++c) result[c] = blend(in[c], other, f);
  };
  if (image.depth() == CV_8U) {
    for_each_pixel<Byte>(image, out, mix);
  } else {
    for_each_pixel<float>(image, out, mix);
  }
}

void adjust_hue(const cv::Mat& image, double shift, cv::Mat& out) {
  check(image, "adjust_hue");
  if (!(shift >= -0.5 && shift <= 0.5)) throw UsageError("adjust_hue: ", shift, " is not in [-0.5, 0.5]");
  if (image.depth() == CV_8U) {
    adjust_hue_8bit(image, shift, out);
  } else {
    adjust_hue_float(image, static_cast<float>(shift), out);
  }
}

void solarize(const cv::Mat& image, double threshold, cv::Mat& out) {
  check(image, "solarize");
  if (!(threshold >= 0 && threshold <= 1))
    throw UsageError("solarize: the threshold is a fraction of white, in [0, 1], not ", threshold);
  if (image.depth() == CV_8U) {
    std::array<Byte, 256> table;
    for (int value = 0; value < 256; ++value)
      table[value] = static_cast<Byte>(value < threshold * 255 ? value : 255 - value);
    look_up(image, table, out);
  } else {
    for_each_pixel<float>(image, out, [t = static_cast<float>(threshold)](const float* in, float* result) {
      for (int c = 0; c < 3; ++c) result[c] = in[c] < t ? in[c] : 1 - in[c];
    });
  }
}

}  // namespace unlabel::augment
