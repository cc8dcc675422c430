#pragma once

#include <torch/nn/module.h>

#include <cstdint>

namespace unlabel::ssl {

/// How much of a momentum target stays at update k = 0, 1, ... of `total` (BYOL, arXiv:2006.07733, section 3.2): from `base` to 1,
///
///     tau = 1 - (1 - base) (1 + cos(pi k / total)) / 2
double cosine_momentum(double base, std::int64_t k, std::int64_t total);

/// target <- momentum * target + (1 - momentum) * online, parameter by parameter; buffers are left alone. Both modules are of one
/// architecture. Momentum 0 copies.
void move_towards(torch::nn::Module& target, const torch::nn::Module& online, double momentum);

/// Turns a module's gradients off: a momentum target is moved, a teacher is only used; neither is trained.
void freeze(torch::nn::Module& module);

}  // namespace unlabel::ssl
