#pragma once

#include <unlabel/ssl/layers/batch_norm.h>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace unlabel::ssl {

/// An MLP head. The defaults are SwAV's; BYOL has last_bias off (both MLPs), SimCLR too and a last_norm
/// without bias, MoCo v2 no hidden_norm.
struct ProjectorOptions {
  std::int64_t in = 2048;      ///< the encoder's feature_dim()
  std::int64_t hidden = 2048;  ///< width of the hidden layer; 0: a single linear layer
  std::int64_t out = 128;      ///< dimensions of the embedding
  bool last_bias = true;       ///< the last linear layer has a bias
  bool hidden_norm = true;     ///< a BatchNorm after the hidden layer
  bool last_norm = false;      ///< a BatchNorm after the last linear layer
  bool last_norm_bias = true;  ///< which has a bias (SimCLR: none; then it stays 0)
};

/// Linear (with bias), BatchNorm, ReLU, Linear: n x in to n x out, not normalized.
///
/// Named as the Sequential it is in the official code (SwAV's `projection_head`): 0.weight, 0.bias, 1.weight,
/// ..., 3.weight, 3.bias; a last norm is 4. Without a norm in between the last layer is 2; with hidden 0 the single
/// linear layer is 0; a last norm comes after it. Linear layers start as torch::nn::Linear does.
struct ProjectorImpl : torch::nn::Module {
  explicit ProjectorImpl(const ProjectorOptions& options);
  at::Tensor forward(const at::Tensor& features);

  ProjectorOptions options;

 private:
  torch::nn::Linear first_{nullptr}, last_{nullptr};
  BatchNorm hidden_norm_{nullptr}, last_norm_{nullptr};
};
TORCH_MODULE(Projector);

}  // namespace unlabel::ssl
