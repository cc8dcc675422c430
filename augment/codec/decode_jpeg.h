#pragma once

#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/planar_image.h>

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

/// Decodes a JPEG through libjpeg-turbo to CV_8UC3 in RGB order: baseline, progressive and arithmetic; gray is
/// repeated, CMYK and YCCK are taken as Adobe's inverted ones and converted as Pillow does. The transform and the
/// upsampling are libjpeg's defaults (as Pillow's). Throws Error for what libjpeg refuses, for a file that ends before
/// its end-of-image marker, for more pixels than `max_pixels`, and, when `strict`, for warnings (corrupt entropy-coded
/// data), which are counted in `report` otherwise. `exif_orientation` is the caller's.
cv::Mat decode_jpeg(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report = nullptr);

/// The same as the planes that are in the file: gray, YCbCr or RGB, of whatever sampling, neither upsampled nor converted. False, and `out`
/// undefined, when the file has others (CMYK, sampling by fractions): use decode_jpeg then. Throws as decode_jpeg does.
bool decode_jpeg_planes(std::span<const std::uint8_t> bytes, const DecodeOptions& options, PlanarImage& out,
                        DecodeReport& report);

}  // namespace unlabel::augment
