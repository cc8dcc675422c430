#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace unlabel::ssl {

/// Which masks a Dropout draws. A sample's mask follows from these numbers and its place in the world's batch alone, so that N ranks
/// draw what one does, and a resumed run what an undisturbed one does.
struct DropoutKey {
  std::uint64_t seed = 0;
  std::uint64_t round = 0;  ///< another one for every forward pass: the micro-step of the run
  std::uint64_t layer = 0;
  int rank = 0, world_size = 1;  ///< this rank's samples stand at rank * n in the world's batch
};

/// Dropout (Srivastava et al. 2014) of n x d: in training each value is 0 with probability p, and times 1 / (1 - p) else. Has no state.
struct DropoutImpl : torch::nn::Module {
  explicit DropoutImpl(double p);
  at::Tensor forward(const at::Tensor& x);

  double p;
  DropoutKey key;
};
TORCH_MODULE(Dropout);

/// Sets the key of every Dropout in `root`; each is a layer of its own, in the order of its modules.
void set_dropout_key(torch::nn::Module& root, DropoutKey key);

}  // namespace unlabel::ssl
