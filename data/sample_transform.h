#pragma once

#include <unlabel/augment/transforms/multi_crop.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace unlabel::data {

/// A sample as the data set stores it: the bytes of its file (an encoded image, a line of text), or pixels.
using RawSample = augment::ImageSource;

/// Types of numbers in a batch.
enum class ElementType { kFloat32, kInt64, kUInt8 };

/// Bytes of one number.
std::size_t size_of(ElementType type);

/// One array of a batch: a row for each sample.
struct ArraySpec {
  std::string name;  ///< unique in the batch: "view.0", "token_ids"
  ElementType type = ElementType::kFloat32;
  std::vector<std::int64_t> shape;  ///< of a row; empty: one number

  std::size_t elements() const;  ///< of a row
  std::size_t bytes() const { return elements() * size_of(type); }
  bool operator==(const ArraySpec&) const = default;
};

/// Makes a sample's row in each array of a batch. The loader calls it on several threads at a time.
class SampleTransform {
 public:
  virtual ~SampleTransform() = default;

  /// The arrays of a batch, the same at every call.
  virtual const std::vector<ArraySpec>& arrays() const = 0;

  /// Writes one sample: `rows[i]` has room for arrays()[i].bytes() bytes, which hold the row of another sample before. The result
  /// depends on `sample` and `key` alone (key.view is 0), so that neither threads nor ranks change it. Adds the decoder's warnings to
  /// `report`. Throws Error for a sample that cannot be used, which the loader then replaces by another one.
  virtual void operator()(const RawSample& sample, const augment::ViewKey& key, std::span<void* const> rows,
                          augment::DecodeReport& report) const = 0;

  /// All settings that decide what it writes: a run goes on from a checkpoint only with the same.
  virtual nlohmann::json to_json() const = 0;
};

/// Views of images: arrays "view.0", "view.1", ... in the order of MultiCrop, float32, channels x height x width.
class ImageViews : public SampleTransform {
 public:
  /// Throws UsageError without views.
  explicit ImageViews(augment::MultiCrop views, augment::DecodeOptions decode = {});

  const augment::MultiCrop& views() const { return views_; }
  const augment::DecodeOptions& decode() const { return decode_; }

  const std::vector<ArraySpec>& arrays() const override { return arrays_; }
  void operator()(const RawSample& image, const augment::ViewKey& key, std::span<void* const> rows,
                  augment::DecodeReport& report) const override;
  nlohmann::json to_json() const override { return views_.to_json(); }

 private:
  augment::MultiCrop views_;
  augment::DecodeOptions decode_;
  std::vector<ArraySpec> arrays_;
};

}  // namespace unlabel::data
