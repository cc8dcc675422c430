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

/// One micro-batch: n samples of this rank, on the device of training. Floating-point tensors are float32, or float64 with --precision
/// float64; with bf16 and fp16 the loop calls the method under autocast.
using data::Batch;

/// Settings of the run from which a method is constructed.
struct MethodContext {
  EncoderOptions encoder{};       ///< options of the encoder to build: make_encoder(context.encoder)
  std::int64_t images = 0;        ///< number of samples in the data set
  std::int64_t global_batch = 0;  ///< samples in one iteration, over all ranks and micro-batches
  std::int64_t micro_batch = 0;   ///< samples in one forward pass of a rank; 0: all of its samples of the batch
  std::uint64_t seed = 0;         ///< for random numbers that the method draws itself
  std::shared_ptr<const Group> group = single_process();  ///< all ranks of the run

  /// Samples in one forward pass of this rank.
  std::int64_t local_micro_batch() const {
    return micro_batch > 0 ? micro_batch : std::max<std::int64_t>(1, global_batch / group->world_size());
  }
};

/// What a method is given at the start of an epoch: access to the data set, for methods that then process all samples (clustering).
struct EpochContext {
  std::int64_t epoch = 0;  ///< from 0
  const data::Dataset* dataset = nullptr;
  const data::SampleTransform* transform = nullptr;  ///< that of training; for images see image_views()
  /// Reads these samples (indices into the data set, this rank's) in this order and transforms them with random augmentations that differ
  /// from those of training. Calls `visit` with batches of at most `batch` samples, on the device of training, under autocast as in
  /// training. Collective: every rank calls it with the same number of samples; `visit` may make collectives.
  std::function<void(const data::SampleTransform& transform, const std::vector<std::int64_t>& samples,
                     std::int64_t batch, const std::function<void(const Batch&)>& visit)>
      read;

  /// The transform of training as views of images. Throws Error if the samples are not images.
  const data::ImageViews& image_views() const;
};

/// The loss of one micro-batch, and values for the log.
struct Loss {
  at::Tensor value;         ///< scalar to differentiate: the mean over this rank's samples
  Diagnostics diagnostics;  ///< averaged over ranks before they are logged
  at::Tensor
      embeddings;  ///< n x d, detached: embeddings of the first views, to detect collapse (embedding_stats.h); may be undefined
};

/// A self-supervised learning method: its networks, its loss, and the updates around the optimizer step.
///
/// An iteration, or step, is one update by the optimizer. The training loop calls, in each epoch:
///
///     before_epoch, order
///     for each iteration:
///       before_step
///       before_micro_batches                 (only if there are several micro-batches)
///       for each micro-batch: loss, backward
///       before_update, optimizer, after_step
///
/// The encoder must be registered as `backbone`, the name under which evaluation finds it. In each step every rank must return diagnostics
/// with the same names.
struct Method : Trainable {
  using Trainable::Trainable;

  /// Forward pass and loss of one micro-batch.
  virtual Loss loss(const Batch& batch, const Step& step) = 0;

  /// Throws UsageError if the method cannot learn from such views of images. Called at set-up, before anything is written
  /// (require_views).
  virtual void check_views(const augment::MultiCrop&) const {}

  /// Called at the start of an epoch. DeepCluster: clusters all samples. The result is logged with the first step of the epoch, under
  /// other names than the fields of every step (step, epoch, loss, lr, images_per_second, data_wait).
  virtual Diagnostics before_epoch(const EpochContext&) { return {}; }
  virtual void before_step(const Step&) {}  ///< Called before the forward passes. SwAV: normalizes the prototypes.
  /// Called before the micro-batches of a step if there are several. SwAV with whole_batch_sinkhorn: computes the assignments of the whole
  /// batch. `micro_batch(i)` returns this rank's i-th micro-batch, the one that `loss` gets later.
  virtual void before_micro_batches(const std::function<Batch(int)>& micro_batch, const Step&) { (void)micro_batch; }

  /// The indices of the samples of this epoch in the order of training, the same on every rank; nullopt: the sampler's random permutation.
  /// When a run resumes within an epoch, this is called again, and before_epoch is not: the order must follow from the checkpoint's state.
  virtual std::optional<std::vector<std::int64_t>> order(const EpochContext&) { return std::nullopt; }

  /// A clause for the log that says how gradient accumulation changes the method, besides batch statistics, if a micro-batch has `samples`
  /// images (over all ranks). Empty: it does not.
  virtual std::string accumulation_note(std::int64_t samples) const {
    (void)samples;
    return "";
  }

  /// Limits for logged values: the method's diagnostics, "loss", "feature_spread" and "effective_rank" (embedding_stats.h). A value beyond
  /// its limit means that the method has collapsed. By default none.
  virtual std::vector<CollapseCheck> collapse_checks() const { return {}; }

  /// The network that evaluation and export use.
  virtual Encoder& encoder() = 0;
};

/// Throws UsageError if the method cannot learn from such views or its encoder cannot take their sizes.
void require_views(Method& method, const augment::MultiCrop& views);

}  // namespace unlabel::ssl
