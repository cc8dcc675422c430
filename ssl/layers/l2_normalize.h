#pragma once

#include <ATen/core/Tensor.h>

namespace unlabel::ssl {

/// x / max(|x|, 1e-12) of each row of n x d. Computed and returned in float32 (float64 for float64 input) and with autocast off, since the
/// result is usually divided by a small temperature next, for which 16 bits are too few.
at::Tensor l2_normalize(const at::Tensor& x);

}  // namespace unlabel::ssl
