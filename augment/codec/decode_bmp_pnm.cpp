#include <unlabel/augment/codec/decoders.h>
#include <unlabel/augment/codec/levels.h>

#include <bit>
#include <cctype>

namespace unlabel::augment {

namespace {

using Byte = std::uint8_t;
using Bytes = std::span<const Byte>;

[[noreturn]] void fail(const char* format, const char* reason) { throw Error("cannot decode ", format, ": ", reason); }

/// A little-endian number of `count` bytes; what lies beyond the end is a truncation.
std::uint32_t little(Bytes bytes, std::size_t at, int count) {
  if (at > bytes.size() || bytes.size() - at < static_cast<std::size_t>(count)) fail("BMP", "the file is truncated");
  std::uint32_t value = 0;
  for (int i = count; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

/// The bits of `mask` scaled to 0 to 255.
Byte masked(std::uint32_t pixel, std::uint32_t mask) {
  if (mask == 0) return 0;
  const int shift = std::countr_zero(mask);
  const std::uint64_t most = mask >> shift;
  return static_cast<Byte>(((pixel & mask) >> shift) * 255ull / most);
}

/// Reads the numbers of a Netpbm file, which are separated by comments and white space.
class PnmText {
 public:
  PnmText(Bytes bytes, std::size_t at) : bytes_(bytes), at_(at) {}

  std::uint32_t number() {
    skip();
    std::uint32_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < bytes_.size() && std::isdigit(bytes_[at_]); ++at_) {
      value = value * 10 + (bytes_[at_] - '0');
      if (value > 0x7FFFFFF) fail("PNM", "a number is out of range");
    }
    if (at_ == begin) fail("PNM", at_ == bytes_.size() ? "the file is truncated" : "a number is malformed");
    return value;
  }

  std::uint32_t bit() {
    skip();
    if (at_ == bytes_.size()) fail("PNM", "the file is truncated");
    const Byte character = bytes_[at_++];
    if (character != '0' && character != '1') fail("PNM", "a bit is neither 0 nor 1");
    return character - '0';
  }

  /// What follows the single white space after the header.
  Bytes binary() const { return at_ < bytes_.size() ? bytes_.subspan(at_ + 1) : Bytes(); }
  std::size_t rest() const { return bytes_.size() - at_; }

 private:
  void skip() {
    while (at_ < bytes_.size() && (std::isspace(bytes_[at_]) || bytes_[at_] == '#')) {
      if (bytes_[at_++] == '#')
        while (at_ < bytes_.size() && bytes_[at_] != '\n') ++at_;
    }
  }

  Bytes bytes_;
  std::size_t at_;
};

/// The palette's indices of a run-length coded bitmap, in the order of the file. As Pillow reads them: a run ends with its row, what is
/// skipped has index 0, and an end before the last pixel, of the data or by its code, is a truncation. Unlike Pillow, an odd number of
/// 4-bit indices that are written as they are has all of them (Pillow drops the last), and takes whole 16 bits counted from its own begin
/// (Pillow counts them from that of the file).
std::vector<Byte> run_length_indices(Bytes data, cv::Size size, int bits) {
  const std::size_t width = static_cast<std::size_t>(size.width), total = width * static_cast<std::size_t>(size.height);
  // Four bytes give no more than a step of 255 rows and 255 pixels.
  if (total > (data.size() / 4 + 1) * 255 * (width + 1)) fail("BMP", "the file is truncated");
  std::vector<Byte> indices(total);
  std::size_t at = 0, column = 0, next = 0;
  const auto take = [&] {
    if (next == data.size()) fail("BMP", "the file is truncated");
    return data[next++];
  };
  const auto nibble = [](Byte byte, std::size_t i) { return static_cast<Byte>(i % 2 == 0 ? byte >> 4 : byte & 15); };
  while (at < total) {
    const std::size_t count = take();
    const Byte value = take();
    if (count > 0) {  // a run of one index, or of two in turn
      const std::size_t fits = std::min({count, width - std::min(column, width), total - at});
      for (std::size_t i = 0; i < fits; ++i) indices[at++] = bits == 8 ? value : nibble(value, i);
      column += fits;
    } else if (value == 0) {  // the end of the row
      at = (at + width - 1) / width * width;
      column = 0;
    } else if (value == 1) {  // the end of the bitmap
      fail("BMP", "the file is truncated");
    } else if (value == 2) {  // a step to the right and to later rows
      const std::size_t right = take();
      at = std::min(total, at + right + take() * width);
      column = at % width;
    } else {  // that many indices as they are, up to a whole number of 16 bits
      const std::size_t written = std::min<std::size_t>(value, total - at);
      const std::size_t begin = next, used = (value * static_cast<std::size_t>(bits) + 7) / 8;
      if ((written * static_cast<std::size_t>(bits) + 7) / 8 > data.size() - begin)
        fail("BMP", "the file is truncated");
      for (std::size_t i = 0; i < written; ++i)
        indices[at++] = bits == 8 ? data[begin + i] : nibble(data[begin + i / 2], i);
      column += value;
      next = std::min(data.size(), begin + used + used % 2);
    }
  }
  return indices;
}

}  // namespace

cv::Mat decode_bmp(Bytes bytes, cv::Size size) {
  const std::uint32_t header = little(bytes, 14, 4);
  const bool core = header == 12;
  if (!core && (header < 40 || header > 256)) fail("BMP", "an unknown header");
  const bool top_down = !core && (little(bytes, 22, 4) & 0x80000000u) != 0;
  int bits = static_cast<int>(little(bytes, core ? 24 : 28, 2));
  const std::uint32_t compression = core ? 0 : little(bytes, 30, 4);
  if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
    fail("BMP", "an unknown number of bits a pixel");
  const bool bit_fields = (compression == 3 || compression == 6) && bits >= 16 && bits != 24;
  const bool run_length = (compression == 1 && bits == 8) || (compression == 2 && bits == 4);
  if (compression != 0 && !bit_fields && !run_length)
    throw RefusedImage("cannot decode BMP: compression ", compression, " of ", bits, " bits a pixel is not supported");

  const std::uint32_t used = core ? 0 : little(bytes, 46, 4);
  const std::size_t color_bytes = core ? 3 : 4;
  std::size_t pixels_at = little(bytes, 10, 4);
  // Some writers give the offset of the palette as that of the pixels after it.
  if (bits <= 8 && pixels_at == 14 + header) pixels_at += color_bytes * (used == 0 ? 1u << bits : used);
  std::size_t row_bytes = (static_cast<std::size_t>(size.width) * bits + 31) / 32 * 4;
  if (pixels_at > bytes.size() ||
      (!run_length && (bytes.size() - pixels_at) / row_bytes < static_cast<std::size_t>(size.height)))
    fail("BMP", "the file is truncated");

  std::array<std::uint32_t, 3> masks = bits == 16 ? std::array<std::uint32_t, 3>{0x7C00, 0x03E0, 0x001F}
                                                  : std::array<std::uint32_t, 3>{0xFF0000, 0x00FF00, 0x0000FF};
  if (bit_fields)  // after the first 40 bytes of the header, whether they belong to it or follow it
    for (int c = 0; c < 3; ++c) masks[c] = little(bytes, 54 + 4 * c, 4);
  std::array<cv::Vec3b, 256> palette{};
  if (bits <= 8) {
    const std::uint32_t most = 1u << bits;
    for (std::uint32_t i = 0; i < (used == 0 ? most : std::min(used, most)); ++i) {
      const std::uint32_t bgr = little(bytes, 14 + header + color_bytes * i, 3);
      palette[i] = {static_cast<Byte>(bgr >> 16), static_cast<Byte>(bgr >> 8), static_cast<Byte>(bgr)};
    }
  }

  const Byte* pixels = bytes.data() + pixels_at;
  std::vector<Byte> indices;  // of run-length coded pixels: a byte each
  if (run_length) {
    indices = run_length_indices(bytes.subspan(pixels_at), size, bits);
    pixels = indices.data();
    row_bytes = static_cast<std::size_t>(size.width);
    bits = 8;
  }
  cv::Mat rgb(size, CV_8UC3);
  for (int y = 0; y < size.height; ++y) {
    const Byte* row = pixels + row_bytes * (top_down ? y : size.height - 1 - y);
    auto* out = rgb.ptr<cv::Vec3b>(y);
    for (int x = 0; x < size.width; ++x) {
      if (bits <= 8) {
        const int first_bit = x * bits % 8;
        out[x] = palette[row[static_cast<std::size_t>(x) * bits / 8] >> (8 - bits - first_bit) & ((1 << bits) - 1)];
        continue;
      }
      const Byte* p = row + static_cast<std::size_t>(x) * (bits / 8);
      std::uint32_t pixel = p[0] | static_cast<std::uint32_t>(p[1]) << 8;
      if (bits >= 24) pixel |= static_cast<std::uint32_t>(p[2]) << 16;
      if (bits == 32) pixel |= static_cast<std::uint32_t>(p[3]) << 24;
      out[x] = {masked(pixel, masks[0]), masked(pixel, masks[1]), masked(pixel, masks[2])};
    }
  }
  return rgb;
}

cv::Mat decode_pnm(Bytes bytes, cv::Size size, const DecodeOptions& options, DecodeReport* report) {
  const char kind = static_cast<char>(bytes[1]);
  const bool text = kind <= '3', bitmap = kind == '1' || kind == '4';
  const int channels = kind == '3' || kind == '6' ? 3 : 1;
  PnmText header(bytes, 2);
  header.number(), header.number();
  const std::uint32_t most = bitmap ? 1 : header.number();
  if (most < 1 || most > 65535) fail("PNM", "the maximum is not in [1, 65535]");

  const std::size_t row_values = static_cast<std::size_t>(size.width) * channels;
  const std::size_t value_bytes = most > 255 ? 2 : 1;
  const std::size_t row_bytes = kind == '4' ? (row_values + 7) / 8 : row_values * (text ? 1 : value_bytes);
  const Bytes data = header.binary();
  if ((text ? header.rest() : data.size()) / row_bytes < static_cast<std::size_t>(size.height))
    fail("PNM", "the file is truncated");

  LevelMap levels(options.range);
  const bool deep = most > 255 && (levels.ranged() || (most == 65535 && channels == 1));
  cv::Mat rgb(size, CV_8UC3);
  for (int y = 0; y < size.height; ++y) {
    const Byte* row = text ? nullptr : data.data() + row_bytes * y;
    Byte* out = rgb.ptr(y);
    for (std::size_t i = 0; i < row_values; ++i) {
      std::uint32_t value;
      if (bitmap) {
        value = 1 - (text ? header.bit() : row[i / 8] >> (7 - i % 8) & 1u);  // 1 is black
      } else if (text) {
        value = header.number();
      } else {
        value = value_bytes == 2 ? static_cast<std::uint32_t>(row[2 * i]) << 8 | row[2 * i + 1] : row[i];
      }
      value = std::min(value, most);
      // Halves to the even level, as Pillow has them.
      const auto pixel = deep          ? levels(static_cast<std::uint16_t>(value))
                         : most == 255 ? static_cast<Byte>(value)
                                       : static_cast<Byte>(std::nearbyint(static_cast<double>(value) / most * 255));
      if (channels == 3) {
        out[i] = pixel;
      } else {
        out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = pixel;
      }
    }
  }
  if (deep) levels.add_to(report);
  return rgb;
}

}  // namespace unlabel::augment
