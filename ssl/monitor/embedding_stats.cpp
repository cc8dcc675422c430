#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/l2_normalize.h>
#include <unlabel/ssl/monitor/embedding_stats.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <cmath>

namespace unlabel::ssl {

EmbeddingStats embedding_stats(const at::Tensor& embeddings) {
  const torch::NoGradGuard no_grad;
  const at::Tensor finite = embeddings.detach().to(at::kDouble).nan_to_num(0.0, 0.0, 0.0);
  const at::Tensor z = l2_normalize(finite);
  EmbeddingStats stats;
  stats.feature_spread = z.std(0, /*unbiased=*/false).mean() * std::sqrt(static_cast<double>(z.size(1)));
  stats.gram = z.size(0) < z.size(1) ? z.matmul(z.t()) : z.t().matmul(z);
  return stats;
}

double effective_rank(const at::Tensor& gram) {
  UNLABEL_INVARIANT(gram.is_cpu());
  const torch::NoGradGuard no_grad;
  // The eigenvalues of the Gram matrix are the squares of the singular values.
  const at::Tensor s = at::linalg_eigvalsh(gram).clamp_min(0).sqrt();
  const at::Tensor p = s / s.sum().clamp_min(1e-12);
  return std::exp(-at::xlogy(p, p).sum().item<double>());
}

}  // namespace unlabel::ssl
