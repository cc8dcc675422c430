#pragma once

#include <unlabel/augment/codec/decode.h>

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

/// Decodes a PNG through libpng to CV_8UC3 in RGB order: gray is repeated, palettes are looked up, alpha is dropped, 16
/// bits become levels by DecodeOptions::range. (OpenCV's reader prints libpng's messages.) Throws Error for what libpng refuses, for a
/// truncated file, and for more pixels than `max_pixels`.
cv::Mat decode_png(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report);

}  // namespace unlabel::augment
