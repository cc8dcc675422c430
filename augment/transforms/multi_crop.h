#pragma once

#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/transforms/pipeline.h>

#include <nlohmann/json.hpp>

#include <span>
#include <string>
#include <vector>

namespace unlabel::augment {

/// Several views of one image, in groups with a pipeline each (Caron et al. 2020, arXiv:2006.09882, section 3.3).
/// The image is decoded once for all of them. Views are numbered in the order of the groups; in the presets global crops come first.
///
/// Where every pipeline can be fused (fused_view.h) and the machine has vector instructions, views are made by the fused SIMD code.
/// Otherwise, or with `exact`, they are made by Pipeline::apply, which is bit-equal to torchvision on 8-bit PIL images, with the exceptions
/// in docs/augment.md.
class MultiCrop {
 public:
  struct Group {
    int count = 1;      ///< views drawn by this pipeline
    Pipeline pipeline;  ///< must end in an output of fixed size
  };

  MultiCrop() = default;
  explicit MultiCrop(std::vector<Group> groups, bool exact = false);

  /// {"views": [{"count": 2, "pipeline": [...]}, ...], "exact": false}. Throws UsageError that names the transform at fault.
  static MultiCrop from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;

  const std::vector<Group>& groups() const { return groups_; }
  bool exact() const { return exact_; }
  /// Whether views are made by vector instructions on this machine.
  bool fused() const;
  int views() const { return static_cast<int>(pipeline_of_view_.size()); }
  const Pipeline& pipeline(int view) const { return groups_[pipeline_of_view_[view]].pipeline; }
  /// Channels, height and width of a view.
  OutputShape shape(int view) const { return pipeline(view).output_shape(); }

  /// Decodes `source` and writes every view as float32 CHW: `out[v]` has room for `shape(v).size()` floats. `key.view`
  /// is ignored: view v is drawn with key {seed, epoch, sample, v}. Returns the warnings of decoding. Throws Error when the image
  /// cannot be decoded; `out` is then undefined.
  DecodeReport operator()(const ImageSource& source, const ViewKey& key, std::span<float* const> out,
                          const DecodeOptions& decode = {}) const;

  /// One view with given parameters (Pipeline::make_params): bit-equal to the view that was made with them.
  DecodeReport replay(const ImageSource& source, int view, std::span<const TransformParams> params, float* out,
                      const DecodeOptions& decode = {}) const;

 private:
  std::vector<Group> groups_;
  std::vector<int> pipeline_of_view_;
  bool exact_ = false;
  bool can_fuse_ = false;
};

}  // namespace unlabel::augment
