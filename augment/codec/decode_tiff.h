#pragma once

#include <unlabel/augment/codec/decode.h>

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

/// Decodes the first image of a TIFF or BigTIFF through libtiff to CV_8UC3 in RGB order; strips or tiles; its compressions.
///
/// - 1 to 8 bits a sample, unsigned: gray, palette, RGB, CMYK, YCbCr, by libtiff's RGBA reader; colors under an unassociated alpha come
///   multiplied by it.
/// - 8 bits signed, 16 and 32 bits, floats of 32 and 64: gray and RGB, by DecodeOptions::range; alpha is dropped. Without a range unsigned
///   16 bits only.
///
/// Rows and columns as they are stored: decode() turns them by the orientation tag. `size` is what header_size gives. Throws Error for what
/// libtiff refuses or warns of running out of data, and RefusedImage for samples that have no place in 8-bit RGB (more than 4 of a pixel,
/// or colors that the photometric tag does not name) and for CIELAB.
cv::Mat decode_tiff(std::span<const std::uint8_t> bytes, cv::Size size, const DecodeOptions& options,
                    DecodeReport* report);

}  // namespace unlabel::augment
