#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/collate.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/sample_transform.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/monitor/collapse.h>
#include <unlabel/ssl/trainable.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// One micro-batch as a method sees it, on the device of training: n samples of this rank, floating-point tensors in the run's type.
using data::Batch;

/// What a method is made for.
struct MethodContext {
  EncoderOptions encoder{};       ///< what networks to build: make_encoder(context.encoder)
  std::int64_t images = 0;        ///< in the data set
  std::int64_t global_batch = 0;  ///< samples an iteration, over all ranks and micro-batches
  std::int64_t micro_batch = 0;   ///< samples in one forward pass of a rank; 0: its whole share of the batch
  std::uint64_t seed = 0;         ///< of what the method draws itself
  std::shared_ptr<const Group> group = single_process();

  /// Samples in one forward pass of this rank.
  std::int64_t local_micro_batch() const {
    return micro_batch > 0 ? micro_batch : std::max<std::int64_t>(1, global_batch / group->world_size());
  }
};

/// The start of a pass over the data, with access to the data set, for methods that use all of it then.
struct Epoch {
  std::int64_t epoch = 0;
  const data::Dataset* dataset = nullptr;
  const data::SampleTransform* transform = nullptr;  ///< that of training; image_views() of images
  /// Reads this rank's `samples` in their order, transformed under keys that no training step of this epoch uses, in batches of at most
  /// `batch`, on the device of training and in the run's precision. Collective: every rank calls it with the same number of samples;
  /// `visit` may make collectives.
  std::function<void(const data::SampleTransform& transform, const std::vector<std::int64_t>& samples,
                     std::int64_t batch, const std::function<void(const Batch&)>& visit)>
      read;

  /// The transform of training as views of images. Throws Error when the data are no images.
  const data::ImageViews& image_views() const;
};

/// A loss to differentiate, and what else is worth a line in the log.
struct Loss {
  at::Tensor value;         ///< scalar: the mean over this rank's samples
  Diagnostics diagnostics;  ///< averaged over ranks before they are logged
  at::Tensor
      embeddings;  ///< n x d, detached: those of the first views, which are watched for collapse; may be undefined
};

/// A way of learning without labels from batches of a data set: networks, a loss and its rules. One .h and .cpp pair a method, named after
/// its paper.
///
/// The training loop calls, for each epoch and each iteration in it:
///
///     before_epoch, order;  for each iteration: before_step; before_micro_steps, when there are several;
///                                        for each micro-batch: loss, backward;  before_update; optimizer; after_step
///
/// The encoder is registered as `backbone`, where evaluation looks for it. Every rank must give the same diagnostics, by name, in each
/// step.
struct Method : Trainable {
  using Trainable::Trainable;

  /// Forward pass and loss of one micro-batch.
  virtual Loss loss(const Batch& batch, const Step& step) = 0;

  /// Throws UsageError when the method cannot learn from such views of images. Called at set-up, before anything is written
  /// (require_views).
  virtual void check_views(const augment::MultiCrop&) const {}

  /// DeepCluster: new assignments. What it returns goes into the log with the epoch's first step.
  virtual Diagnostics before_epoch(const Epoch&) { return {}; }
  virtual void before_step(const Step&) {}  ///< SwAV: normalizes the prototypes
  /// SwAV: assignments of a whole batch. `micro_batch(i)` makes this rank's i-th, as `loss` gets it later.
  virtual void before_micro_steps(const std::function<Batch(int)>& micro_batch, const Step&) { (void)micro_batch; }

  /// An order of samples of the method's own for this epoch; nullopt: the keyed permutation. Called again when a run resumes.
  virtual std::optional<std::vector<std::int64_t>> order(const Epoch&) { return std::nullopt; }

  /// A clause for the log: what changes, beside batch statistics, when micro-batches of `samples` images (over all ranks) make up an
  /// update. Empty: nothing.
  virtual std::string accumulation_note(std::int64_t samples) const {
    (void)samples;
    return "";
  }

  /// Signs that the method has stopped learning, by the names of diagnostics, "loss", "feature_spread" and "effective_rank"
  /// (embedding_stats.h). By default none.
  virtual std::vector<CollapseCheck> collapse_checks() const { return {}; }

  /// What evaluation and export take.
  virtual Encoder& encoder() = 0;
};

/// Throws UsageError when the method cannot learn from such views, or its encoder cannot take them.
void require_views(Method& method, const augment::MultiCrop& views);

}  // namespace unlabel::ssl
