#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// The position in training. An iteration is one update of the weights, with one global batch.
struct Step {
  std::int64_t iteration = 0;         ///< number of the update in the run, from 0
  std::int64_t epoch = 0;             ///< number of the pass over the data, from 0
  std::int64_t total_iterations = 0;  ///< length of the whole run, which the schedules span
  std::int64_t steps_per_epoch = 0;   ///< iterations in one epoch
  int micro_step = 0;                 ///< gradient accumulation: 0, 1, ... micro_steps - 1 within the iteration
  int micro_steps = 1;                ///< micro-batches in one iteration
  at::Tensor
      update_applied{};  ///< in after_step: a bool scalar on the device; false if the update was undone because it was not finite
};

/// Named values for the log: scalar tensors, detached.
using Diagnostics = std::vector<std::pair<std::string, at::Tensor>>;

/// Parameters that share optimizer settings. Settings that are not set are those of the run.
struct ParameterGroup {
  std::vector<at::Tensor> parameters;
  std::vector<std::string> names;      ///< names of the parameters in named_parameters()
  double lr_scale = 1;                 ///< factor of the scheduled learning rate
  std::optional<double> lr;            ///< a constant learning rate, instead of the scheduled one
  std::optional<double> momentum;      ///< instead of the run's (sgd, lars, larc)
  std::optional<double> weight_decay;  ///< instead of the run's
  bool adapt = true;                   ///< lars, larc: false uses the plain learning rate (BYOL: biases and norms)
};

/// Networks that are trained by gradients, with all state that a checkpoint contains: a Method, which learns from batches of a data set, or
/// a reinforcement-learning agent with a training loop of its own. Optimizer, StepGuard, TrainingState and DataParallel work on it.
///
/// Each iteration: forward and backward pass, before_update, optimizer, after_step.
///
/// All state from which training resumes must be a registered parameter or buffer, equal on every rank, so that one checkpoint contains it
/// and any number of ranks can load it; or, if its size grows with the data, be in per_sample_state(). Parameters must be written in place,
/// never replaced by other tensors.
struct Trainable : torch::nn::Module {
  using torch::nn::Module::Module;

  /// Called when the gradients are complete and averaged over ranks. SwAV: drops the prototypes' gradient while they are frozen.
  virtual void before_update(const Step&) {}
  virtual void after_step(const Step&) {}  ///< Called after the optimizer. BYOL: updates the momentum target.

  /// All parameters that require gradients, each in exactly one group. By default one group with the run's settings.
  virtual std::vector<ParameterGroup> parameter_groups();

  /// State whose size grows with the data (memory banks, cluster assignments, a replay buffer): complete, on the CPU, in an order that does
  /// not depend on the number of ranks. Between calls each rank may keep only its part. Unlike buffers it is neither moved to the device
  /// nor copied in each step. Collective: every rank calls it; only rank 0's result is saved.
  virtual std::vector<std::pair<std::string, at::Tensor>> per_sample_state() { return {}; }
  /// Size of per_sample_state() in bytes, from the start of the run on, to check that the disk has space for a checkpoint. Not collective.
  virtual std::int64_t per_sample_state_bytes() const { return 0; }
  /// Loads the result of per_sample_state(), saved with any number of ranks. Throws MismatchError if it does not fit.
  virtual void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>&) {}

  /// Modules that are used but neither trained nor saved, such as a teacher. Hold them in a plain member and do not register them, so that
  /// they are in no parameter group, checkpoint or broadcast. A run moves them to its device, floating-point type and memory format, puts
  /// them into eval mode without gradients, and resumes only if their weights are unchanged (frozen_checksum).
  virtual std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules() { return {}; }
};

/// A checksum of the names, types, shapes and values of all parameters and buffers of `modules`; 0 if there are no modules.
std::uint64_t frozen_checksum(const std::vector<std::shared_ptr<torch::nn::Module>>& modules);

}  // namespace unlabel::ssl
