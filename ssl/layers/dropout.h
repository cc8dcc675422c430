#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace unlabel::ssl {

/// Determines the masks of a Dropout. A mask is a function of these numbers, the number of forward passes since they were set, and the
/// row's index in the batch of all ranks; so a resumed run draws the same masks as an uninterrupted one. The masks do not depend on the
/// number of ranks if a forward pass has one row for each sample (DeepCluster). They do if it has several crops of each, because the order
/// of the rows in the batch of all ranks then depends on the number of ranks.
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint64_t round = 0;       ///< different for each micro-step of the run
  std::uint64_t layer = 0;       ///< different for each Dropout of the network
  int rank = 0, world_size = 1;  ///< the n rows of this rank begin at row rank * n of the batch of all ranks
};

/// Dropout (Srivastava et al. 2014) of n x d: in training each value becomes 0 with probability p and is multiplied by 1 / (1 - p)
/// otherwise; in evaluation the input is returned. Has no parameters or buffers.
struct DropoutImpl : torch::nn::Module {
  explicit DropoutImpl(double p);
  at::Tensor forward(const at::Tensor& x);

  double p;
  DropoutKey key;
  std::uint32_t passes = 0;  ///< forward passes with this key
};
TORCH_MODULE(Dropout);

/// A DropoutKey::round for the n-th forward pass (from 0, below 2^32) of an epoch that is made outside of training steps. It is unique: the
/// rounds of micro-steps count up from 0, these count down from 2^64 - 1.
std::uint64_t round_outside_of_steps(std::int64_t epoch, std::int64_t n);

/// Sets the key of every Dropout in `root` and resets their pass counters. The first one gets `key.layer`, each following one (in the order
/// of modules()) a layer number one higher.
void set_dropout_key(torch::nn::Module& root, DropoutKey key);

}  // namespace unlabel::ssl
