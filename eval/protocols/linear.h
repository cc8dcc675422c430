#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/eval/features.h>
#include <unlabel/eval/protocols/logistic.h>  // the linear protocol `features`
#include <unlabel/eval/targets.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace unlabel::eval {

/// Settings of the linear protocol `swav`. The defaults are the published ones.
struct LinearProbeOptions {
  std::int64_t epochs = 100;
  std::int64_t batch_size = 256;  ///< over all ranks; at most the training set
  double lr = 0.3;                ///< for a batch of 256; used times batch_size / 256
  double momentum = 0.9;
  double weight_decay = 1e-6;
  std::uint64_t seed = 0;  ///< of the first weights, the order and the augmentation
  FeatureOptions
      features;  ///< of training and test images alike: threads, precision, device, decoding; not in the table
};

OptionTable table(LinearProbeOptions& options);

/// Throws what linear_probe() would for these options, so that it is told before anything is read.
void require_valid(const LinearProbeOptions& options);

/// How an epoch of the probe went.
struct LinearProbeEpoch {
  std::int64_t epoch = 0;  ///< from 0
  double lr = 0;
  double loss = 0;            ///< cross-entropy, mean over the augmented training images while the weights changed
  double train_accuracy = 0;  ///< likewise
  double accuracy = 0;        ///< on the test set, after the epoch
  std::optional<double> accuracy_top5;
};

struct LinearProbeResult {
  double accuracy = 0;                  ///< of the best epoch on the test set: what SwAV reports
  std::optional<double> accuracy_top5;  ///< of that same epoch; only with more than 5 classes
  std::int64_t best_epoch = 0;          ///< from 0; the first of equal ones
  double last_accuracy = 0;             ///< after the last epoch: not chosen by looking at the test set
  std::optional<double> last_accuracy_top5;
  double last_loss = 0;  ///< LinearProbeEpoch::loss of the last epoch
  std::int64_t epochs = 0;
  std::int64_t batch_size = 0;  ///< as used
  double lr = 0;                ///< as used in the first epoch
  std::string protocol;         ///< "swav"; "custom" when a setting of the recipe was changed
  std::int64_t train_images = 0, test_images = 0;
  std::int64_t classes = 0;  ///< distinct classes among the training labels
  UnknownClasses unknown;    ///< test images that cannot be right
  std::int64_t tied = 0;     ///< test images whose first class only the order of the classes decided, in the best epoch
  augment::DecodeReport decoded{};  ///< what was noticed about the images
  double seconds = 0;
  at::Tensor class_labels;  ///< classes, int64
  at::Tensor weight, bias;  ///< classes x d and classes, after the last epoch
};

/// The linear protocol `swav`: one linear layer on the frozen, eval-mode encoder, trained on augmented images (Caron et
/// al. 2020, arXiv:2006.09882, appendix A, and its eval_linear).
///
/// The layer starts from N(0, 0.01^2) with bias 0 and is trained by cross-entropy and SGD with momentum (no Nesterov)
/// and weight decay on weight and bias. The learning rate of epoch e of E is lr (batch / 256) (1 + cos(pi e / E)) / 2:
/// it changes by epoch and goes to 0. Every epoch visits every training image once, in the keyed order of (seed,
/// epoch); the last batch may be smaller. After each epoch the test set is measured through `test_view`.
///
/// `train_view` and `test_view` have one view each (linear_train_view makes the first of the second; preset `eval`).
/// Ranks share each batch and sum gradients: the result is that of one rank up to the order of sums. The encoder and
/// the global random state are left as they were. `on_epoch`, if any, is called on every rank after each epoch.
///
/// A broken image ends the work on every rank with an Error that names it. Throws UsageError for unlabeled or empty
/// sets, for test classes of which training has none, and for settings out of range; features.broken must be "fail".
LinearProbeResult linear_probe(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> train,
                               std::shared_ptr<const data::Dataset> test, const augment::MultiCrop& train_view,
                               const augment::MultiCrop& test_view, const LinearProbeOptions& options,
                               const ssl::Group& group,
                               const std::function<void(const LinearProbeEpoch&)>& on_epoch = {});

/// The protocol's training view: RandomResizedCrop to a square (area .08-1), flip, and `test_view`'s normalization and
/// output size.
augment::MultiCrop linear_train_view(const augment::MultiCrop& test_view);

}  // namespace unlabel::eval
