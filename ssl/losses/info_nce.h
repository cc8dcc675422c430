#pragma once

#include <ATen/core/Tensor.h>

namespace unlabel::ssl {

struct Contrast {
  at::Tensor loss;      ///< scalar
  at::Tensor accuracy;  ///< detached scalar: the share of queries whose positive is the most similar key
};

/// InfoNCE (van den Oord et al. 2018, arXiv:1807.03748, eq. 4; NT-Xent of SimCLR, eq. 1): each of n queries has to find its own
/// among m keys,
///
///     loss = mean over i of  - log ( exp(s_i,p(i) / T) / sum_j exp(s_ij / T) )
///
/// with similarities s (n x m, float32 or float64; -inf takes a key out of the sum) and the positives' places p (n, int64).
/// The loss of chance is ln m.
Contrast info_nce(const at::Tensor& similarity, const at::Tensor& positives, double temperature);

}  // namespace unlabel::ssl
