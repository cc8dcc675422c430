#include <unlabel/ssl/models/sobel.h>

#include <torch/types.h>

namespace unlabel::ssl {

SobelImpl::SobelImpl() {
  // Modules "0" and "1", whose buffers have the names of the convolutions in the released code.
  const auto gray = register_module("0", std::make_shared<torch::nn::Module>());
  gray->register_buffer("weight", torch::full({1, 3, 1, 1}, 1.0 / 3));
  gray->register_buffer("bias", torch::zeros({1}));
  const auto edges = register_module("1", std::make_shared<torch::nn::Module>());
  edges->register_buffer(
      "weight",
      torch::tensor({1., 0., -1., 2., 0., -2., 1., 0., -1., 1., 2., 1., 0., 0., 0., -1., -2., -1.}, torch::kFloat)
          .view({2, 1, 3, 3}));
  edges->register_buffer("bias", torch::zeros({2}));
}

at::Tensor SobelImpl::forward(const at::Tensor& images) {
  const auto buffers = named_buffers();
  const auto gray = at::conv2d(images, buffers["0.weight"], buffers["0.bias"]);
  return at::conv2d(gray, buffers["1.weight"], buffers["1.bias"], /*stride=*/1, /*padding=*/1);
}

}  // namespace unlabel::ssl
