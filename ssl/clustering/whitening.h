#pragma once

#include <unlabel/ssl/group.h>

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace unlabel::ssl {

/// A projection onto the directions of largest variance that gives each the variance 1:
///
///     y = (x - mean) W,   W_k = v_k / sqrt(lambda_k)
///
/// with the eigenvectors v_k and eigenvalues lambda_k of the covariance, largest first (faiss's PCAMatrix with an eigen_power of -1/2, as
/// DeepCluster uses it). A direction without variance (lambda_k below 1e-12 of the largest) gives 0.
struct Whitening {
  at::Tensor mean;        ///< d, float32
  at::Tensor projection;  ///< d x k, float32

  at::Tensor operator()(const at::Tensor& x) const;  ///< n x d to n x k
};

/// Of the points of all ranks (this rank's: n x d, float32, on any device), in float64. Throws UsageError for more directions than
/// dimensions, or no points. Every rank must call it.
Whitening fit_whitening(const at::Tensor& points, std::int64_t directions, const Group& group);

}  // namespace unlabel::ssl
