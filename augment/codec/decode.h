#pragma once

#include <unlabel/augment/codec/planar_image.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>

#include <opencv2/core/mat.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace unlabel::augment {

/// An image as a data set gives it: the bytes of a file, or pixels that need no decoding. Exactly one of the two is set.
struct ImageSource {
  std::vector<std::uint8_t> bytes;  ///< an encoded image: JPEG, PNG, ...
  cv::Mat pixels;  ///< 1 (gray), 3 (RGB) or 4 (RGB and alpha, which is dropped) channels; CV_8U, CV_16U,
                   ///< or with DecodeOptions::range also CV_8S, CV_16S, CV_32S, CV_32F or CV_64F
};

/// The longest side of an image that is decoded, as JPEG has it: a strip one pixel wide costs far more than its pixels.
constexpr int kMaxSide = 65535;

/// The longest file that is decoded, in bytes.
constexpr std::int64_t kMaxFileSize = 0x7FFFFFFF;

/// An image that may be valid but is refused: too large, animated, or in a format that is not decoded.
class RefusedImage : public Error {
 public:
  using Error::Error;
};

/// How encoded images become pixels.
struct DecodeOptions {
  /// Turn a JPEG, PNG (eXIf chunk) or WebP (EXIF chunk) upright by its EXIF orientation, as PIL.ImageOps.exif_transpose. Off by
  /// default, as PIL, torchvision and hence the published results have it. A TIFF is always turned by its orientation tag,
  /// as PIL turns it when it loads one.
  bool exif_orientation = false;
  /// Refuse images with more pixels than this, by the size in their header, before decoding (a 100-megapixel bomb costs
  /// nothing). By default twice 2^30 / 12 pixels, where Pillow refuses too (it warns from half as many on).
  std::int64_t max_pixels = 178956970;
  /// Also refuse a JPEG that libjpeg decodes with warnings (corrupt mid-stream). A truncated file is always refused.
  bool strict = false;
  /// [low, high], low < high: a sample v of more than 8 bits, or a signed one, becomes the level
  /// round(255 min(max((v - low) / (high - low), 0), 1)): [0, 4095] for 12 bits in 16. Images of 8 bits stay as they are. Without it,
  /// unsigned 16 bits keep their upper eight (v / 256 rounded down, as PIL's of RGB), and other samples are refused.
  std::optional<std::array<double, 2>> range = std::nullopt;
};

OptionTable table(DecodeOptions& options);

/// Warnings about images that were decoded. Reports of several images can be added.
struct DecodeReport {
  std::int64_t warnings = 0;     ///< of libjpeg: corrupt data in the middle
  std::int64_t deep_images = 0;  ///< images of 16-bit samples, decoded without a range
  int lowest = 65535;            ///< of the samples of these (alpha apart)
  int highest = 0;

  DecodeReport& operator+=(const DecodeReport& other);
};

/// One line of warning that the 16-bit images use at most a quarter of the 65,536 levels, so that 8 bits keep few of them, with the range
/// to give; empty where they use more or there were none.
std::string range_warning(const DecodeReport& report);

/// Decodes to CV_8UC3 in **RGB** order, whatever the file holds: gray is repeated, a palette is looked up, CMYK is
/// converted, samples of more than 8 bits become levels as DecodeOptions::range says.
///
/// - Alpha is dropped, and the colors below it stay as they are stored; of an 8-bit TIFF with unassociated alpha they come
///   multiplied by it (decoders.h).
/// - Of a TIFF with several pages the first; of an animated PNG its default image. An animated WebP is refused.
///
/// Adds warnings to `report`, if given. Throws Error that says why: truncated, corrupt; RefusedImage: not an image that we
/// know, too large (more pixels than `max_pixels`, or a side above kMaxSide), samples that 8-bit RGB cannot hold (more than 4 per pixel;
/// signed or floating-point ones without a range); LimitError: too little memory, no fault of the image. Thread-safe.
cv::Mat decode(std::span<const std::uint8_t> bytes, const DecodeOptions& options = {}, DecodeReport* report = nullptr);

/// `source.pixels` as three-channel RGB, or `source.bytes` decoded. Throws UsageError for pixels of another type than ImageSource takes.
cv::Mat decode(const ImageSource& source, const DecodeOptions& options = {}, DecodeReport* report = nullptr);

/// The same as planes, from which fused views are made (fused_view.h): those stored in a JPEG, or those of the decoded image for any other
/// format. Throws as decode does. Reuses the memory of `out`.
DecodeReport decode_planes(const ImageSource& source, const DecodeOptions& options, PlanarImage& out);

/// Width and height that decode() gives with these options, from the header, without decoding: the two are swapped where it turns the
/// image by a quarter. (With `exif_orientation`, `bytes` must be the whole file: in a PNG or a WebP the orientation may be at the end.)
/// Throws Error when it is not an image that we decode.
cv::Size image_size(std::span<const std::uint8_t> bytes, const DecodeOptions& options = {});

/// Throws RefusedImage for an image of more pixels than DecodeOptions::max_pixels.
void check_pixels(cv::Size size, std::int64_t max_pixels);

}  // namespace unlabel::augment
