#pragma once

#include <opencv2/core/mat.hpp>

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

/// How encoded images become pixels.
struct DecodeOptions {
  /// Turn the image upright by its EXIF orientation. Off by default, as PIL, torchvision and hence the published
  /// results have it.
  bool exif_orientation = false;
  /// Refuse images with more pixels than this, by the size in their header, before decoding (a 100-megapixel bomb costs
  /// nothing).
  std::int64_t max_pixels = 89478485;
  /// Also refuse a JPEG that libjpeg decodes with warnings (corrupt mid-stream). A truncated file is always refused.
  bool strict = false;
};

/// Decodes to CV_8UC3 in **RGB** order, whatever the file holds: grey is repeated, a palette is looked up, alpha is
/// dropped, CMYK is converted, 16-bit is scaled to 8; of an animation the first frame. Throws Error that says why: not
/// an image, truncated, corrupt, too large. Thread-safe.
cv::Mat decode(std::span<const std::uint8_t> bytes, const DecodeOptions& options = {});

/// `source.pixels` as three-channel RGB, or `source.bytes` decoded.
cv::Mat decode(const Source& source, const DecodeOptions& options = {});

/// Width and height from the header, without decoding (before any EXIF turn). Throws Error when it is not an image that
/// we decode.
cv::Size image_size(std::span<const std::uint8_t> bytes);

}  // namespace unlabel::augment
