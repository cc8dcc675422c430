#pragma once

#include <unlabel/eval/protocol.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::eval {

struct OnlineKnnOptions {
  std::int64_t train_images = 10000;  ///< maximum, drawn once
  std::int64_t test_images = 2000;    ///< maximum, drawn once
  FeatureOptions features;            ///< batch, threads, precision and device
};

/// Throws UsageError for values that no data can be measured with.
void require_valid(const OnlineKnnOptions& options);

/// kNN accuracy of an encoder that is still in training, on a fixed subset of the images; cheap enough for every epoch.
/// It is lower than that of `unlabel knn` on all images, as there are fewer neighbors: compare it with itself over time.
///
/// Measuring leaves modules in their modes, and global random state and gradients untouched.
class OnlineKnn {
 public:
  /// `protocol` runs on features, with its default options. Throws UsageError when either set is unlabeled or empty, the view is not one,
  /// or no test class has training images.
  OnlineKnn(std::shared_ptr<const data::Dataset> train, std::shared_ptr<const data::Dataset> test,
            augment::MultiCrop view, ProtocolSpec protocol, OnlineKnnOptions options = {});

  /// Of the encoder's arithmetic: float32, bf16 or fp16.
  void use_precision(const std::string& precision) { options_.features.precision = precision; }

  /// Every rank must call it. The same result on all of them.
  Report operator()(ssl::Encoder& encoder, const ssl::Group& group) const;

  /// That test images of classes without training images count as wrong.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::shared_ptr<const data::Dataset> train_, test_;
  augment::MultiCrop view_;
  ProtocolSpec protocol_;
  OnlineKnnOptions options_;
  std::vector<std::int64_t> train_samples_, test_samples_;
  std::vector<std::string> warnings_;
};

}  // namespace unlabel::eval
