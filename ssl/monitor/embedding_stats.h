#pragma once

#include <ATen/core/Tensor.h>

namespace unlabel::ssl {

/// How far embeddings are from having all become one: a scalar, and what another follows from, on their device.
struct EmbeddingStats {
  /// sqrt(d) times the mean over the d dimensions of the deviation over samples of z / |z|: 1 when directions are
  /// spread evenly, 0 when all are the same (Chen & He 2021, arXiv:2011.10566, section 4.1).
  at::Tensor deviation;
  /// The smaller Gram matrix of the n x d matrix of z / |z|: m x m with m = min(n, d), float64. See effective_rank.
  at::Tensor gram;
};

/// Of n x d embeddings, one a sample. What is not finite counts as 0. No gradient flows. The host does not wait for the device.
EmbeddingStats embedding_stats(const at::Tensor& embeddings);

/// exp(- sum_k p_k ln p_k), p_k = s_k / sum s, with the singular values s of the n x d matrix of z / |z|: how many
/// directions the embeddings use, from 1 to min(n, d) (Roy & Vetterli 2007; RankMe, Garrido et al. 2023,
/// arXiv:2210.02885, eq. 1). `gram`, of embedding_stats, has been brought to the CPU: a device would make the host wait for
/// its eigenvalues.
double effective_rank(const at::Tensor& gram);

}  // namespace unlabel::ssl
