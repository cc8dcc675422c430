#pragma once

#include <unlabel/ssl/group.h>

#include <torch/nn/module.h>

#include <memory>

namespace unlabel::launch {

struct DataParallelOptions {
  double bucket_megabytes = 25;  ///< gradients are averaged in buckets of about this size (DistributedDataParallel: 25)
  bool find_unused_parameters = false;  ///< the loss need not reach every parameter
};

/// Data-parallel training of one module: what Python's DistributedDataParallel does, for LibTorch's C++ API, on the same engine
/// (c10d::Reducer: gradients are averaged in buckets while the backward pass is still running).
///
///     DataParallel parallel(*model, group);
///     for (...) {
///       optimizer.zero_grad();
///       parallel.before_forward();
///       auto loss = compute_loss(*model, batch);  // the mean over this rank's samples
///       parallel.backward(loss);                  // every rank now has the gradient of the mean over all samples
///       optimizer.step();
///     }
///
/// The module may be called several times in one forward pass. Construction copies rank 0's parameters and buffers to all ranks.
/// Parameters must not be replaced afterwards (write them in place), and each rank must reach the same parameters in each step.
/// With a group of one, backward() is plain `loss.backward()`.
///
/// Buckets are fixed from the start, last parameter first, so that every step sums in the same order, in a resumed run too
/// (DistributedDataParallel sorts them anew after its first step).
class DataParallel {
 public:
  DataParallel(torch::nn::Module& module, std::shared_ptr<const ssl::Group> group,
               const DataParallelOptions& options = {});
  ~DataParallel();
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// Announces a forward pass. With `synchronize` false, gradients stay on this rank and add up: the micro-steps of accumulation
  /// but the last.
  void before_forward(bool synchronize = true);

  /// Differentiates `loss`, a scalar. After a synchronized pass, `grad` is the average over ranks of everything accumulated since the
  /// gradients were last cleared. Throws Error, naming it, when a parameter got no gradient (unless find_unused_parameters), and
  /// ssl::LostRankError when a peer is gone.
  void backward(const at::Tensor& loss);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unlabel::launch
