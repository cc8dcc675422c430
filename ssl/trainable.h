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

/// Where training is. An iteration is one update of the weights, over one global batch.
struct Step {
  std::int64_t iteration = 0;         ///< counts updates over the whole run, from 0
  std::int64_t epoch = 0;             ///< counts passes over the data, from 0
  std::int64_t total_iterations = 0;  ///< length of the whole run, which the schedules span
  std::int64_t steps_per_epoch = 0;   ///< iterations an epoch
  int micro_step = 0;                 ///< accumulation: 0, 1, ... micro_steps - 1 within the iteration
  int micro_steps = 1;
  at::Tensor
      update_applied{};  ///< in after_step: a bool scalar on the device, false where the update is undone as it was not finite
};

/// Named scalars for the log, detached.
using Diagnostics = std::vector<std::pair<std::string, at::Tensor>>;

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

/// Networks that learn by gradients, with all state that a checkpoint holds: a Method, which learns from batches of a data set, or an agent
/// with a loop of its own. Optimizer, StepGuard, TrainingState and DataParallel take one.
///
/// Each iteration: forward and backward, before_update, optimizer, after_step.
///
/// Everything that training needs to go on from is a registered parameter or buffer, in *global* order (the same on every rank), so that
/// one checkpoint holds it and another world size can load it; or, where it grows with the data, in per_sample_state(). Parameters are
/// never replaced, only written in place.
struct Trainable : torch::nn::Module {
  using torch::nn::Module::Module;

  virtual void before_update(const Step&) {
  }  ///< gradients are there and averaged over ranks. SwAV: freezes the prototypes at first
  virtual void after_step(const Step&) {}  ///< BYOL: updates the momentum target

  /// All parameters that require gradients, each in exactly one group. By default one group with the run's settings.
  virtual std::vector<ParameterGroup> parameter_groups();

  /// State that grows with the data (memory banks, assignments, a replay buffer): whole, in global order, on the CPU; each rank may keep
  /// only its part between calls. Unlike buffers it is neither moved to the device nor copied in each step. Collective: every rank calls
  /// it; only rank 0's result is saved.
  virtual std::vector<std::pair<std::string, at::Tensor>> per_sample_state() { return {}; }
  /// Its size in bytes, known from the start: how much disk space a checkpoint needs. Not collective.
  virtual std::int64_t per_sample_state_bytes() const { return 0; }
  /// Loads what per_sample_state() gave, on any number of ranks. Throws MismatchError when it does not fit.
  virtual void load_per_sample_state(const std::vector<std::pair<std::string, at::Tensor>>&) {}

  /// Modules that are used but neither trained nor saved, such as a teacher: held by a plain member, not registered, so that they are in no
  /// parameter group, no checkpoint and no broadcast. A run moves them to its device, number type and memory layout, puts them into eval
  /// mode without gradients, and resumes only with the same weights in them (frozen_checksum).
  virtual std::vector<std::shared_ptr<torch::nn::Module>> frozen_modules() { return {}; }
};

/// A checksum of the parameters and buffers of modules: names, types, shapes and values. 0 when there are no modules.
std::uint64_t frozen_checksum(const std::vector<std::shared_ptr<torch::nn::Module>>& modules);

}  // namespace unlabel::ssl
