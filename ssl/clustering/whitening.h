#pragma once

#include <unlabel/ssl/group.h>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace unlabel::ssl {

/// PCA whitening: a projection onto the k directions of largest variance, each scaled to variance 1:
///
///     y = (x - mean) W,   W_j = v_j / sqrt(lambda_j),   j = 1 ... k
///
/// with the eigenvectors v_j and eigenvalues lambda_j of the covariance, largest first. It equals faiss's PCAMatrix with
/// eigen_power = -1/2, which DeepCluster uses. A direction without variance (lambda_j below 1e-12 of the largest) gives 0.
struct Whitening {
  at::Tensor mean;        ///< d, float32
  at::Tensor projection;  ///< d x k, float32

  at::Tensor operator()(const at::Tensor& x) const;  ///< n x d to n x k
};

/// Computes the whitening of the points of all ranks, in float64, onto k = `directions` dimensions. `points`: this rank's, n x d, float32,
/// on any device; n may differ between ranks. Throws UsageError unless 1 <= directions <= d and there is at least one point. Collective:
/// every rank must call it.
Whitening fit_whitening(const at::Tensor& points, std::int64_t directions, const Group& group);

}  // namespace unlabel::ssl
