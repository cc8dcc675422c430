#pragma once

#include <unlabel/ssl/group.h>

#include <torch/nn/module.h>

#include <memory>

namespace unlabel::launch {

struct DataParallelOptions {
  double bucket_megabytes = 25;  ///< gradients are averaged in buckets of about this size (DistributedDataParallel: 25)
  bool find_unused_parameters = false;  ///< allow parameters that the loss does not depend on
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
/// The module may be called several times in one forward pass. The constructor copies rank 0's parameters and buffers to all ranks.
/// Parameters must not be replaced afterwards (write to them in place), and in each step the loss must depend on the same parameters on
/// every rank. With a group of one process, backward() is plain `loss.backward()`.
///
/// Buckets are fixed from the start, last parameter first, so that every step adds in the same order, also after a resume
/// (DistributedDataParallel rebuilds its buckets after the first step).
class DataParallel {
 public:
  DataParallel(torch::nn::Module& module, std::shared_ptr<const ssl::Group> group,
               const DataParallelOptions& options = {});
  ~DataParallel();
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// To be called before each forward pass. If `synchronize` is false, gradients are not averaged and accumulate on this rank: for all
  /// micro-steps of gradient accumulation but the last.
  void before_forward(bool synchronize = true);

  /// Runs the backward pass of `loss`, a scalar. After a synchronized pass, `grad` is the average over the ranks of everything accumulated
  /// since the gradients were last cleared. Throws Error with the name of a parameter that got no gradient (unless
  /// find_unused_parameters), and ssl::LostRankError when another rank has stopped.
  void backward(const at::Tensor& loss);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace unlabel::launch
