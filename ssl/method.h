#pragma once

#include <unlabel/augment/transforms/multi_crop.h>
#include <unlabel/data/dataset.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/models/encoder.h>
#include <unlabel/ssl/monitor/collapse.h>

#include <torch/nn/module.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// One micro-batch as a method sees it, on the device of training. n is this rank's number of samples.
struct Views {
  std::vector<at::Tensor> crops;  ///< per view: n x C x H x W, float32; global crops first
  at::Tensor indices;             ///< n, int64: positions in the data set
};

/// What a method is made for.
struct MethodContext {
  EncoderOptions encoder{};       ///< what networks to build: make_encoder(context.encoder)
  std::int64_t images = 0;        ///< in the data set
  std::int64_t global_batch = 0;  ///< samples an iteration, over all ranks and micro-batches
  std::int64_t micro_batch = 0;   ///< samples that a rank takes at once; 0: its whole share of the batch
  std::uint64_t seed = 0;         ///< of what the method draws itself
  std::shared_ptr<const Group> group = single_process();

  /// Samples in one forward pass of this rank.
  std::int64_t local_micro_batch() const {
    return micro_batch > 0 ? micro_batch : std::max<std::int64_t>(1, global_batch / group->world_size());
  }
};

/// Where training stands. An iteration is one update of the weights, over one global batch.
struct Step {
  std::int64_t iteration = 0;         ///< counts updates over the whole run, from 0
  std::int64_t epoch = 0;             ///< counts passes over the data, from 0
  std::int64_t total_iterations = 0;  ///< length of the whole run, which the schedules span
  std::int64_t steps_per_epoch = 0;   ///< iterations an epoch
  int micro_step = 0;                 ///< accumulation: 0, 1, ... micro_steps - 1 within the iteration
  int micro_steps = 1;
  at::Tensor
      update_applied{};  ///< in after_step: a bool scalar on the device, false when this update is about to be taken back
};

/// Named scalars for the log, detached.
using Diagnostics = std::vector<std::pair<std::string, at::Tensor>>;

/// The start of a pass over the data, and the data itself, for methods that look at all of it then.
struct Epoch {
  std::int64_t epoch = 0;
  const data::Dataset* dataset = nullptr;
  const augment::MultiCrop* views = nullptr;  ///< those of training
  /// Makes views of this rank's samples, drawn for this pass (others than those that the epoch trains on), in their order and in batches
  /// of at most `batch`, on the device of training and in the run's precision. Every rank must call it, with as many samples; `visit` may
  /// make collectives.
  std::function<void(const augment::MultiCrop& views, const std::vector<std::int64_t>& samples, std::int64_t batch,
                     const std::function<void(const Views&)>& visit)>
      read;
};

/// A loss to differentiate, and what else is worth a line in the log.
struct Loss {
  at::Tensor value;         ///< scalar: the mean over this rank's samples
  Diagnostics diagnostics;  ///< averaged over ranks before they are logged
  at::Tensor
      embeddings;  ///< n x d, detached: those of the first views, which are watched for collapse; may be undefined
};

/// Parameters that share optimizer settings. What is unset is the run's.
struct ParameterGroup {
  std::vector<at::Tensor> parameters;
  std::vector<std::string> names;      ///< of the parameters, as named_parameters() has them
  double lr_scale = 1;                 ///< times the scheduled learning rate
  std::optional<double> lr;            ///< a rate of its own, whatever the schedule says
  std::optional<double> momentum;      ///< instead of the run's (sgd, lars, larc)
  std::optional<double> weight_decay;  ///< instead of the run's
  bool adapt = true;                   ///< LARS: false takes the plain learning rate (BYOL: biases and norms)
};

/// A way of learning without labels: a network, a loss and its rules. One .h and .cpp pair a method, beside its paper.
///
/// The loop calls, for each epoch and each iteration in it:
///
///     before_epoch, order;  for each iteration: before_step; before_micro_steps, when there are several;
///                                        for each micro-batch: loss, backward;  before_update; optimizer; after_step
///
/// Everything that a run needs to go on is a registered parameter or buffer, in *global* order (the same on every rank), so that one
/// checkpoint holds it and another world size can load it; or, where it grows with the data, in per_sample_state(). Parameters are never
/// replaced, only written in place. The encoder is registered as `backbone`, where evaluation looks for it.
struct Method : torch::nn::Module {
  using torch::nn::Module::Module;

  /// Forward pass and loss of one micro-batch.
  virtual Loss loss(const Views& views, const Step& step) = 0;

  /// Throws UsageError when the method cannot learn from such views. Asked before a run leaves anything behind (require_views).
  virtual void check_views(const augment::MultiCrop&) const {}

  /// DeepCluster: new assignments. What it returns goes into the log with the epoch's first step.
  virtual Diagnostics before_epoch(const Epoch&) { return {}; }
  virtual void before_step(const Step&) {}  ///< SwAV: normalize the prototypes
  /// SwAV: assignments of a whole batch. `micro_batch(i)` makes this rank's i-th, as `loss` gets it later.
  virtual void before_micro_steps(const std::function<Views(int)>& micro_batch, const Step&) { (void)micro_batch; }
  virtual void before_update(const Step&) {}  ///< gradients are there and averaged. SwAV: hold the prototypes still
  virtual void after_step(const Step&) {}     ///< BYOL: move the target

  /// All parameters that require gradients, each in exactly one group. By default one group with the run's settings.
  virtual std::vector<ParameterGroup> parameter_groups();

  /// An order of samples of the method's own for this epoch; nullopt: the keyed permutation. Asked again by a run that goes on.
  virtual std::optional<std::vector<std::int64_t>> order(const Epoch&) { return std::nullopt; }

  /// What grows with the data (memory banks, assignments): whole, in global order, on the CPU; each rank may keep but its part. It is
  /// neither moved nor copied in each step, as buffers are. Every rank must call it; only rank 0's answer counts.
  virtual std::vector<std::pair<std::string, at::Tensor>> per_sample_state() { return {}; }
  /// The size of that, in bytes, from the start on: how much room a checkpoint needs. Nothing is gathered for it.
  virtual std::int64_t per_sample_state_bytes() const { return 0; }
  /// Takes back what per_sample_state() gave, on any number of ranks. Throws MismatchError when it does not fit.
  virtual void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>&) {}

  /// What is not the same when micro-batches of `samples` images (over all ranks) make up an update, beside batch statistics: a clause
  /// for the log. Empty: nothing.
  virtual std::string accumulation_note(std::int64_t samples) const {
    (void)samples;
    return "";
  }

  /// What tells that the method has stopped learning, by the names of diagnostics, "loss", "feature_spread" and "effective_rank"
  /// (embedding_stats.h). By default nothing.
  virtual std::vector<CollapseCheck> collapse_checks() const { return {}; }

  /// What evaluation and export take.
  virtual Encoder& encoder() = 0;
};

/// Throws UsageError when the method cannot learn from such views, or its encoder cannot take them.
void require_views(Method& method, const augment::MultiCrop& views);

}  // namespace unlabel::ssl
