#include <unlabel/ssl/losses/info_nce.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

namespace unlabel::ssl {

InfoNceResult info_nce(const at::Tensor& similarity, const at::Tensor& positives, double temperature) {
  InfoNceResult result;
  result.loss = at::cross_entropy_loss(similarity / temperature, positives);
  const torch::NoGradGuard no_grad;
  result.accuracy = (similarity.argmax(1) == positives).to(similarity.scalar_type()).mean();
  return result;
}

}  // namespace unlabel::ssl
