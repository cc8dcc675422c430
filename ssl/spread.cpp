#include <unlabel/ssl/spread.h>

#include <c10/core/GradMode.h>
#include <torch/nn/functional/normalization.h>
#include <torch/types.h>

#include <cmath>

namespace unlabel::ssl {

namespace F = torch::nn::functional;

Spread measure_spread(const at::Tensor& embeddings) {
  const torch::NoGradGuard no_grad;
  const at::Tensor finite = embeddings.detach().to(at::kDouble).nan_to_num(0.0, 0.0, 0.0);
  const at::Tensor z = F::normalize(finite, F::NormalizeFuncOptions().dim(1));
  Spread spread;
  spread.deviation = z.std(0, /*unbiased=*/false).mean() * std::sqrt(static_cast<double>(z.size(1)));
  // The eigenvalues of the smaller Gram matrix are the squares of the singular values.
  const at::Tensor gram = z.size(0) < z.size(1) ? z.matmul(z.t()) : z.t().matmul(z);
  const at::Tensor s = at::linalg_eigvalsh(gram).clamp_min(0).sqrt();
  const at::Tensor p = s / s.sum().clamp_min(1e-12);
  spread.effective_rank = at::special_entr(p).sum().exp();
  return spread;
}

}  // namespace unlabel::ssl
