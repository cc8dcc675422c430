#pragma once

#include <jpeglib.h>
#include <opencv2/core/mat.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace unlabel::augment {

/// Encodes a JPEG with libjpeg from interleaved bytes. `sampling`: how many samples the first component has for one of
/// the others; libjpeg's default is 2 x 2 for YCbCr.
inline std::vector<std::uint8_t> encode_jpeg(const cv::Mat& image, J_COLOR_SPACE in, J_COLOR_SPACE stored,
                                             bool progressive = false, cv::Size sampling = {}) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &out, &size);
  info.image_width = static_cast<JDIMENSION>(image.cols);
  info.image_height = static_cast<JDIMENSION>(image.rows);
  info.input_components = image.channels();
  info.in_color_space = in;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, stored);
  jpeg_set_quality(&info, 100, TRUE);
  if (sampling.area() > 0) {
    for (int i = 0; i < info.num_components; ++i) info.comp_info[i].h_samp_factor = info.comp_info[i].v_samp_factor = 1;
    info.comp_info[0].h_samp_factor = sampling.width;
    info.comp_info[0].v_samp_factor = sampling.height;
  }
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    JSAMPROW row = const_cast<uchar*>(image.ptr(static_cast<int>(info.next_scanline)));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  std::vector<std::uint8_t> bytes(out, out + size);
  jpeg_destroy_compress(&info);
  std::free(out);
  return bytes;
}

/// Puts an EXIF segment with an orientation behind the JPEG's first two bytes.
inline std::vector<std::uint8_t> with_orientation(std::vector<std::uint8_t> jpeg, int orientation, bool big_endian) {
  using Bytes = std::vector<std::uint8_t>;
  const auto o = static_cast<std::uint8_t>(orientation);
  Bytes exif{0xFF, 0xE1, 0, 34, 'E', 'x', 'i', 'f', 0, 0};
  const Bytes tiff =
      big_endian ? Bytes{'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, o, 0, 0, 0, 0, 0, 0}
                 : Bytes{'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, o, 0, 0, 0, 0, 0, 0, 0};
  exif.insert(exif.end(), tiff.begin(), tiff.end());
  jpeg.insert(jpeg.begin() + 2, exif.begin(), exif.end());
  return jpeg;
}

}  // namespace unlabel::augment
