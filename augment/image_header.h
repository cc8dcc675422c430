#pragma once

#include <opencv2/core/types.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

/// The kinds of file that we decode.
enum class ImageFormat { kUnknown, kJpeg, kPng, kWebp, kBmp, kTiff, kPnm };

/// By the first bytes.
ImageFormat image_format(std::span<const std::uint8_t> bytes);

/// Width and height as the header says, read without any library; they may be hostile (0 x 0 where there is no header).
/// For JPEG that is the first frame header, before any EXIF turn.
cv::Size header_size(std::span<const std::uint8_t> bytes, ImageFormat format);

/// Whether a WebP says that it is an animation.
bool is_animated_webp(std::span<const std::uint8_t> webp);

/// The EXIF orientation of a JPEG, 1 to 8; 1 where it has none. Never throws: what is malformed counts as absent.
int exif_orientation(std::span<const std::uint8_t> jpeg);

}  // namespace unlabel::augment
