#pragma once

#include <unlabel/augment/codec/decode.h>

#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <span>

namespace unlabel::augment {

// The decoders behind decode(), one for each format, without the orientation. OpenCV's own readers are not used where they print to stderr.
// All return CV_8UC3 in RGB order and throw Error for a broken or truncated file. `size` is what header_size gives.

/// Decodes a JPEG through libjpeg-turbo: baseline, progressive and arithmetic; gray is repeated, CMYK and YCCK are taken as Adobe's
/// inverted ones and converted as Pillow does. The transform and the upsampling are libjpeg's defaults (as Pillow's). Also throws for a
/// file that ends before its end-of-image marker, for more pixels than `max_pixels` and, when `strict`, for warnings (corrupt entropy-coded
/// data), which are counted in `report` otherwise.
cv::Mat decode_jpeg(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report = nullptr);

/// The planes of a JPEG as they are stored: gray, YCbCr or RGB, of any sampling, neither upsampled nor converted. False, and `out`
/// undefined, for other files (CMYK, sampling by fractions): use decode_jpeg then. Throws as decode_jpeg does.
bool decode_jpeg_planes(std::span<const std::uint8_t> bytes, const DecodeOptions& options, PlanarImage& out,
                        DecodeReport& report);

/// Decodes a PNG through libpng: gray is repeated, palettes are looked up, alpha is dropped, 16 bits become levels by DecodeOptions::range.
/// Also throws for more pixels than `max_pixels`.
cv::Mat decode_png(std::span<const std::uint8_t> bytes, const DecodeOptions& options, DecodeReport* report);

/// Decodes the first image of a TIFF or BigTIFF through libtiff; strips or tiles; its compressions.
///
/// - 1 to 8 bits a sample, unsigned: gray, palette, RGB, CMYK, YCbCr, by libtiff's RGBA reader; colors under an unassociated alpha are
///   multiplied by it.
/// - 8 bits signed, 16 and 32 bits, floats of 32 and 64: gray and RGB, by DecodeOptions::range; alpha is dropped. Without a range unsigned
///   16 bits only.
///
/// Also throws where libtiff warns of running out of data, and RefusedImage for samples that have no place in 8-bit RGB (more than 4 of a
/// pixel, or colors that the photometric tag does not name) and for CIELAB.
cv::Mat decode_tiff(std::span<const std::uint8_t> bytes, cv::Size size, const DecodeOptions& options,
                    DecodeReport* report);

/// Decodes a Windows bitmap of 1, 4, 8, 16, 24 or 32 bits a pixel, with palette or bit fields, or with run-length coding of 4 and 8 bits
/// (skipped pixels get the palette's first color, as in Pillow). Alpha is dropped.
cv::Mat decode_bmp(std::span<const std::uint8_t> bytes, cv::Size size);

/// Decodes Netpbm's P1 to P6: bitmaps, gray and color, as text and binary. Other maxima than 255 are scaled; but gray of 65535, which
/// Pillow reads as 16 bits, and everything above 255 where there is a DecodeOptions::range, become levels by that rule.
cv::Mat decode_pnm(std::span<const std::uint8_t> bytes, cv::Size size, const DecodeOptions& options,
                   DecodeReport* report);

}  // namespace unlabel::augment
