#include <unlabel/augment/codec/planar_image.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/scratch.h>

#include <opencv2/core.hpp>

#include <cstring>

namespace unlabel::augment {

void PlanarImage::place(int count, const std::array<int, 3>& rows) {
  std::size_t total = 0;
  for (int i = 0; i < count; ++i) {
    planes[i].offset = total;
    total += static_cast<std::size_t>(planes[i].stride) * rows[i];
  }
  if (bytes.size() < total + kSlack) bytes.resize(total + kSlack);
}

void PlanarImage::assign(const cv::Mat& image) {
  if (image.empty() || (image.type() != CV_8UC3 && image.type() != CV_8UC1))
    throw UsageError("expected a CV_8UC3 image in RGB order, or a CV_8UC1 one");
  size = image.size();
  colors = image.channels() == 1 ? Colors::kGray : Colors::kRgb;
  planes.fill({.stride = size.width, .width = size.width, .height = size.height});
  place(plane_count(), {size.height, size.height, size.height});
  if (colors == Colors::kGray) {
    for (int y = 0; y < size.height; ++y)
      std::memcpy(data(0) + std::ptrdiff_t{y} * size.width, image.ptr(y), size.width);
    return;
  }
  cv::Mat out[3];
  for (int i = 0; i < 3; ++i) out[i] = cv::Mat(size, CV_8UC1, data(i));
  cv::split(image, out);
}

}  // namespace unlabel::augment
