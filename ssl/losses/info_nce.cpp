#include <unlabel/ssl/losses/info_nce.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

namespace unlabel::ssl {

Contrast info_nce(const at::Tensor& similarity, const at::Tensor& positives, double temperature) {
  Contrast contrast;
  contrast.loss = at::cross_entropy_loss(similarity / temperature, positives);
  const torch::NoGradGuard no_grad;
  contrast.accuracy = (similarity.argmax(1) == positives).to(similarity.scalar_type()).mean();
  return contrast;
}

}  // namespace unlabel::ssl
