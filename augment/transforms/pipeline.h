#pragma once

#include <unlabel/augment/random.h>
#include <unlabel/augment/transforms/transform.h>

#include <nlohmann/json.hpp>
#include <opencv2/core/mat.hpp>

#include <span>
#include <vector>

namespace unlabel::augment {

/// Channels, height and width of a pipeline's output; the output is float32 in CHW order.
struct OutputShape {
  int channels = 3;
  int height = 0;
  int width = 0;
  std::size_t size() const { return std::size_t(channels) * height * width; }
  bool operator==(const OutputShape&) const = default;
};

/// A list of transforms, which is read from JSON and written to JSON.
///
/// A view is made in two stages: `make_params` turns a key and an image's size into the parameters of every step, and `apply` applies the
/// steps with given parameters. So any view can be replayed exactly and described, and a faster implementation can fuse the steps as long
/// as it takes the same parameters (fused_view.h).
class Pipeline {
 public:
  Pipeline() = default;
  /// Throws UsageError when the steps do not fit together (no step that fixes the size, Normalize before color ...).
  explicit Pipeline(std::vector<Transform> steps);

  /// A JSON list of {"op": "RandomResizedCrop", "size": 224, "scale": [0.14, 1]} objects, named and defaulted as
  /// torchvision does.
  static Pipeline from_json(const nlohmann::json& json);
  nlohmann::json to_json() const;

  const std::vector<Transform>& steps() const { return steps_; }
  OutputShape output_shape() const { return output_; }

  /// The parameters of every step for one view of an image of that size: one entry a step.
  std::vector<TransformParams> make_params(cv::Size image, const ViewKey& key) const;
  /// The same into a vector that is reused.
  void make_params(cv::Size image, const ViewKey& key, std::vector<TransformParams>& params) const;

  /// Throws UsageError when the parameters are not of these steps, or out of range for an image of that size.
  void check(std::span<const TransformParams> params, cv::Size image) const;

  /// TransformParams parameters as a JSON list, one object a step that names its "op": for captions and for replay. Numbers come
  /// back bit-equal.
  nlohmann::json params_to_json(std::span<const TransformParams> params) const;
  std::vector<TransformParams> params_from_json(const nlohmann::json& json) const;

  /// Runs the steps on a CV_8UC3 RGB image and writes `output_shape().size()` floats, CHW.
  void apply(const cv::Mat& rgb, std::span<const TransformParams> params, float* out) const;

  /// make_params, then apply.
  void operator()(const cv::Mat& rgb, const ViewKey& key, float* out) const;

 private:
  std::vector<Transform> steps_;
  OutputShape output_;
};

}  // namespace unlabel::augment
