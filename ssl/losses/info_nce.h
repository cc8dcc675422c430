#pragma once

#include <ATen/core/Tensor.h>

namespace unlabel::ssl {

/// The InfoNCE loss of n queries, and how many of them are solved.
struct InfoNceResult {
  at::Tensor loss;      ///< scalar: the mean over the queries
  at::Tensor accuracy;  ///< detached scalar: the share of queries whose positive is the most similar key
};

/// InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, eq. 4; NT-Xent of SimCLR, arXiv:2002.05709, eq. 1): a softmax over m keys has to
/// identify the positive key of each of n queries:
///
///     loss = mean over i of  - log ( exp(s_i,p(i) / T) / sum_j exp(s_ij / T) )
///
/// `similarity` s: n x m, float32 or float64; -inf excludes a key from the sum. `positives` p: n, int64, the column of each query's
/// positive key. `temperature` T > 0. When all similarities are equal, the loss is ln m.
InfoNceResult info_nce(const at::Tensor& similarity, const at::Tensor& positives, double temperature);

}  // namespace unlabel::ssl
