#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/normalize.h>
#include <unlabel/augment/scratch.h>
#include <unlabel/augment/transforms/work_image.h>

namespace unlabel::augment {

namespace {

thread_local std::vector<float> buffers[2];

}  // namespace

void require_three_channels(const ImageInfo& info, const std::string& where) {
  if (info.channels != 3)
    throw UsageError(where, ": works on three channels, but an earlier step leaves ", info.channels);
}

void require_rgb(const ImageInfo& info, const std::string& where) {
  if (info.normalized) throw UsageError(where, ": works on colors in [0, 1]: move it before Normalize");
  require_three_channels(info, where);
}

void require_bytes(const ImageInfo& info, const std::string& where) {
  require_rgb(info, where);
  if (info.floats) throw UsageError(where, ": works on whole levels: move it before the first step of BYOL's family");
}

void require_before_normalize(const ImageInfo& info, const std::string& where) {
  if (info.normalized) throw UsageError(where, ": fills with a color: move it before Normalize");
}

WorkImage::~WorkImage() {
  for (auto& buffer : buffers) release_if_huge(buffer);
}

void WorkImage::make_float() {
  if (!is_float())
    make(image_.size(), CV_MAKETYPE(CV_32F, image_.channels()),
         [](const cv::Mat& in, cv::Mat& out) { to_float(in, out); });
}

cv::Mat WorkImage::next_buffer(cv::Size size, int type) {
  auto& buffer = buffers[turn_ ^= 1];
  const std::size_t bytes = static_cast<std::size_t>(size.area()) * CV_ELEM_SIZE(type);
  // Floats of which as many bytes are taken as are needed, so that every type is aligned.
  if (buffer.size() * sizeof(float) < bytes) buffer.resize((bytes + sizeof(float) - 1) / sizeof(float));
  return cv::Mat(size, type, buffer.data());
}

}  // namespace unlabel::augment
