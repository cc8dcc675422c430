#pragma once

#include <unlabel/ssl/group.h>

namespace unlabel::ssl {

struct SinkhornOptions {
  double epsilon =
      0.05;  ///< weight of the entropy: a small one gives nearly one-hot assignments, a large one nearly uniform ones
  int iterations =
      3;  ///< each normalizes prototypes, then samples; 0: samples only (a softmax), with which SwAV collapses
};

/// Soft assignments of samples to prototypes that give every prototype the same total weight: the Sinkhorn-Knopp iteration of SwAV.
///
/// With scores S (B x K: B samples of all ranks, K prototypes) it approaches the Q that solves
///
///     max_Q  <Q, S> + epsilon H(Q)    subject to  sum_k Q_bk = 1  and  sum_b Q_bk = B / K
///
/// whose solution is Q_bk = u_b exp(S_bk / epsilon) v_k (Cuturi 2013, arXiv:1306.0895; Caron et al. 2020,
/// arXiv:2006.09882, eqs. 3-5; Asano et al. 2020, arXiv:1911.05371). Each iteration scales the columns (prototypes) to equal sums and then
/// the rows (samples) to sum 1, so the rows of the result sum to 1 exactly and its columns to B / K in the limit.
///
/// It works on logarithms, M <- M - logsumexp_b M, then M <- M - logsumexp_k M. The result equals that of the multiplicative form
/// (released code) where the latter is finite, and is finite for every epsilon > 0; with scores up to 1 the multiplicative form overflows
/// float32 for epsilon below 0.0113, float16 below 0.09.
///
/// `scores`: this rank's rows, n x K; or A x n x K for A independent problems, which share their collectives. float16 and bfloat16 are
/// computed in float32; float32 and float64 in their own type. Collectives: each iteration one maximum and one sum of A x K numbers; every
/// rank must call it. Returns assignments of the shape of `scores`, without a gradient. Throws UsageError for epsilon <= 0 or
/// iterations < 0.
at::Tensor sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, const Group& group);

}  // namespace unlabel::ssl
