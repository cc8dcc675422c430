#pragma once

#include <opencv2/core/mat.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace unlabel::augment {

/// An image as planes of bytes, as stored in a JPEG: brightness and two color differences, which often have half as many samples a
/// side. Views that are resized from these planes need neither upsampled colors nor RGB at the size of the photograph (fused_view.h).
struct PlanarImage {
  enum class Colors {
    kGray,  ///< one plane
    kYCbCr,  ///< of JFIF: R = Y + 1.402 Cr, G = Y - .344136 Cb - .714136 Cr, B = Y + 1.772 Cb, with Cb and Cr centered at 128
    kRgb,
  };

  struct Plane {
    std::size_t offset = 0;  ///< of the first sample in `bytes`
    int stride = 0;          ///< samples from row to row
    int width = 0;           ///< samples
    int height = 0;          ///< samples
    int step_x = 1;          ///< pixels of the image that share a sample: sample i covers pixels [i step, (i + 1) step)
    int step_y = 1;
    bool smooth_x = false;  ///< whether libjpeg's upsampling weighs neighbors; only where the step is 2
    bool smooth_y = false;
  };

  /// Bytes after the last plane that loads of whole vectors may read.
  static constexpr std::size_t kSlack = 128;

  cv::Size size;  ///< of the image in pixels
  Colors colors = Colors::kRgb;
  std::array<Plane, 3> planes{};    ///< the second and the third alike
  std::vector<std::uint8_t> bytes;  ///< all planes and kSlack more

  int plane_count() const { return colors == Colors::kGray ? 1 : 3; }
  const std::uint8_t* data(int plane) const { return bytes.data() + planes[plane].offset; }
  std::uint8_t* data(int plane) { return bytes.data() + planes[plane].offset; }

  /// Sets the offsets of `count` planes, whose strides are set, with room for `rows[i]` rows of plane i. Reuses the memory.
  void place(int count, const std::array<int, 3>& rows);

  /// Copies a CV_8UC3 image in RGB order, or a CV_8UC1 one.
  void assign(const cv::Mat& image);
};

}  // namespace unlabel::augment
