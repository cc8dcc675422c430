#pragma once

#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/trainable.h>

#include <functional>
#include <vector>

namespace unlabel::launch {

/// Leaves a step out whose loss or gradients are not finite: afterwards all is as it was before the step (weights, optimizer,
/// batch-norm statistics, queues, targets). Every rank must come to the same verdict; see exchange() in step_stats.h.
///
///     guard.before_forward();
///     ... forward, backward ...
///     guard.update(finite, [&] { optimizer.step(lr); method.after_step(step); });
class StepGuard {
 public:
  /// `deferred`: the verdict stays on the device, which takes or drops the update without the host waiting for it. This costs a copy
  /// of weights and optimizer state a step, and their memory. Otherwise the host reads the verdict, as is best on a CPU, and makes no
  /// update at all; the copy is then of the buffers only. Refers to module and optimizer, whose tensors must stay in place.
  StepGuard(torch::nn::Module& module, const ssl::Optimizer& optimizer, bool deferred);

  /// Before anything changes a buffer.
  void before_forward();

  /// The buffers as they were at before_forward.
  void restore_buffers();

  /// `finite`: a bool scalar on the device. Updates by `update`, unless it is false.
  void update(const at::Tensor& finite, const std::function<void()>& update);

 private:
  bool deferred_;
  std::vector<at::Tensor> buffers_, saved_buffers_;  ///< what a forward pass changes
  std::vector<at::Tensor> state_, saved_state_;      ///< what an update changes; saved only when deferred
};

}  // namespace unlabel::launch
