#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace unlabel::ssl {

/// Which masks a Dropout draws. A mask follows from these numbers, how many forward passes there were since they were set, and its row's
/// place in the world's batch, so that a resumed run draws what an undisturbed one does. N ranks draw what one does where a forward pass
/// has a row for each sample, as DeepCluster's; where it has several crops of each, rows lie otherwise on other numbers of ranks.
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint64_t round = 0;  ///< another one for every micro-step of the run
  std::uint64_t layer = 0;
  int rank = 0, world_size = 1;  ///< this rank's samples stand at rank * n in the world's batch
};

/// Dropout (Srivastava et al. 2014) of n x d: in training each value is 0 with probability p, and times 1 / (1 - p) else. Has no state.
struct DropoutImpl : torch::nn::Module {
  explicit DropoutImpl(double p);
  at::Tensor forward(const at::Tensor& x);

  double p;
  DropoutKey key;
  std::uint32_t passes = 0;  ///< forward passes with this key
};
TORCH_MODULE(Dropout);

/// The round of the n-th forward pass (from 0) outside of training's steps in an epoch: no other pass of a run has it, and no micro-step,
/// whose rounds count from 0. `n` is below 2^32.
std::uint64_t round_outside_of_steps(std::int64_t epoch, std::int64_t n);

/// Sets the key of every Dropout in `root`; each is a layer of its own, in the order of its modules.
void set_dropout_key(torch::nn::Module& root, DropoutKey key);

}  // namespace unlabel::ssl
