#include <unlabel/augment/codec/channels.h>
#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/decoders.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/codec/levels.h>
#include <unlabel/augment/system_error.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include <bit>
#include <cerrno>
#include <new>

namespace unlabel::augment {

namespace {

using Bytes = std::span<const std::uint8_t>;

/// The format and the size in the header. Throws Error when there is none that we know.
std::pair<ImageFormat, cv::Size> identify(Bytes bytes) {
  if (bytes.empty()) throw Error("not an image: the file is empty");
  const ImageFormat format = image_format(bytes);
  if (format == ImageFormat::kUnknown) {
    const std::string_view other = other_format(bytes).name;
    if (other.empty()) throw RefusedImage("not an image that can be read: neither JPEG, PNG, WebP, BMP, TIFF nor PNM");
    throw RefusedImage("not an image that can be read: it is ", other,
                       "; convert it to JPEG, PNG, WebP, BMP, TIFF or PNM");
  }
  const cv::Size size = header_size(bytes, format);
  if (size.width < 1 || size.height < 1) throw Error("broken image: its header gives no size");
  return {format, size};
}

/// The orientation that decode() turns an image upright by.
int applied_orientation(Bytes bytes, ImageFormat format, const DecodeOptions& options) {
  return format == ImageFormat::kTiff || options.exif_orientation ? orientation(bytes, format) : 1;
}

/// Turns an image upright by its orientation, 1 to 8, as EXIF and TIFF number them.
cv::Mat upright(const cv::Mat& image, int orientation) {
  cv::Mat turned = image;
  if (orientation >= 5) cv::transpose(image, turned);
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool upside_down = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  if (mirrored || upside_down) cv::flip(turned, turned, !upside_down ? 1 : mirrored ? -1 : 0);
  return turned;
}

cv::Mat decode_webp(Bytes bytes) {
  constexpr std::size_t kWebpHeader = 32;  // OpenCV prints to stderr where there is less
  if (bytes.size() < kWebpHeader) throw Error("cannot decode WebP: the file is truncated");
  cv::Mat image;
  errno = 0;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<std::uint8_t*>(bytes.data()));
    image = cv::imdecode(buffer, cv::IMREAD_UNCHANGED);  // IMREAD_COLOR would take alpha away by cv::cvtColor
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw;
    image.release();
  }
  // OpenCV does not report libwebp's reason; a failed allocation sets errno.
  if (image.empty() && errno == ENOMEM) throw std::bad_alloc();
  if (image.empty() || (image.type() != CV_8UC3 && image.type() != CV_8UC4))
    throw Error("broken image: it cannot be decoded");
  return reversed_channels(image);
}

}  // namespace

OptionTable table(DecodeOptions& o) {
  OptionTable t{
      {"exif_orientation", o.exif_orientation, "rotate JPEG, PNG and WebP images as their EXIF orientation says"},
      {"max_pixels", o.max_pixels, "refuse images with more pixels than this; the header is checked before decoding"},
      {"strict", o.strict, "also refuse a JPEG that decodes with warnings"},
      {"range", o.range,
       "for more than 8 bits per channel: the values that become black and white, as 0,4095 for 12 bits stored in 16"}};
  // low < high is checked here, not at the first image.
  auto& field = t.fields().back();
  field.type = "two numbers, low < high";
  field.accepts = [two_numbers = std::move(field.accepts)](const nlohmann::json& value) {
    return two_numbers(value) && (value.is_null() || value[0].get<double>() < value[1].get<double>());
  };
  return t;
}

DecodeReport& DecodeReport::operator+=(const DecodeReport& other) {
  warnings += other.warnings;
  deep_images += other.deep_images;
  lowest = std::min(lowest, other.lowest);
  highest = std::max(highest, other.highest);
  return *this;
}

std::string range_warning(const DecodeReport& report) {
  constexpr int kLevels = 65536;
  if (report.deep_images == 0) return {};
  const int used = report.highest - report.lowest + 1;
  if (used > kLevels / 4) return {};
  // Rounded to powers of two, so that images of one kind give one text.
  const auto part = kLevels / static_cast<int>(std::bit_ceil(static_cast<unsigned>(used)));
  const auto most = std::bit_ceil(static_cast<unsigned>(report.highest) + 1) - 1;
  return concat("16-bit images use 1/", part, " of their levels or less (the highest sample is at most ", most,
                "), of which 8 bits keep ", std::max(1, 256 / part),
                "; give the samples that are black and white, for 12 bits in 16 --decode.range 0,4095 (in Python "
                "range=(0, 4095))");
}

void check_pixels(cv::Size size, std::int64_t max_pixels) {
  if (std::int64_t{size.width} * size.height > max_pixels)
    throw RefusedImage("image too large: ", size.width, " x ", size.height, " pixels, more than max_pixels, ",
                       max_pixels);
}

namespace {

/// Format and size of an image that may be decoded. Throws RefusedImage for others.
std::pair<ImageFormat, cv::Size> admit(Bytes bytes, const DecodeOptions& options) {
  const auto [format, size] = identify(bytes);
  if (static_cast<std::int64_t>(bytes.size()) > kMaxFileSize)
    throw RefusedImage("image too large: a file of ", bytes.size(), " bytes");
  check_pixels(size, options.max_pixels);
  if (std::max(size.width, size.height) > kMaxSide)
    throw RefusedImage("image too large: ", size.width, " x ", size.height, " pixels, a side longer than ", kMaxSide);
  if (format == ImageFormat::kWebp && is_animated_webp(bytes))
    throw RefusedImage("animated WebP images are not supported; save the frame that is meant");
  return {format, size};
}

[[noreturn]] void refuse_memory(cv::Size size) {
  throw LimitError("there is too little memory for an image of ", size.width, " x ", size.height,
                   " pixels; lower decode.max_pixels, or use fewer threads");
}

/// What `function` returns. Exceptions of the libraries become Error, or LimitError when memory is exhausted.
template <class Function>
auto as_errors(cv::Size size, const Function& function) {
  try {
    return function();
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) refuse_memory(size);
    throw Error("cannot decode the image: ", error.err);
  } catch (const std::bad_alloc&) {
    refuse_memory(size);
  }
}

cv::Mat decode_as_stored(Bytes bytes, ImageFormat format, cv::Size size, const DecodeOptions& options,
                         DecodeReport* report) {
  switch (format) {
    case ImageFormat::kJpeg:
      return decode_jpeg(bytes, options, report);
    case ImageFormat::kPng:
      return decode_png(bytes, options, report);
    case ImageFormat::kBmp:
      return decode_bmp(bytes, size);
    case ImageFormat::kPnm:
      return decode_pnm(bytes, size, options, report);
    case ImageFormat::kTiff:
      return decode_tiff(bytes, size, options, report);
    default:
      return decode_webp(bytes);
  }
}

}  // namespace

cv::Mat decode(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report) {
  const auto [format, size] = admit(bytes, options);
  return as_errors(size, [&, format = format, size = size] {
    return upright(decode_as_stored(bytes, format, size, options, report), applied_orientation(bytes, format, options));
  });
}

cv::Mat decode(const ImageSource& source, const DecodeOptions& options, DecodeReport* report) {
  if (source.pixels.empty()) return decode(std::span(source.bytes), options, report);
  if (source.pixels.type() == CV_8UC3) return source.pixels;
  return to_rgb8(source.pixels, options.range, report);
}

DecodeReport decode_planes(const ImageSource& source, const DecodeOptions& options, PlanarImage& out) {
  DecodeReport report;
  const cv::Mat& pixels = source.pixels;
  if (pixels.empty()) {
    const Bytes bytes(source.bytes);
    if (image_format(bytes) == ImageFormat::kJpeg && applied_orientation(bytes, ImageFormat::kJpeg, options) == 1) {
      const cv::Size size = admit(bytes, options).second;
      if (as_errors(size, [&] { return decode_jpeg_planes(bytes, options, out, report); })) return report;
    }
  }
  out.assign(!pixels.empty() && pixels.type() == CV_8UC1 ? pixels : decode(source, options, &report));
  return report;
}

cv::Size image_size(std::span<const std::uint8_t> bytes, const DecodeOptions& options) {
  const auto [format, size] = identify(bytes);
  return applied_orientation(bytes, format, options) >= 5 ? cv::Size(size.height, size.width) : size;
}

}  // namespace unlabel::augment
