#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

namespace unlabel::ssl {

/// Edges of an image, as DeepCluster's networks begin with them (Caron et al. 2018, arXiv:1807.05520, section 3.3): the mean of the three
/// channels, then the horizontal and the vertical Sobel filter, with zeros around. n x 3 x H x W to n x 2 x H x W. Nothing here
/// learns; the filters are buffers, named as in the released code: 0.weight, 0.bias, 1.weight, 1.bias.
struct SobelImpl : torch::nn::Module {
  SobelImpl();
  at::Tensor forward(const at::Tensor& images);
};
TORCH_MODULE(Sobel);

}  // namespace unlabel::ssl
