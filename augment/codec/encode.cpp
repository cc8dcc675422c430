#include <unlabel/augment/codec/channels.h>
#include <unlabel/augment/codec/encode.h>
#include <unlabel/augment/error.h>

#include <opencv2/imgcodecs.hpp>

namespace unlabel::augment {

std::vector<std::uint8_t> encode_png(const cv::Mat& image) {
  if (image.empty() || (image.type() != CV_8UC3 && image.type() != CV_8UC1))
    throw UsageError("only images of CV_8UC3 or CV_8UC1 can be written as PNG");
  const cv::Mat stored = image.channels() == 3 ? reversed_channels(image) : image;
  std::vector<std::uint8_t> bytes;
  if (!cv::imencode(".png", stored, bytes)) throw Error("OpenCV cannot write PNG");
  return bytes;
}

}  // namespace unlabel::augment
