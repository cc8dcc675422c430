// Any bytes are an image or an Error, in bounded memory.
#include <unlabel/augment/decode.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/image_header.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace unlabel::augment;
  const std::span bytes(data, size);
  const int orientation = exif_orientation(bytes);
  if (orientation < 1 || orientation > 8) std::abort();
  for (const bool strict : {false, true}) {
    try {
      const cv::Mat image = decode(bytes, {.exif_orientation = strict, .max_pixels = 1 << 20, .strict = strict});
      if (image.empty() || image.type() != CV_8UC3 || image.total() > 1 << 20) std::abort();
    } catch (const unlabel::Error&) {
    }
  }
  return 0;
}
