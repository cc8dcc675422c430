#pragma once

#include <ATen/core/Tensor.h>

namespace unlabel::ssl {

/// Statistics that show whether embeddings collapse (become equal for all samples), on the device of the embeddings.
struct EmbeddingStats {
  /// Scalar, float64: sqrt(d) times the mean over the d dimensions of the standard deviation over samples of z / |z|. 1 if directions are
  /// spread evenly over the sphere, 0 if all are equal (Chen & He 2021, arXiv:2011.10566, section 4.1).
  at::Tensor feature_spread;
  /// The smaller of the two Gram matrices of the n x d matrix of z / |z|: m x m with m = min(n, d), float64. The argument of
  /// effective_rank.
  at::Tensor gram;
};

/// Statistics of `embeddings` z (n x d, one row for each sample). Non-finite values count as 0. No gradient flows. The host does not wait
/// for the device.
EmbeddingStats embedding_stats(const at::Tensor& embeddings);

/// The effective rank of embeddings, from 1 to min(n, d): the number of directions that they use,
///
///     exp(- sum_k p_k ln p_k),   p_k = s_k / sum_j s_j
///
/// with the singular values s of the n x d matrix of z / |z| (Roy & Vetterli 2007; RankMe, Garrido et al. 2023, arXiv:2210.02885, eq. 1).
/// `gram`: EmbeddingStats::gram, copied to the CPU by the caller, because on a GPU the host would wait for the eigenvalues.
double effective_rank(const at::Tensor& gram);

}  // namespace unlabel::ssl
