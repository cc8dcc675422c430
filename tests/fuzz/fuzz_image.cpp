// Any bytes are an image or an Error, in bounded memory; as planes they are the same; views of the planes stay within them.
#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/codec/image_header.h>
#include <unlabel/augment/error.h>
#include <unlabel/augment/fused/fused_view.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace {

using namespace unlabel::augment;

template <class Act>
bool succeeds(const Act& act) {
  try {
    act();
    return true;
  } catch (const unlabel::Error&) {
    return false;
  }
}

/// Views of a size and interpolation that the file's bytes choose, so that inputs reach every end of a row of vectors. The first bytes are
/// the same in all files of a format: all of them are summed.
void make_views(const PlanarImage& planes, const std::vector<std::uint8_t>& bytes) {
  const auto choice = std::accumulate(bytes.begin(), bytes.end(), 0u);
  RandomResizedCrop crop{
      {1 + static_cast<int>(choice % 40), 1 + static_cast<int>(choice / 40 % 40)}, {0.0001, 1}, {0.01, 100}};
  if (choice / 1600 % 2 == 1) crop.interpolation = Interpolation::kBicubic;
  GaussianBlur blur{0.5};
  if (choice / 3200 % 8 == 1) blur = {0.5, {0.1, 18}, 0, Border::kZero};
  const Pipeline pipeline({crop, RandomHorizontalFlip{}, ColorJitter{1, 0.8, 0.8, 0.8, 0.2}, blur, Normalize{}});
  std::vector<float> view(pipeline.output_shape().size());  // exactly as large, for AddressSanitizer
  for (std::uint64_t sample = 0; sample < 2; ++sample)
    apply_fused(pipeline, planes, pipeline.make_params(planes.size, {0, 0, sample, 0}), view.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ImageSource source{{data, data + size}, {}};
  const int turned = orientation(source.bytes, image_format(source.bytes));
  if (turned < 1 || turned > 8) std::abort();
  for (const bool strict : {false, true})
    for (const bool turn : {false, true}) {
      DecodeOptions options{.exif_orientation = turn, .max_pixels = 1 << 20, .strict = strict};
      if (turn) options.range = {{-100, 5000}};
      cv::Mat image;
      PlanarImage planes;
      const bool decoded = succeeds([&] { image = decode(source, options); });
      if (decoded && (image.empty() || image.type() != CV_8UC3 || image.total() > 1 << 20)) std::abort();
      if (succeeds([&] { decode_planes(source, options, planes); }) != decoded) std::abort();
      if (decoded && planes.size != image.size()) std::abort();
      // Of others the header that counts is the library's to choose: a JPEG may have two frames, a WebP two sizes.
      const auto format = image_format(source.bytes);
      const bool one_header = format != ImageFormat::kJpeg && format != ImageFormat::kWebp;
      if (decoded && one_header && image_size(source.bytes, options) != image.size()) std::abort();
      if (decoded && !turn && !strict) make_views(planes, source.bytes);
    }
  return 0;
}
