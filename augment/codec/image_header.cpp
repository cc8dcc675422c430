#include <unlabel/augment/codec/image_header.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

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

/// An unsigned number of `count` bytes, 1 to 8, or nothing where the data ends before.
std::optional<std::uint64_t> number(Bytes bytes, std::size_t at, int count, Order order) {
  if (at > bytes.size() || bytes.size() - at < static_cast<std::size_t>(count)) return std::nullopt;
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | bytes[at + (order == Order::kBig ? i : count - 1 - i)];
  return value;
}

cv::Size size_of(std::optional<std::uint64_t> width, std::optional<std::uint64_t> height) {
  constexpr std::uint64_t kMost = 0x7FFFFFFF;
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
  if (height && *height > 0x7FFFFFFF) height = 0x100000000 - *height;  // negative: rows from the top
  return size_of(number(bytes, 18, 4, Order::kLittle), height);
}

/// The directory of a TIFF's first image, of the classic kind or of a BigTIFF, whose counts and offsets have eight bytes.
struct TiffDirectory {
  Bytes tiff;
  Order order;
  bool big;
  std::size_t at;

  /// The value of a SHORT, LONG or LONG8 tag that is there once.
  std::optional<std::uint64_t> value(std::uint16_t tag) const {
    const std::size_t entry_bytes = big ? 20 : 12, first = at + (big ? 8 : 2);
    const auto count = number(tiff, at, big ? 8 : 2, order);
    for (std::uint64_t i = 0; count && i < *count; ++i) {
      const std::size_t entry = first + entry_bytes * i;  // ends at the end of the file: no count makes it overflow
      const auto found = number(tiff, entry, 2, order);
      if (!found) return std::nullopt;
      if (*found != tag) continue;
      const auto type = number(tiff, entry + 2, 2, order);
      const std::size_t value_at = entry + (big ? 12 : 8);
      if (type == 3u) return number(tiff, value_at, 2, order);
      if (type == 4u) return number(tiff, value_at, 4, order);
      if (type == 16u && big) return number(tiff, value_at, 8, order);
      return std::nullopt;
    }
    return std::nullopt;
  }
};

std::optional<TiffDirectory> tiff_directory(Bytes tiff) {
  using std::string_view;
  const bool little = starts_with(tiff, "II"), big_tiff = starts_with(tiff, string_view(little ? "+\0" : "\0+", 2), 2);
  if (!little && !starts_with(tiff, "MM")) return std::nullopt;
  if (!big_tiff && !starts_with(tiff, string_view(little ? "*\0" : "\0*", 2), 2)) return std::nullopt;
  const Order order = little ? Order::kLittle : Order::kBig;
  const auto at = big_tiff ? number(tiff, 8, 8, order) : number(tiff, 4, 4, order);
  if (!at || *at > tiff.size()) return std::nullopt;
  return TiffDirectory{tiff, order, big_tiff, static_cast<std::size_t>(*at)};
}

cv::Size tiff_size(Bytes bytes) {
  const auto directory = tiff_directory(bytes);
  return directory ? size_of(directory->value(256), directory->value(257)) : cv::Size();
}

/// The orientation in the TIFF directory that EXIF data are.
int tiff_orientation(Bytes tiff) {
  const auto directory = tiff_directory(tiff);
  const auto value = directory ? directory->value(0x0112) : std::nullopt;
  return value && *value >= 1 && *value <= 8 ? static_cast<int>(*value) : 1;
}

/// EXIF data behind the six bytes that JPEG has before them, and some writers of other formats too.
Bytes without_exif_mark(Bytes exif) {
  return starts_with(exif, std::string_view("Exif\0\0", 6)) ? exif.subspan(6) : exif;
}

/// The first chunk of a PNG or a RIFF file of that name, or nothing. `at`: where its chunks begin; `size_first`: whether a chunk's size
/// precedes its name; `extra`: bytes after its data; `even`: whether it is padded to an even size.
struct ChunkLayout {
  std::size_t at;
  Order order;
  bool size_first;
  std::size_t extra;
  bool even;
};
constexpr ChunkLayout kPngChunks{8, Order::kBig, true, 4, false}, kRiffChunks{12, Order::kLittle, false, 0, true};

Bytes find_chunk(Bytes file, const ChunkLayout& layout, std::string_view name) {
  for (std::size_t at = layout.at; at < file.size();) {
    const auto size = number(file, at + (layout.size_first ? 0 : 4), 4, layout.order);
    if (!size || file.size() - at < 8 || *size > file.size() - at - 8) return {};
    if (starts_with(file, name, at + (layout.size_first ? 4 : 0))) return file.subspan(at + 8, *size);
    at += 8 + *size + layout.extra + (layout.even ? *size % 2 : 0);
  }
  return {};
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
  for (const auto magic : {std::string_view("II*\0", 4), std::string_view("MM\0*", 4), std::string_view("II+\0", 4),
                           std::string_view("MM\0+", 4)})
    if (starts_with(bytes, magic)) return ImageFormat::kTiff;
  if (bytes.size() > 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      (std::isspace(bytes[2]) || bytes[2] == '#'))
    return ImageFormat::kPnm;
  return ImageFormat::kUnknown;
}

FormatName format_name(ImageFormat format) {
  static constexpr FormatName kNames[] = {{},
                                          {"a JPEG", ".jpg"},
                                          {"a PNG", ".png"},
                                          {"a WebP", ".webp"},
                                          {"a BMP", ".bmp"},
                                          {"a TIFF", ".tif"},
                                          {"a PNM", ".ppm"}};  // in the order of ImageFormat
  return kNames[static_cast<std::size_t>(format)];
}

OtherFormat other_format(Bytes bytes) {
  using namespace std::string_view_literals;
  struct Kind {
    std::size_t at;
    std::string_view magic;
    OtherFormat format;
  };
  static constexpr auto kKinds = std::to_array<Kind>({
      {0, "GIF87a", {"a GIF", true}},
      {0, "GIF89a", {"a GIF", true}},
      {4, "ftypavif", {"an AVIF", true}},
      {4, "ftypavis", {"an AVIF sequence", true}},
      {4, "ftyphei", {"a HEIC", true}},
      {4, "ftyphev", {"a HEIC sequence", true}},
      {4, "ftypmif1", {"a HEIF (HEIC or AVIF)", true}},
      {4, "ftypmsf1", {"a HEIF sequence", true}},
      {4, "ftypcrx ", {"a raw photograph (CR3)", true}},
      {4, "ftyp", {"a video", false}},
      {0, "\0\0\0\x0cjP  "sv, {"a JPEG 2000", true}},
      {0, "\xff\x4f\xff\x51", {"a JPEG 2000 code stream", true}},
      {0, "\0\0\0\x0cJXL "sv, {"a JPEG XL", true}},
      {0, "\xff\x0a", {"a JPEG XL code stream", false}},
      {0, "II\xbc\x01", {"a JPEG XR", true}},
      {0, "8BPS\0"sv, {"a Photoshop document (PSD)", true}},
      {0, "PF\n", {"a PFM", false}},
      {0, "Pf\n", {"a PFM", false}},
      {0, "PF ", {"a PFM", false}},
      {0, "Pf ", {"a PFM", false}},
      {0, "P7\n", {"a PAM", false}},
      {0, "\0\0\1\0"sv, {"an icon (ICO)", false}},
      {0, "\0\0\2\0"sv, {"a cursor (CUR)", false}},
      {0, "icns\0"sv, {"an icon (ICNS)", true}},
      {0, "qoif\0"sv, {"a QOI", true}},
      {0, "DDS \x7c\0\0\0"sv, {"a DDS texture", true}},
      {0, "\x76\x2f\x31\x01", {"an OpenEXR", true}},
      {0, "#?RADIANCE", {"a Radiance HDR", true}},
      {0, "#?RGBE", {"a Radiance HDR", true}},
      {0, "SIMPLE  =", {"a FITS", true}},
      {0, "FUJIFILMCCD-RAW", {"a raw photograph (RAF)", true}},
      {0, "IIRO\x08\0\0\0"sv, {"a raw photograph (ORF)", true}},
      {0, "IIU\0"sv, {"a raw photograph (RW2)", true}},
      {0, "gimp xcf", {"a GIMP document (XCF)", true}},
      {0, "\x01\xda", {"an SGI image", false}},
      {0, "\x0a\x05\x01", {"a PCX", false}},
      {0, "\x59\xa6\x6a\x95", {"a Sun raster", true}},
      {128, "DICM", {"a DICOM file", true}},
      {0, "%PDF", {"a PDF", false}},
      {0, "%!PS", {"a PostScript file", false}},
      {0, "<svg", {"an SVG", true}},
      {0, "<?xml", {"an XML file (an SVG?)", false}},
      {0, "<!DOCTYPE html", {"an HTML page", false}},
      {0, "<!doctype html", {"an HTML page", false}},
      {0, "<html", {"an HTML page", false}},
      {0, "version https://git-lfs", {"a pointer of Git LFS, not the file itself (git lfs pull)", false}},
      {0, "\x89HDF\r\n", {"an HDF5 file", false}},
      {0, "\x93NUMPY", {"a NumPy file (npy)", false}},
      {0, "PK\3\4", {"a zip archive", false}},
      {0, "\x1f\x8b", {"a gzip file", false}},
      {257, "ustar", {"a tar archive", false}},
  });
  const auto found =
      std::ranges::find_if(kKinds, [&](const Kind& kind) { return starts_with(bytes, kind.magic, kind.at); });
  return found == kKinds.end() ? OtherFormat() : found->format;
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

int orientation(Bytes bytes, ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg: {
      int found = 1;
      for_each_segment(bytes, [&](std::uint8_t marker, Bytes payload) {
        if (marker != 0xE1 || !starts_with(payload, std::string_view("Exif\0\0", 6))) return false;
        found = tiff_orientation(without_exif_mark(payload));
        return true;
      });
      return found;
    }
    case ImageFormat::kPng:
      return tiff_orientation(without_exif_mark(find_chunk(bytes, kPngChunks, "eXIf")));
    case ImageFormat::kWebp:
      return tiff_orientation(without_exif_mark(find_chunk(bytes, kRiffChunks, "EXIF")));
    case ImageFormat::kTiff:
      return tiff_orientation(bytes);
    default:
      return 1;
  }
}

}  // namespace unlabel::augment
