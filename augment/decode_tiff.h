#pragma once

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

/// Decodes the first image of a TIFF through libtiff to CV_8UC3 in RGB order, whatever libtiff's RGBA reader takes: 1
/// to 16 bits a sample, grey, palette, RGB, CMYK, YCbCr; strips or tiles; its compressions. The orientation tag is
/// ignored; colours under an unassociated alpha come multiplied by it. `size` is what header_size gives. Throws Error
/// for what libtiff refuses or warns of running out of data.
cv::Mat decode_tiff(std::span<const std::uint8_t> bytes, cv::Size size);

}  // namespace unlabel::augment
