#include <unlabel/augment/image_header.h>

#include <cctype>
#include <optional>
#include <string_view>

namespace unlabel::augment {

namespace {

using Bytes = std::span<const std::uint8_t>;

bool starts_with(Bytes bytes, std::string_view magic, std::size_t at = 0) {
  if (bytes.size() < at + magic.size()) return false;
  for (std::size_t i = 0; i < magic.size(); ++i)
    if (bytes[at + i] != static_cast<std::uint8_t>(magic[i])) return false;
  return true;
}

enum class Order { kLittle, kBig };

/// An unsigned number of `count` bytes, or nothing where the data ends before.
std::optional<std::uint32_t> number(Bytes bytes, std::size_t at, int count, Order order) {
  if (at > bytes.size() || bytes.size() - at < static_cast<std::size_t>(count)) return std::nullopt;
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + (order == Order::kBig ? i : count - 1 - i)];
  return value;
}

cv::Size size_of(std::optional<std::uint32_t> width, std::optional<std::uint32_t> height) {
  constexpr std::uint32_t kMost = 0x7FFFFFFF;
  if (!width || !height || *width > kMost || *height > kMost) return {};
  return {static_cast<int>(*width), static_cast<int>(*height)};
}

/// Calls visit(marker, payload) for every marker segment up to the first scan, until it returns true.
template <class Visit>
void for_each_segment(Bytes jpeg, Visit visit) {
  std::size_t at = 2;
  while (at + 1 < jpeg.size()) {
    if (jpeg[at] != 0xFF) {
      ++at;
      continue;
    }
    const std::uint8_t marker = jpeg[at + 1];
    if (marker == 0xFF) {
      ++at;
      continue;
    }
    at += 2;
    if (marker == 0 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) continue;  // no payload
    if (marker == 0xD9) return;
    const auto length = number(jpeg, at, 2, Order::kBig);
    if (!length || *length < 2 || *length > jpeg.size() - at) return;
    if (visit(marker, jpeg.subspan(at + 2, *length - 2)) || marker == 0xDA) return;
    at += *length;
  }
}

cv::Size jpeg_size(Bytes bytes) {
  cv::Size size;
  for_each_segment(bytes, [&](std::uint8_t marker, Bytes payload) {
    const bool frame = marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) size = size_of(number(payload, 3, 2, Order::kBig), number(payload, 1, 2, Order::kBig));
    return frame;
  });
  return size;
}

cv::Size webp_size(Bytes bytes) {
  constexpr Order kLittle = Order::kLittle;
  if (starts_with(bytes, "VP8 ", 12)) {
    if (!starts_with(bytes, "\x9d\x01\x2a", 23)) return {};
    const auto width = number(bytes, 26, 2, kLittle), height = number(bytes, 28, 2, kLittle);
    return height ? size_of(*width & 0x3FFF, *height & 0x3FFF) : cv::Size();
  }
  if (starts_with(bytes, "VP8L", 12)) {
    if (!starts_with(bytes, "\x2f", 20)) return {};
    const auto bits = number(bytes, 21, 4, kLittle);
    return bits ? size_of((*bits & 0x3FFF) + 1, (*bits >> 14 & 0x3FFF) + 1) : cv::Size();
  }
  if (starts_with(bytes, "VP8X", 12)) {
    const auto width = number(bytes, 24, 3, kLittle), height = number(bytes, 27, 3, kLittle);
    return height ? size_of(*width + 1, *height + 1) : cv::Size();
  }
  return {};
}

cv::Size bmp_size(Bytes bytes) {
  const auto header = number(bytes, 14, 4, Order::kLittle);
  if (header == 12u) return size_of(number(bytes, 18, 2, Order::kLittle), number(bytes, 20, 2, Order::kLittle));
  auto height = number(bytes, 22, 4, Order::kLittle);
  if (height && *height > 0x7FFFFFFF) height = ~*height + 1;  // negative: rows from the top
  return size_of(number(bytes, 18, 4, Order::kLittle), height);
}

/// The value of a SHORT or LONG tag in the directory at `at`.
std::optional<std::uint32_t> tiff_tag(Bytes tiff, std::uint32_t at, std::uint16_t tag, Order order) {
  const auto count = number(tiff, at, 2, order);
  for (std::uint32_t i = 0; count && i < *count; ++i) {
    const std::size_t entry = std::size_t{at} + 2 + std::size_t{12} * i;
    const auto found = number(tiff, entry, 2, order);
    if (!found) return std::nullopt;
    if (*found != tag) continue;
    const auto type = number(tiff, entry + 2, 2, order);
    if (type == 3u) return number(tiff, entry + 8, 2, order);
    if (type == 4u) return number(tiff, entry + 8, 4, order);
    return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Order> tiff_order(Bytes tiff) {
  if (starts_with(tiff, std::string_view("II*\0", 4))) return Order::kLittle;
  if (starts_with(tiff, std::string_view("MM\0*", 4))) return Order::kBig;
  return std::nullopt;
}

cv::Size tiff_size(Bytes bytes) {
  const auto order = tiff_order(bytes);
  const auto directory = order ? number(bytes, 4, 4, *order) : std::nullopt;
  if (!directory) return {};
  return size_of(tiff_tag(bytes, *directory, 256, *order), tiff_tag(bytes, *directory, 257, *order));
}

cv::Size pnm_size(Bytes bytes) {
  std::uint32_t values[2];
  std::size_t at = 2;
  for (auto& value : values) {
    while (at < bytes.size() && (std::isspace(bytes[at]) || bytes[at] == '#'))
      if (bytes[at++] == '#')
        while (at < bytes.size() && bytes[at] != '\n') ++at;
    std::uint64_t digits = 0;
    const std::size_t begin = at;
    for (; at < bytes.size() && std::isdigit(bytes[at]); ++at) {
      digits = digits * 10 + (bytes[at] - '0');
      if (digits > 0x7FFFFFFF) return {};
    }
    if (at == begin) return {};
    value = static_cast<std::uint32_t>(digits);
  }
  return size_of(values[0], values[1]);
}

}  // namespace

ImageFormat image_format(Bytes bytes) {
  if (starts_with(bytes, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (starts_with(bytes, "\x89PNG\r\n\x1a\n")) return ImageFormat::kPng;
  if (starts_with(bytes, "RIFF") && starts_with(bytes, "WEBP", 8)) return ImageFormat::kWebp;
  if (starts_with(bytes, "BM")) return ImageFormat::kBmp;
  if (tiff_order(bytes)) return ImageFormat::kTiff;
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      (std::isspace(bytes[2]) || bytes[2] == '#'))
    return ImageFormat::kPnm;
  return ImageFormat::kUnknown;
}

cv::Size header_size(Bytes bytes, ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return jpeg_size(bytes);
    case ImageFormat::kPng:
      return starts_with(bytes, "IHDR", 12)
                 ? size_of(number(bytes, 16, 4, Order::kBig), number(bytes, 20, 4, Order::kBig))
                 : cv::Size();
    case ImageFormat::kWebp:
      return webp_size(bytes);
    case ImageFormat::kBmp:
      return bmp_size(bytes);
    case ImageFormat::kTiff:
      return tiff_size(bytes);
    case ImageFormat::kPnm:
      return pnm_size(bytes);
    case ImageFormat::kUnknown:
      break;
  }
  return {};
}

bool is_animated_webp(Bytes webp) { return starts_with(webp, "VP8X", 12) && webp.size() > 20 && (webp[20] & 2) != 0; }

int exif_orientation(Bytes jpeg) {
  int orientation = 1;
  for_each_segment(jpeg, [&](std::uint8_t marker, Bytes payload) {
    if (marker != 0xE1 || !starts_with(payload, std::string_view("Exif\0\0", 6))) return false;
    const Bytes tiff = payload.subspan(6);
    const auto order = tiff_order(tiff);
    const auto directory = order ? number(tiff, 4, 4, *order) : std::nullopt;
    const auto value = directory ? tiff_tag(tiff, *directory, 0x0112, *order) : std::nullopt;
    if (value && *value >= 1 && *value <= 8) orientation = static_cast<int>(*value);
    return true;
  });
  return orientation;
}

}  // namespace unlabel::augment
