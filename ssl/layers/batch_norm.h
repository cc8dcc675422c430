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
  double eps = 1e-5;      ///< added to the variance
  double momentum = 0.1;  ///< weight of the newest batch in the running statistics (1 - Haiku's decay rate)
};

/// Batch normalization of n x C or n x C x H x W (Ioffe & Szegedy 2015, arXiv:1502.03167, algorithm 1), over one rank
/// or several:
///
///     y = weight * (x - mean_c) / sqrt(var_c + eps) + bias
///
/// In training, mean and (biased) variance of channel c are over the rows and pixels of **all ranks of the group**, and
/// the running statistics move towards the mean and the unbiased variance; in evaluation the running statistics are
/// used. In a group of one, and in evaluation, this is torch::batch_norm itself; so a network needs one kind of
/// normalization wherever it runs. Parameters and buffers are named as in PyTorch: weight, bias, running_mean,
/// running_var, num_batches_tracked (int64).
///
/// In a larger group, forward makes one all_gather of every rank's [mean, variance] per channel (on the CPU in float64;
/// on a GPU [mean, 1 / deviation] in float32), combined by Chan, Golub & LeVeque 1979, eq. 2.1, so that a large mean
/// costs no digits; the ranks' inputs must be of one size. backward makes one all_reduce_sum of [sum dy,
/// sum dy (x - mean)] in float32 (float64 for float64 input), whatever autocast makes of x. The gradients of weight and
/// bias are this rank's part, as those of every other parameter are: the trainer averages them. Second derivatives are
/// not supported in a larger group, and throw.
///
/// Order of collectives. All ranks must call their layers in the same order with the same shapes; a layer may be called
/// several times before one backward pass (once a resolution), since each call keeps its own statistics. Autograd then
/// runs backward in an order that depends on the graph alone: of the nodes that are ready, the one made last goes
/// first, one thread a device. Equal graphs on all ranks thus give equal orders of collectives, among themselves and
/// with those of gradient hooks, as long as the layers that share a group are on one device and no rank skips a branch.
///
/// Throws UsageError when the group's batch holds a single value a channel: its variance says nothing.
struct BatchNormImpl : torch::nn::Cloneable<BatchNormImpl> {
  explicit BatchNormImpl(std::int64_t features, const BatchNormOptions& options = {});

  at::Tensor forward(const at::Tensor& x);

  /// Registers weight 1, bias 0, mean 0, variance 1.
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  std::int64_t features;
  BatchNormOptions options;
  std::shared_ptr<const Group> group = single_process();  ///< whose batch counts; a clone shares it
  bool fixed_group = false;                               ///< set_batch_norm_group passes it over
  at::Tensor weight, bias, running_mean, running_var, num_batches_tracked;
};
TORCH_MODULE(BatchNorm);

/// Makes every BatchNorm in `root` (itself included) take its statistics over `group`, but for those whose group is fixed. All ranks must
/// do so.
void set_batch_norm_group(torch::nn::Module& root, std::shared_ptr<const Group> group);

/// The same, once and for all: for a part of a method that normalizes by a rule of its own, whatever the run has for the rest.
void fix_batch_norm_group(torch::nn::Module& root, std::shared_ptr<const Group> group);

/// Makes running statistics equal on all ranks of `world` after a training step: each becomes the mean of the ranks'. Of the BatchNorms in
/// `root` whose group is smaller; all ranks must call it. Running statistics are linear in those of the batches, so that this is the update
/// by the mean of all groups' batch statistics. One all_reduce_sum; nothing where every group is the world.
void average_running_statistics(torch::nn::Module& root, const Group& world);

/// A forward pass in training that leaves no trace: at its end, the running statistics of all BatchNorms in `root` are what they were.
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
