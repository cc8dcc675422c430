#include <unlabel/augment/error.h>
#include <unlabel/augment/ops/planar.h>
#include <unlabel/augment/scratch.h>
#include <unlabel/augment/transforms/work.h>

#include <cstddef>
#include <vector>

namespace unlabel::augment {

namespace {

thread_local std::vector<float> buffers[2];

}  // namespace

void require_three_channels(const Known& known, const std::string& where) {
  if (known.channels != 3)
    throw UsageError(where, ": works on three channels, but an earlier step leaves ", known.channels);
}

void require_rgb(const Known& known, const std::string& where) {
  if (known.normalized) throw UsageError(where, ": works on colors in [0, 1]: move it before Normalize");
  require_three_channels(known, where);
}

void require_bytes(const Known& known, const std::string& where) {
  require_rgb(known, where);
  if (known.floats) throw UsageError(where, ": works on whole levels: move it before the first step of BYOL's family");
}

void require_before_normalize(const Known& known, const std::string& where) {
  if (known.normalized) throw UsageError(where, ": fills with a color: move it before Normalize");
}

Work::~Work() {
  for (auto& buffer : buffers) release_if_huge(buffer);
}

void Work::make_float() {
  if (!is_float())
    make(image_.size(), CV_MAKETYPE(CV_32F, image_.channels()),
         [](const cv::Mat& in, cv::Mat& out) { to_float(in, out); });
}

cv::Mat Work::next_buffer(cv::Size size, int type) {
  auto& buffer = buffers[turn_ ^= 1];
  const std::size_t bytes = static_cast<std::size_t>(size.area()) * CV_ELEM_SIZE(type);
  // Floats of which as many bytes are taken as are needed, so that every type is aligned.
  if (buffer.size() * sizeof(float) < bytes) buffer.resize((bytes + sizeof(float) - 1) / sizeof(float));
  return cv::Mat(size, type, buffer.data());
}

}  // namespace unlabel::augment
