#pragma once

#include <torch/nn/module.h>

#include <cstdint>

namespace unlabel::ssl {

/// BYOL's momentum of the target network at update k = 0, 1, ... of `total` (arXiv:2006.07733, section 3, "Optimization"), which rises from
/// `base` to 1:
///
///     tau = 1 - (1 - base) (1 + cos(pi k / total)) / 2
double cosine_momentum(double base, std::int64_t k, std::int64_t total);

/// Exponential moving average of the parameters: target <- momentum * target + (1 - momentum) * online. Buffers are not changed. Both
/// modules must have the same architecture. Momentum 0 copies.
void update_ema(torch::nn::Module& target, const torch::nn::Module& online, double momentum);

/// Sets requires_grad to false for all parameters, for networks that no gradient trains: momentum targets and teachers.
void freeze(torch::nn::Module& module);

}  // namespace unlabel::ssl
