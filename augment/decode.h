#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/augment/planar_image.h>

#include <opencv2/core/mat.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace unlabel::augment {

/// An image as a data set hands it over: the bytes of a file, or pixels that need no decoding. Exactly one of the two
/// is set.
struct Source {
  std::vector<std::uint8_t> bytes;  ///< an encoded image: JPEG, PNG, ...
  cv::Mat pixels;                   ///< CV_8UC3 in RGB order, or CV_8UC1
};

/// The longest side of an image that is decoded, as JPEG has it: a strip one pixel wide costs far more than its pixels.
constexpr int kMaxSide = 65535;

/// The longest file that is decoded, in bytes.
constexpr std::int64_t kMaxFileSize = 0x7FFFFFFF;

/// An image that may be sound, but is not taken: too large, animated, of a format that we do not decode.
class RefusedImage : public Error {
 public:
  using Error::Error;
};

/// How encoded images become pixels.
struct DecodeOptions {
  /// Turn a JPEG upright by its EXIF orientation (other formats stay as they are stored). Off by default, as PIL,
  /// torchvision and hence the published results have it.
  bool exif_orientation = false;
  /// Refuse images with more pixels than this, by the size in their header, before decoding (a 100-megapixel bomb costs
  /// nothing).
  std::int64_t max_pixels = 89478485;
  /// Also refuse a JPEG that libjpeg decodes with warnings (corrupt mid-stream). A truncated file is always refused.
  bool strict = false;
  /// Where to add libjpeg's warnings about images that are decoded all the same (null: nowhere). Any number of threads
  /// may share it. Not a setting: the table leaves it out.
  std::atomic<std::int64_t>* warnings = nullptr;
};

OptionTable table(DecodeOptions& options);

/// Decodes to CV_8UC3 in **RGB** order, whatever the file holds: grey is repeated, a palette is looked up, CMYK is
/// converted, 16 bits are scaled to 8.
///
/// - Alpha is dropped, and the colours below it stay as they are stored; of a TIFF with unassociated alpha they come
///   multiplied by it (decode_tiff.h).
/// - Of a TIFF with several pages the first; of an animated PNG its default image. An animated WebP is refused.
///
/// Throws Error that says why: truncated, corrupt; or RefusedImage: no image that we know, too large (more pixels than
/// `max_pixels`, or a side above kMaxSide). Thread-safe.
cv::Mat decode(std::span<const std::uint8_t> bytes, const DecodeOptions& options = {});

/// `source.pixels` as three-channel RGB, or `source.bytes` decoded.
cv::Mat decode(const Source& source, const DecodeOptions& options = {});

/// The same as planes, for views that are made from them (fused_view.h): of a JPEG as they are in the file, of anything else those of the
/// decoded image. Throws alike. What `out` has allocated is used again.
void decode_planes(const Source& source, const DecodeOptions& options, PlanarImage& out);

/// Width and height from the header, without decoding (before any EXIF turn). Throws Error when it is not an image that
/// we decode.
cv::Size image_size(std::span<const std::uint8_t> bytes);

}  // namespace unlabel::augment
