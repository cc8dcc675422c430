#pragma once

#include <unlabel/ssl/layers/batch_norm.h>

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

namespace unlabel::ssl {

/// Options of an MLP head. The defaults are SwAV's. BYOL (projector and predictor): last_bias false. SimCLR: last_bias false, last_norm
/// true, last_norm_bias false. MoCo v2: hidden_norm false.
struct ProjectorOptions {
  std::int64_t in = 2048;      ///< the encoder's feature_dim()
  std::int64_t hidden = 2048;  ///< width of the hidden layer; 0: a single linear layer
  std::int64_t out = 128;      ///< dimensions of the embedding
  bool last_bias = true;       ///< the last linear layer has a bias
  bool hidden_norm = true;     ///< a BatchNorm after the hidden layer
  bool last_norm = false;      ///< a BatchNorm after the last linear layer
  bool last_norm_bias = true;  ///< that BatchNorm has a trained bias; false: its bias stays 0 (SimCLR)
};

/// An MLP: Linear (with bias), BatchNorm, ReLU, Linear, and optionally BatchNorm; n x in to n x out. The output is not L2-normalized.
///
/// Parameters are named by their position, as in SwAV's released code, where the head is a Sequential (`projection_head`): 0.weight,
/// 0.bias, 1.weight, ..., 3.weight, 3.bias; a last BatchNorm is 4. Without a hidden BatchNorm, the last Linear is 2; with hidden = 0, the
/// only Linear is 0; a last BatchNorm has the next number. Linear layers have torch::nn::Linear's initialization. Throws UsageError for
/// sizes out of range.
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
