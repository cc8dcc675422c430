#pragma once

#include <unlabel/augment/transforms/presets.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace unlabel::augment {

/// How far apart images are, in their unit (here levels of 0 to 255), over many of them.
class Distances {
 public:
  /// Two more images.
  void add(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double apart = std::abs(a[i] - b[i]);
      sum += apart;
      ++bins_[static_cast<std::size_t>(std::min(apart, kMost) * kBinsPerLevel + 0.5)];
      greatest_ = std::max(greatest_, apart);
    }
    values_ += static_cast<std::int64_t>(a.size());
    ++images_;
    sum_ += sum / static_cast<double>(a.size());
    worst_ = std::max(worst_, sum / static_cast<double>(a.size()));
  }

  int images() const { return images_; }
  /// Of the images' means.
  double mean() const { return sum_ / images_; }
  /// The greatest of the images' means.
  double worst() const { return worst_; }
  /// The greatest of all values.
  double greatest() const { return greatest_; }
  /// At or below which a share of all values of all images lies, to 1/64.
  double quantile(double share) const {
    auto left = static_cast<std::int64_t>(std::ceil(share * static_cast<double>(values_)));
    std::size_t bin = 0;
    while (bin + 1 < bins_.size() && (left -= bins_[bin]) > 0) ++bin;
    return static_cast<double>(bin) / kBinsPerLevel;
  }

 private:
  static constexpr double kMost = 1024;
  static constexpr int kBinsPerLevel = 64;
  std::vector<std::int64_t> bins_ = std::vector<std::int64_t>(static_cast<std::size_t>(kMost) * kBinsPerLevel + 1);
  std::int64_t values_ = 0;
  int images_ = 0;
  double sum_ = 0, worst_ = 0, greatest_ = 0;
};

/// A view's floats as levels of 0 to 255: without the normalization that the pipeline ends in.
inline void to_levels(const Pipeline& pipeline, std::span<float> view) {
  const Normalize* normalize = find_normalize(pipeline);
  const std::size_t plane = view.size() / 3;
  for (std::size_t i = 0; i < view.size(); ++i) {
    const double value =
        normalize ? view[i] * normalize->std[i / plane] + normalize->mean[i / plane] : static_cast<double>(view[i]);
    view[i] = static_cast<float>(255 * value);
  }
}

}  // namespace unlabel::augment
