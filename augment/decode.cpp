#include <unlabel/augment/decode.h>
#include <unlabel/augment/decode_jpeg.h>
#include <unlabel/augment/decode_plain.h>
#include <unlabel/augment/decode_png.h>
#include <unlabel/augment/decode_tiff.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/image_header.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include <algorithm>

namespace unlabel::augment {

namespace {

using Bytes = std::span<const std::uint8_t>;

/// The format and the size in the header. Throws Error when there is none that we know.
std::pair<ImageFormat, cv::Size> identify(Bytes bytes) {
  if (bytes.empty()) throw Error("not an image: the file is empty");
  const ImageFormat format = image_format(bytes);
  if (format == ImageFormat::kUnknown)
    throw RefusedImage("not an image that can be read: neither JPEG, PNG, WebP, BMP, TIFF nor PNM");
  const cv::Size size = header_size(bytes, format);
  if (size.width < 1 || size.height < 1) throw Error("broken image: its header gives no size");
  return {format, size};
}

/// Turns an image upright by its EXIF orientation, 1 to 8.
cv::Mat upright(const cv::Mat& image, int orientation) {
  cv::Mat turned = image;
  if (orientation >= 5) cv::transpose(image, turned);
  const bool mirrored = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
  const bool upside_down = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
  if (mirrored && upside_down) {
    cv::flip(turned, turned, -1);
  } else if (mirrored) {
    cv::flip(turned, turned, 1);
  } else if (upside_down) {
    cv::flip(turned, turned, 0);
  }
  return turned;
}

cv::Mat decode_with_opencv(Bytes bytes) {
  cv::Mat image;
  try {
    const cv::Mat buffer(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<std::uint8_t*>(bytes.data()));
    image = cv::imdecode(buffer, cv::IMREAD_COLOR | cv::IMREAD_IGNORE_ORIENTATION);
  } catch (const cv::Exception&) {
    image.release();
  }
  if (image.empty() || image.type() != CV_8UC3) throw Error("broken image: it cannot be decoded");
  cv::cvtColor(image, image, cv::COLOR_BGR2RGB);
  return image;
}

}  // namespace

OptionTable table(DecodeOptions& o) {
  OptionTable t;
  t.add("exif_orientation", o.exif_orientation, "turn a JPEG upright by its EXIF orientation");
  t.add("max_pixels", o.max_pixels, "refuse images with more pixels than this, by their header");
  t.add("strict", o.strict, "also refuse a JPEG that decodes with warnings only");
  return t;
}

namespace {

/// Format and size of what may be decoded. Throws RefusedImage for what is not.
std::pair<ImageFormat, cv::Size> admit(Bytes bytes, const DecodeOptions& options) {
  const auto [format, size] = identify(bytes);
  if (static_cast<std::int64_t>(bytes.size()) > kMaxFileSize)
    throw RefusedImage("image too large: a file of ", bytes.size(), " bytes");
  if (std::int64_t{size.width} * size.height > options.max_pixels)
    throw RefusedImage("image too large: ", size.width, " x ", size.height, " pixels, more than ", options.max_pixels);
  if (std::max(size.width, size.height) > kMaxSide)
    throw RefusedImage("image too large: ", size.width, " x ", size.height, " pixels, a side longer than ", kMaxSide);
  if (format == ImageFormat::kWebp && is_animated_webp(bytes))
    throw RefusedImage("animated WebP images are not supported; save the frame that is meant");
  return {format, size};
}

/// What `function` returns; what the libraries throw becomes Error.
template <class Function>
auto as_errors(cv::Size size, const Function& function) {
  try {
    return function();
  } catch (const cv::Exception& error) {
    throw Error("cannot decode the image: ", error.err);
  } catch (const std::bad_alloc&) {
    throw Error("not enough memory for an image of ", size.width, " x ", size.height, " pixels");
  }
}

}  // namespace

cv::Mat decode(std::span<const std::uint8_t> bytes, const DecodeOptions& options) {
  const auto [format, size] = admit(bytes, options);
  return as_errors(size, [&, format = format, size = size] {
    if (format == ImageFormat::kJpeg) {
      const cv::Mat image = decode_jpeg(bytes, options);
      return options.exif_orientation ? upright(image, exif_orientation(bytes)) : image;
    }
    if (format == ImageFormat::kPng) return decode_png(bytes, options.max_pixels);
    if (format == ImageFormat::kBmp) return decode_bmp(bytes, size);
    if (format == ImageFormat::kPnm) return decode_pnm(bytes, size);
    if (format == ImageFormat::kTiff) return decode_tiff(bytes, size);
    return decode_with_opencv(bytes);
  });
}

cv::Mat decode(const Source& source, const DecodeOptions& options) {
  if (source.pixels.empty()) return decode(std::span(source.bytes), options);
  if (source.pixels.type() == CV_8UC3) return source.pixels;
  if (source.pixels.type() != CV_8UC1) throw UsageError("pixels must be CV_8UC3 or CV_8UC1");
  cv::Mat rgb;
  cv::cvtColor(source.pixels, rgb, cv::COLOR_GRAY2RGB);
  return rgb;
}

void decode_planes(const Source& source, const DecodeOptions& options, PlanarImage& out) {
  if (!source.pixels.empty()) return out.assign(source.pixels);
  const Bytes bytes(source.bytes);
  if (image_format(bytes) == ImageFormat::kJpeg && !(options.exif_orientation && exif_orientation(bytes) != 1)) {
    const cv::Size size = admit(bytes, options).second;
    if (as_errors(size, [&] { return decode_jpeg_planes(bytes, options, out); })) return;
  }
  out.assign(decode(bytes, options));
}

cv::Size image_size(std::span<const std::uint8_t> bytes) { return identify(bytes).second; }

}  // namespace unlabel::augment
