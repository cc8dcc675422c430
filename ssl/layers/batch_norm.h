#pragma once

#include <unlabel/ssl/group.h>

#include <torch/nn/cloneable.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace unlabel::ssl {

struct BatchNormOptions {
  double eps = 1e-5;  ///< added to the variance
  double momentum =
      0.1;  ///< weight of the newest batch in the running statistics, as in PyTorch (Haiku's decay rate is 1 - momentum)
};

/// Batch normalization of n x C or n x C x H x W (Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1), over one rank
/// or several:
///
///     y = weight * (x - mean_c) / sqrt(var_c + eps) + bias
///
/// In training, the mean and the (biased) variance of channel c are taken over the rows and pixels of **all ranks of the group**, and the
/// running statistics move towards the mean and the unbiased variance. In evaluation the running statistics are used. In a group of one,
/// and in evaluation, this is torch::batch_norm; so the same network runs on one rank and on several. Parameters and buffers have PyTorch's
/// names: weight, bias, running_mean, running_var (C each) and num_batches_tracked (int64 scalar).
///
/// In a group of several ranks, forward makes one all_gather of each rank's [mean, variance] per channel (CPU: in float64; GPU: [mean, 1 /
/// sqrt(variance + eps)] in float32). They are combined by Chan, Golub & LeVeque 1979, eq. 2.1, which loses no digits when the mean is
/// large. The ranks' inputs must have the same shape. backward makes one all_reduce_sum of per-channel sums (CPU: [sum dy, sum dy * xhat];
/// GPU: [sum dy, sum dy (x - mean)]) in float32 (float64 for float64 input), also under autocast. The gradients of weight and bias are
/// those of this rank's samples, as for every other parameter; the training loop averages them. Second derivatives are not supported and
/// throw Error.
///
/// Order of collectives: all ranks must call their layers in the same order with the same shapes. A layer may be called several times
/// before one backward pass (once for each resolution), since each call keeps its own statistics. Autograd runs backward in an order that
/// depends on the graph only: one thread for each device, and among the nodes that are ready the most recently created first. Equal graphs
/// on all ranks thus give the same order of collectives, also relative to those of gradient hooks, provided that the layers that share a
/// group are on one device and no rank skips a branch.
///
/// Throws UsageError if the group's batch has a single value for each channel, which has no variance; Error for another number of channels.
struct BatchNormImpl : torch::nn::Cloneable<BatchNormImpl> {
  explicit BatchNormImpl(std::int64_t features, const BatchNormOptions& options = {});

  at::Tensor forward(const at::Tensor& x);

  /// Registers weight 1, bias 0, mean 0, variance 1.
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  std::int64_t features;
  BatchNormOptions options;
  std::shared_ptr<const Group> group =
      single_process();      ///< the ranks whose samples are normalized together; a clone shares it
  bool fixed_group = false;  ///< set_batch_norm_group does not change the group of this layer
  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};
TORCH_MODULE(BatchNorm);

/// Sets the group of every BatchNorm in `root` (itself included), except those whose group is fixed. All ranks must call it.
void set_batch_norm_group(torch::nn::Module& root, std::shared_ptr<const Group> group);

/// The same, and fixes it: later calls of set_batch_norm_group do not change these layers. For parts of a method with a normalization group
/// of their own, such as MoCo's key network, which --batch-norm-images must not change.
void fix_batch_norm_group(torch::nn::Module& root, std::shared_ptr<const Group> group);

/// Makes running statistics equal on all ranks of `world` after a training step: for each BatchNorm in `root` whose group is smaller than
/// `world`, they become the mean over ranks. Because running statistics are linear in batch statistics, this equals an update with the mean
/// of all groups' batch statistics. One all_reduce_sum, none if every group has all ranks. Collective: all ranks must call it.
void average_running_statistics(torch::nn::Module& root, const Group& world);

/// Restores, at the end of its lifetime, the running statistics of all BatchNorms in `root`: for a forward pass in training mode that must
/// not change them.
class RunningStatisticsGuard {
 public:
  explicit RunningStatisticsGuard(torch::nn::Module& root);
  RunningStatisticsGuard(const RunningStatisticsGuard&) = delete;
  RunningStatisticsGuard& operator=(const RunningStatisticsGuard&) = delete;
  ~RunningStatisticsGuard();

 private:
  std::vector<std::pair<at::Tensor, at::Tensor>> kept_;  ///< a buffer and its copy
};

}  // namespace unlabel::ssl
