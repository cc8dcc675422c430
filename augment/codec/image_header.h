#pragma once

#include <opencv2/core/types.hpp>

#include <cstdint>
#include <span>
#include <string_view>

namespace unlabel::augment {

/// The kinds of file that we decode.
enum class ImageFormat { kUnknown, kJpeg, kPng, kWebp, kBmp, kTiff, kPnm };

/// By the first bytes.
ImageFormat image_format(std::span<const std::uint8_t> bytes);

/// A format with its article ("a JPEG"), and its usual extension (".jpg"); empty for ImageFormat::kUnknown.
struct FormatName {
  std::string_view name, extension;
};
FormatName format_name(ImageFormat format);

/// A format that we do not decode.
struct OtherFormat {
  std::string_view name;  ///< with its article ("a GIF", "an HTML page"); empty: unknown
  bool is_image = false;  ///< an image, by first bytes that other files hardly have
};

/// The format of a file of ImageFormat::kUnknown, by its first bytes.
OtherFormat other_format(std::span<const std::uint8_t> bytes);

/// Width and height from the header, read without any library; not to be trusted (0 x 0 without a header).
/// For JPEG that is the first frame header. Before any turn by the orientation.
cv::Size header_size(std::span<const std::uint8_t> bytes, ImageFormat format);

/// Whether a WebP says that it is an animation.
bool is_animated_webp(std::span<const std::uint8_t> webp);

/// The orientation, 1 to 8, that a JPEG, PNG or WebP has in its EXIF data (APP1, eXIf, EXIF) and a TIFF as a tag of its first image; 1
/// where there is none. Never throws: what is malformed counts as absent.
int orientation(std::span<const std::uint8_t> bytes, ImageFormat format);

}  // namespace unlabel::augment
