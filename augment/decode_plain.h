#pragma once

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

// Uncompressed formats, read here: OpenCV's readers print to stderr what is wrong with a file. `size` is what
// header_size gives. Both return CV_8UC3 in RGB order and throw Error for a truncated or broken file.

/// Windows bitmaps of 1, 4, 8, 16, 24 and 32 bits a pixel, with palette or bit fields, without run-length coding. Alpha
/// is dropped.
cv::Mat decode_bmp(std::span<const std::uint8_t> bytes, cv::Size size);

/// Netpbm's P1 to P6: bitmaps, grey and colour, as text and binary; other maxima than 255 are scaled.
cv::Mat decode_pnm(std::span<const std::uint8_t> bytes, cv::Size size);

}  // namespace unlabel::augment
