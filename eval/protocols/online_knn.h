#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/eval/features.h>
#include <unlabel/eval/protocols/knn.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::eval {

/// What the online kNN of pretraining measures with.
struct OnlineKnnOptions {
  std::int64_t train_images = 10000;  ///< at most so many, drawn once
  std::int64_t test_images = 2000;    ///< at most so many, drawn once
  KnnOptions knn;                     ///< protocol and device
  FeatureOptions features;            ///< batch, threads, precision and device
};

/// Throws UsageError for values that no data can be measured with.
void require_valid(const OnlineKnnOptions& options);

/// kNN accuracy of an encoder that is still in training, on a fixed subset of the images; cheap enough for every epoch.
/// The figure is to be compared with itself over time: fewer neighbors to choose from make it lower than `unlabel knn`
/// on everything.
///
/// Measuring leaves modules in their modes, and global random state and gradients untouched.
class OnlineKnn {
 public:
  /// Throws UsageError when either set is unlabeled or empty, the view is not one, or the classes do not meet.
  OnlineKnn(std::shared_ptr<const data::Dataset> train, std::shared_ptr<const data::Dataset> test,
            augment::MultiCrop view, OnlineKnnOptions options = {});

  /// Of the encoder's arithmetic: float32, bf16 or fp16.
  void use_precision(const std::string& precision) { options_.features.precision = precision; }

  /// Every rank must call it. The same result on all of them.
  KnnResult operator()(ssl::Encoder& encoder, const ssl::Group& group) const;

  /// What the figure is not of: test images of classes that training lacks.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::shared_ptr<const data::Dataset> train_, test_;
  augment::MultiCrop view_;
  OnlineKnnOptions options_;
  std::vector<std::int64_t> train_samples_, test_samples_;
  std::vector<std::string> warnings_;
};

}  // namespace unlabel::eval
