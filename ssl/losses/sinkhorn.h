#pragma once

#include <unlabel/ssl/group.h>

namespace unlabel::ssl {

/// How sharply, and how exactly, samples are spread over prototypes.
struct SinkhornOptions {
  double epsilon = 0.05;  ///< weight of the entropy: small gives hard assignments, large gives uniform ones
  int iterations =
      3;  ///< normalisations of prototypes and samples, in turn; 0: of samples alone (a softmax), which lets SwAV collapse
};

/// Soft assignments that use all prototypes alike: the Sinkhorn-Knopp iteration of SwAV.
///
/// With scores S (B samples by K prototypes, B counted over the whole world) it approaches the Q that solves
///
///     max_Q  <Q, S> + epsilon H(Q)    subject to  sum_k Q_bk = 1  and  sum_b Q_bk = B / K
///
/// whose solution is Q_bk = u_b exp(S_bk / epsilon) v_k (Cuturi 2013, arXiv:1306.0895; Caron et al. 2020,
/// arXiv:2006.09882, eqs. 3-5; Asano et al. 2020, arXiv:1911.05371). Every iteration scales the prototypes to equal
/// weight and then each sample to weight 1, so the rows of the result sum to 1 exactly and its columns to B / K in the
/// limit.
///
/// It works on logarithms, M <- M - logsumexp_b M, then M <- M - logsumexp_k M: the same numbers as the multiplicative
/// form where that one is finite, and finite for every epsilon > 0 (the multiplicative form overflows float32 below
/// 0.0113, float16 below 0.09).
///
/// scores: this rank's rows, n x K; or A x n x K for A independent problems at once, which share their collectives.
/// float16 and bfloat16 are computed in float32; float32 and float64 stay what they are. Collectives: a maximum and a
/// sum of A x K numbers an iteration. Returns assignments of the shape of `scores`, without a gradient. Throws
/// UsageError for epsilon <= 0 or iterations < 0.
at::Tensor sinkhorn(const at::Tensor& scores, const SinkhornOptions& options, const Group& group);

}  // namespace unlabel::ssl
