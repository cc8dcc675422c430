#pragma once

#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/trainable.h>

#include <functional>
#include <vector>

namespace unlabel::launch {

/// Skips a step whose loss or gradients are not finite: afterwards weights, optimizer state and buffers (batch-norm statistics, queues,
/// target networks) are as before the step. `finite`, whether the loss over all ranks (StepStatsReduction::loss()) and the averaged
/// gradients are finite, must be the same on every rank.
///
///     guard.before_forward();
///     ... forward, backward ...
///     guard.update(finite, [&] { optimizer.step(lr); method.after_step(step); });
class StepGuard {
 public:
  /// `deferred`, for GPUs: the update is always made, and undone on the device if `finite` is false, so that the host never waits for
  /// `finite`. This copies weights and optimizer state in each step and needs memory for the copies. Otherwise, for CPUs, the host reads
  /// `finite` and makes no update if it is false; only buffers are copied.
  /// Keeps references to the tensors of module and optimizer, which must not be replaced afterwards.
  StepGuard(torch::nn::Module& module, const ssl::Optimizer& optimizer, bool deferred);

  /// Saves the buffers. To be called in each step before anything changes a buffer.
  void before_forward();

  /// Restores the buffers to their state at before_forward(), when a step ends by an exception, before update().
  void restore_buffers();

  /// If `finite`, a bool scalar on the device, is true, calls `update`. If it is false, everything is as at before_forward() afterwards:
  /// buffers are restored, and `update` is not called, or when deferred called and undone.
  void update(const at::Tensor& finite, const std::function<void()>& update);

 private:
  bool deferred_;
  std::vector<at::Tensor> buffers_, saved_buffers_;  ///< of the module; changed by forward passes
  std::vector<at::Tensor> state_, saved_state_;      ///< parameters and optimizer state; saved only when deferred
};

}  // namespace unlabel::launch
