#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/eval/protocol.h>

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
  double lr = 0.3;                ///< for a batch of 256; scaled by batch_size / 256
  double momentum = 0.9;
  double weight_decay = 1e-6;
  std::uint64_t seed = 0;   ///< of the initial weights, the order and the augmentation; not in the table
  FeatureOptions features;  ///< how training and test images are read and encoded; not in the table
};

OptionTable table(LinearProbeOptions& options);

/// Throws UsageError as linear_probe() does for these options, before anything is read.
void require_valid(const LinearProbeOptions& options);

/// One epoch of the probe.
struct LinearProbeEpoch {
  std::int64_t epoch = 0;  ///< from 0
  double lr = 0;
  double loss = 0;            ///< cross-entropy of the augmented training images, mean over the epoch's steps
  double train_accuracy = 0;  ///< of the same
  double accuracy = 0;        ///< on the test set, after the epoch
  std::optional<double> accuracy_top5;
};

/// `accuracy`, `accuracy_top5` and `tied` are of the epoch of highest test accuracy, which SwAV reports.
struct LinearProbeResult : ClassificationResult {
  std::int64_t best_epoch = 0;  ///< from 0; the first of equal ones
  double last_accuracy = 0;     ///< after the last epoch: not selected on the test set
  std::optional<double> last_accuracy_top5;
  double last_loss = 0;  ///< LinearProbeEpoch::loss of the last epoch
  std::int64_t epochs = 0;
  std::int64_t batch_size = 0;      ///< as used
  double lr = 0;                    ///< as used in the first epoch
  augment::DecodeReport decoded{};  ///< what decoding reported, over all ranks
  at::Tensor class_labels;          ///< classes, int64
  at::Tensor weight, bias;          ///< classes x d and classes, after the last epoch
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
/// Throws on every rank an Error that names a broken image; UsageError for unlabeled or empty sets, when no test class has training images,
/// and for settings out of range. features.broken must be "fail".
LinearProbeResult linear_probe(ssl::Encoder& encoder, std::shared_ptr<const data::Dataset> train,
                               std::shared_ptr<const data::Dataset> test, const augment::MultiCrop& train_view,
                               const augment::MultiCrop& test_view, const LinearProbeOptions& options,
                               const ssl::Group& group,
                               const std::function<void(const LinearProbeEpoch&)>& on_epoch = {});

/// The protocol's training view: RandomResizedCrop to a square (area .08-1), flip, and `test_view`'s normalization and
/// output size.
augment::MultiCrop linear_train_view(const augment::MultiCrop& test_view);

Report report(const LinearProbeResult& result);

ProtocolSpec linear_probe_protocol();

}  // namespace unlabel::eval
