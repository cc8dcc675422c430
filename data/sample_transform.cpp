#include <unlabel/data/sample_transform.h>

#include <numeric>

namespace unlabel::data {

std::size_t size_of(ElementType type) {
  switch (type) {
    case ElementType::kFloat32:
      return sizeof(float);
    case ElementType::kInt64:
      return sizeof(std::int64_t);
    case ElementType::kUInt8:
      return sizeof(std::uint8_t);
  }
  return 0;
}

std::size_t ArraySpec::elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
}

ImageViews::ImageViews(augment::MultiCrop views, augment::DecodeOptions decode)
    : views_(std::move(views)), decode_(decode) {
  if (views_.views() < 1) throw UsageError("there are no views; give at least one crop");
  for (int v = 0; v < views_.views(); ++v) {
    const auto shape = views_.shape(v);
    arrays_.push_back({concat("view.", v), ElementType::kFloat32, {shape.channels, shape.height, shape.width}});
  }
}

void ImageViews::operator()(const RawSample& image, const augment::ViewKey& key, std::span<void* const> rows,
                            augment::DecodeReport& report) const {
  std::vector<float*> out(rows.size());
  for (std::size_t v = 0; v < rows.size(); ++v) out[v] = static_cast<float*>(rows[v]);
  report += views_(image, key, out, decode_);
}

}  // namespace unlabel::data
