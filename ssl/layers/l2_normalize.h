#pragma once

#include <ATen/core/Tensor.h>

namespace unlabel::ssl {

/// x / |x|, row by row, of n x d; in float32 at least, and outside of autocast: 16 bits are too few for what is divided by a small
/// temperature next. |x| is at least 1e-12.
at::Tensor l2_normalize(const at::Tensor& x);

}  // namespace unlabel::ssl
