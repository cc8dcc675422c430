#pragma once

#include <unlabel/augment/codec/decode.h>

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

// Simple formats, read here: OpenCV's readers print to stderr what is wrong with a file. `size` is what
// header_size gives. Both return CV_8UC3 in RGB order and throw Error for a truncated or broken file.

/// Windows bitmaps of 1, 4, 8, 16, 24 and 32 bits a pixel, with palette or bit fields, and with run-length coding of 4 and 8 bits (what
/// it skips is of the palette's first color, as Pillow has it). Alpha is dropped.
cv::Mat decode_bmp(std::span<const std::uint8_t> bytes, cv::Size size);

/// Netpbm's P1 to P6: bitmaps, gray and color, as text and binary. Other maxima than 255 are scaled, but gray of 65535, which Pillow reads
/// as 16 bits, and everything above 255 where there is a DecodeOptions::range, become levels by that rule.
cv::Mat decode_pnm(std::span<const std::uint8_t> bytes, cv::Size size, const DecodeOptions& options,
                   DecodeReport* report);

}  // namespace unlabel::augment
