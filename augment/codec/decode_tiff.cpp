#include <unlabel/augment/codec/decoders.h>
#include <unlabel/augment/codec/levels.h>

#include <tiffio.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>
#include <memory>
#include <new>

namespace unlabel::augment {

namespace {

/// The file in memory as libtiff reads it, and libtiff's first complaint.
struct TiffInput {
  std::span<const std::uint8_t> bytes;
  std::uint64_t at = 0;
  char message[256] = "";
  bool out_of_memory = false;
};

TiffInput& input(thandle_t handle) { return *static_cast<TiffInput*>(handle); }

int keep_message(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto* to = static_cast<TiffInput*>(user);
  // libtiff has many messages for "no space", also for its own limit; a failed allocation sets errno.
  if (errno == ENOMEM) to->out_of_memory = true;
  if (to->message[0] == '\0') std::vsnprintf(to->message, sizeof(to->message), format, arguments);
  return 1;  // handled: libtiff's global handler would print
}

int drop_message(TIFF*, void*, const char*, const char*, va_list) { return 1; }

std::unique_ptr<TIFF, decltype(&TIFFClose)> open(TiffInput& in) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 TIFFOpenOptionsFree);
  if (!options) throw std::bad_alloc();
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_message, &in);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), drop_message, &in);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), tmsize_t{1} << 29);
  const auto read = [](thandle_t handle, void* to, tmsize_t count) -> tmsize_t {
    auto& file = input(handle);
    if (file.at >= file.bytes.size() || count <= 0) return 0;
    const std::uint64_t n = std::min<std::uint64_t>(static_cast<std::uint64_t>(count), file.bytes.size() - file.at);
    std::memcpy(to, file.bytes.data() + file.at, n);
    file.at += n;
    return static_cast<tmsize_t>(n);
  };
  const auto write = [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; };
  const auto seek = [](thandle_t handle, toff_t offset, int whence) -> toff_t {
    auto& file = input(handle);
    file.at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? file.at + offset : file.bytes.size() + offset;
    return file.at;
  };
  const auto close = [](thandle_t) -> int { return 0; };
  const auto size = [](thandle_t handle) -> toff_t { return input(handle).bytes.size(); };
  // "m": no mapping, "r": read. Without map functions libtiff always reads through the callbacks, which know where the
  // data ends.
  return {TIFFClientOpenExt("memory", "rm", &in, read, write, seek, close, size, nullptr, nullptr, options.get()),
          TIFFClose};
}

/// How the samples of an image are stored.
struct Layout {
  std::uint16_t bits, samples, format, photometric, planes;
  bool tiled;

  int colors() const { return photometric == PHOTOMETRIC_RGB ? 3 : 1; }
  bool floating() const { return format == SAMPLEFORMAT_IEEEFP; }
  /// Whether libtiff's RGBA reader takes the samples for what they are.
  bool plain() const { return bits <= 8 && format == SAMPLEFORMAT_UINT; }
};

Layout layout_of(TIFF* tiff) {
  Layout layout{};
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &layout.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &layout.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &layout.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &layout.planes);
  if (layout.format == SAMPLEFORMAT_VOID) layout.format = SAMPLEFORMAT_UINT;
  // Without the tag, as libtiff's RGBA reader guesses it.
  if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &layout.photometric))
    layout.photometric = layout.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  layout.tiled = TIFFIsTiled(tiff) != 0;
  return layout;
}

/// Refuses samples that 8-bit RGB cannot hold, which would lose bands or give wrong colors.
void check_layout(const Layout& layout, bool ranged) {
  const auto refuse = [](const auto&... reason) { throw RefusedImage("cannot decode TIFF: ", reason...); };
  if (layout.samples > 4)
    refuse(layout.samples, " samples a pixel; images have 1 to 4 (gray, RGB, CMYK; one may be alpha)");
  int colors = 0;
  switch (layout.photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_PALETTE:
      colors = 1;
      break;
    case PHOTOMETRIC_RGB:
      colors = 3;
      break;
    case PHOTOMETRIC_YCBCR:  // of one sample it is the brightness, as Pillow has it
      colors = layout.samples == 1 ? 1 : 3;
      break;
    case PHOTOMETRIC_SEPARATED:
      colors = 4;
      break;
    case PHOTOMETRIC_CIELAB:
    case PHOTOMETRIC_ICCLAB:
    case PHOTOMETRIC_ITULAB:
      refuse("CIELAB colors are not supported; convert it to RGB");
      break;
    case PHOTOMETRIC_CFA:
      refuse("a raw photograph (a color filter array); develop it first");
      break;
    case PHOTOMETRIC_LOGL:
    case PHOTOMETRIC_LOGLUV:
      refuse("LogLuv colors, of a high dynamic range, are not supported; convert it to RGB");
      break;
    default:
      refuse("photometric interpretation ", layout.photometric, " is not supported");
  }
  if (layout.samples != colors && layout.samples != colors + 1)
    refuse(layout.samples, " samples a pixel where the photometric tag names ", colors, " (and one more may be alpha)");
  if (layout.plain()) {
    if (layout.bits != 1 && layout.bits != 2 && layout.bits != 4 && layout.bits != 8)
      refuse(layout.bits, " bits a sample are not supported");
    return;
  }
  const char* const kind = layout.floating()                    ? "floating-point"
                           : layout.format == SAMPLEFORMAT_INT  ? "signed"
                           : layout.format == SAMPLEFORMAT_UINT ? "unsigned"
                                                                : "complex";
  const bool known = layout.floating() ? layout.bits == 32 || layout.bits == 64
                     : layout.format == SAMPLEFORMAT_INT || layout.format == SAMPLEFORMAT_UINT
                         ? layout.bits == 8 || layout.bits == 16 || layout.bits == 32
                         : false;
  const bool grey_or_rgb = layout.photometric <= PHOTOMETRIC_RGB;
  if (!known || !grey_or_rgb)
    refuse(kind, " samples of ", layout.bits, " bits",
           known ? " are supported of gray and RGB only" : " are not supported");
  if (!ranged && (layout.format != SAMPLEFORMAT_UINT || layout.bits != 16))
    refuse(kind, " samples of ", layout.bits, " bits have no levels of their own: give their range (low, high)");
}

/// How many bytes of samples one byte of a strip or a tile gives at most; 0: unlimited (a WebP of one color).
std::uint64_t most_expansion(std::uint16_t compression) {
  static constexpr std::pair<int, std::uint64_t> kMost[] = {
      {COMPRESSION_NONE, 1},
      {COMPRESSION_PACKBITS, 64},  // two bytes repeat one 128 times
      {COMPRESSION_DEFLATE, 1032},
      {COMPRESSION_ADOBE_DEFLATE, 1032},
      {COMPRESSION_LZW, 1 << 13},   // a code of 12 bits names as many bytes as there are codes, below 2^13
      {COMPRESSION_ZSTD, 1 << 15},  // a block of four bytes repeats one 2^17 times
      {COMPRESSION_LZMA, 1 << 15},  // a match of 273 bytes costs a tenth of a bit or more
      // CCITT: a bit for a blank row, of kMaxSide bits at most
      {COMPRESSION_CCITTRLE, kMaxSide},
      {COMPRESSION_CCITTRLEW, kMaxSide},
      {COMPRESSION_CCITTFAX3, kMaxSide},
      {COMPRESSION_CCITTFAX4, kMaxSide}};
  const auto* const found = std::ranges::find(kMost, compression, &std::pair<int, std::uint64_t>::first);
  return found == std::end(kMost) ? 0 : found->second;
}

/// Refuses an image whose strips or tiles are not in the file, or are too short for its pixels, before memory for these is taken.
void check_strips(TIFF* tiff, const Layout& layout, cv::Size size, std::uint64_t file_size) {
  std::uint16_t compression = COMPRESSION_NONE;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  if (compression == COMPRESSION_OJPEG) return;  // its data may be named by other tags
  const std::uint32_t count = layout.tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  std::uint64_t stored = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t offset = TIFFGetStrileOffset(tiff, i);
    if (offset < file_size) stored += std::min(TIFFGetStrileByteCount(tiff, i), file_size - offset);
  }
  // One sample of a pixel at least: the colors of YCbCr may be fewer.
  const auto samples =
      static_cast<std::uint64_t>(size.width) * static_cast<std::uint64_t>(size.height) * layout.bits / 8;
  const std::uint64_t expansion = most_expansion(compression);
  if (stored == 0 || (expansion > 0 && samples / expansion > stored))
    throw Error("cannot decode TIFF: the file is truncated");
}

/// Calls with(Sample()) for the type of the samples that check_layout let through.
// NOLINTBEGIN(bugprone-branch-clone): the calls look alike, and are of different types
template <class With>
void with_sample_type(const Layout& layout, const With& with) {
  if (layout.floating()) return layout.bits == 32 ? with(float()) : with(double());
  const bool has_sign = layout.format == SAMPLEFORMAT_INT;
  switch (layout.bits) {
    case 8:
      return with(std::int8_t());
    case 16:
      return has_sign ? with(std::int16_t()) : with(std::uint16_t());
    default:
      return has_sign ? with(std::int32_t()) : with(std::uint32_t());
  }
}
// NOLINTEND(bugprone-branch-clone)

/// Reads gray or RGB of more than 8 bits as levels. Piece by piece (a row, or a tile), so that a small file that claims to be large costs
/// no more than its 8 bits. False where libtiff fails.
template <class Sample, class Level>
bool read_levels(TIFF* tiff, const Layout& layout, const Level& level, cv::Mat& rgb) {
  const bool apart = layout.planes == PLANARCONFIG_SEPARATE;
  const int step = apart ? 1 : layout.samples, passes = apart ? layout.colors() : 1;
  const bool inverted = layout.photometric == PHOTOMETRIC_MINISWHITE;
  // The samples of pixels [x, x + count) of row y, of all colors or of one.
  const auto put = [&](const Sample* in, int x, int y, int count, int color) {
    auto* out = rgb.ptr<cv::Vec3b>(y) + x;
    for (int i = 0; i < count; ++i, in += step)
      for (int c = 0; c < 3; ++c) {
        if (apart && layout.colors() == 3 && c != color) continue;
        const std::uint8_t value = level(in[layout.colors() == 3 && !apart ? c : 0]);
        out[i][c] = inverted ? static_cast<std::uint8_t>(255 - value) : value;
      }
  };
  // A strip or tile that is too short would be read beyond its end.
  const auto fits = [&](std::uint64_t have, std::uint64_t pixels) { return have >= pixels * step * sizeof(Sample); };
  constexpr std::uint64_t kMaxPiece = 1 << 28;
  if (!layout.tiled) {
    const std::uint64_t row_bytes = TIFFScanlineSize64(tiff);
    if (row_bytes > kMaxPiece || !fits(row_bytes, rgb.cols)) return false;
    std::vector<Sample> row(row_bytes / sizeof(Sample) + 1);
    for (int pass = 0; pass < passes; ++pass)
      for (int y = 0; y < rgb.rows; ++y) {
        if (TIFFReadScanline(tiff, row.data(), static_cast<std::uint32_t>(y), static_cast<std::uint16_t>(pass)) != 1)
          return false;
        put(row.data(), 0, y, rgb.cols, pass);
      }
    return true;
  }
  std::uint32_t width = 0, height = 0;
  const std::uint64_t tile_bytes = TIFFTileSize64(tiff);
  if (!TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &width) || !TIFFGetField(tiff, TIFFTAG_TILELENGTH, &height)) return false;
  if (width == 0 || height == 0 || tile_bytes > kMaxPiece || !fits(tile_bytes, std::uint64_t{width} * height))
    return false;
  std::vector<Sample> tile(tile_bytes / sizeof(Sample) + 1);
  for (int pass = 0; pass < passes; ++pass)
    for (std::uint32_t y = 0; y < static_cast<std::uint32_t>(rgb.rows); y += height)
      for (std::uint32_t x = 0; x < static_cast<std::uint32_t>(rgb.cols); x += width) {
        if (TIFFReadTile(tiff, tile.data(), x, y, 0, static_cast<std::uint16_t>(pass)) < 0) return false;
        const auto rows = std::min(height, static_cast<std::uint32_t>(rgb.rows) - y);
        const auto columns = std::min(width, static_cast<std::uint32_t>(rgb.cols) - x);
        for (std::uint32_t i = 0; i < rows; ++i)
          put(tile.data() + std::size_t{i} * width * step, static_cast<int>(x), static_cast<int>(y + i),
              static_cast<int>(columns), pass);
      }
  return true;
}

/// Reads 8-bit samples through libtiff's RGBA reader. False where libtiff fails.
bool read_rgba(TIFF* tiff, cv::Mat& rgb) {
  TIFFRGBAImage image;
  char reason[1024] = "";
  if (!TIFFRGBAImageBegin(&image, tiff, 1, reason)) {
    if (errno == ENOMEM) throw std::bad_alloc();
    throw Error("cannot decode TIFF: ", reason);
  }
  const std::unique_ptr<TIFFRGBAImage, decltype(&TIFFRGBAImageEnd)> end(&image, TIFFRGBAImageEnd);
  if (static_cast<int>(image.width) != rgb.cols || static_cast<int>(image.height) != rgb.rows) return false;
  image.req_orientation = image.orientation;  // the rows as they are stored
  std::vector<std::uint32_t> pixels(rgb.total());
  if (!TIFFRGBAImageGet(&image, pixels.data(), image.width, image.height)) return false;
  for (int y = 0; y < rgb.rows; ++y) {
    const std::uint32_t* row = pixels.data() + static_cast<std::size_t>(y) * rgb.cols;
    auto* out = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < rgb.cols; ++x)
      out[x] = {static_cast<std::uint8_t>(TIFFGetR(row[x])), static_cast<std::uint8_t>(TIFFGetG(row[x])),
                static_cast<std::uint8_t>(TIFFGetB(row[x]))};
  }
  return true;
}

}  // namespace

cv::Mat decode_tiff(std::span<const std::uint8_t> bytes, cv::Size size, const DecodeOptions& options,
                    DecodeReport* report) {
  TiffInput in{bytes};
  errno = 0;
  const auto fail = [&] {
    if (in.out_of_memory) throw std::bad_alloc();
    throw Error("cannot decode TIFF: ", in.message[0] ? in.message : "it is broken or of an unknown kind");
  };
  const auto tiff = open(in);
  if (!tiff) fail();
  in.message[0] = '\0';  // about tags with invalid values, which libtiff skips
  std::uint32_t width = 0, height = 0;
  if (!TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) ||
      !TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) || static_cast<int>(width) != size.width ||
      static_cast<int>(height) != size.height)
    fail();
  const Layout layout = layout_of(tiff.get());
  LevelMap levels(options.range);
  check_layout(layout, levels.ranged());
  check_strips(tiff.get(), layout, size, bytes.size());
  cv::Mat rgb(size, CV_8UC3);
  bool whole = false;
  if (layout.plain()) {
    whole = read_rgba(tiff.get(), rgb);
  } else {
    with_sample_type(layout, [&](auto sample) {
      whole = read_levels<decltype(sample)>(
          tiff.get(), layout, [&](auto value) { return levels(value); }, rgb);
    });
  }
  if (!whole || in.message[0]) fail();
  levels.add_to(report);
  return rgb;
}

}  // namespace unlabel::augment
