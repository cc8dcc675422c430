#include <unlabel/augment/codec/channels.h>
#include <unlabel/augment/error.h>

#include <opencv2/core.hpp>

namespace unlabel::augment {

cv::Mat reversed_channels(const cv::Mat& image) {
  const int channels = image.channels();
  if (image.depth() != CV_8U || (channels != 3 && channels != 4))
    throw UsageError("reversed_channels takes CV_8UC3 or CV_8UC4 images, not ", cv::typeToString(image.type()));
  cv::Mat out(image.size(), CV_8UC3);
  for (int y = 0; y < image.rows; ++y) {
    const uchar* in = image.ptr(y);
    uchar* result = out.ptr(y);
    for (int x = 0; x < image.cols; ++x, in += channels, result += 3) {
      result[0] = in[2];
      result[1] = in[1];
      result[2] = in[0];
    }
  }
  return out;
}

}  // namespace unlabel::augment
