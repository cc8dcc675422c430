#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

namespace unlabel::ssl {

/// The fixed first layers of DeepCluster's networks, which compute edges (Caron et al. 2018, arXiv:1807.05520, section 3.3): the mean of
/// the three channels, then the horizontal and the vertical 3 x 3 Sobel filter with zero padding 1. n x 3 x H x W becomes n x 2 x H x W.
/// There are no parameters: the filters are buffers with the names of the released code: 0.weight, 0.bias, 1.weight, 1.bias.
struct SobelImpl : torch::nn::Module {
  SobelImpl();
  at::Tensor forward(const at::Tensor& images);
};
TORCH_MODULE(Sobel);

}  // namespace unlabel::ssl
