#include <unlabel/augment/error.h>
#include <unlabel/ssl/layers/ema.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace unlabel::ssl {

double cosine_momentum(double base, std::int64_t k, std::int64_t total) {
  const double done = total > 0 ? static_cast<double>(std::min(k, total)) / static_cast<double>(total) : 0;
  return 1 - (1 - base) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

void update_ema(torch::nn::Module& target, const torch::nn::Module& online, double momentum) {
  // lerp(target, online, w) = target + w (online - target).
  const torch::NoGradGuard no_grad;
  const auto to = target.parameters(), from = online.parameters();
  UNLABEL_INVARIANT(to.size() == from.size());
  if (!to.empty()) at::_foreach_lerp_(to, from, 1 - momentum);
}

void freeze(torch::nn::Module& module) {
  for (auto& parameter : module.parameters()) parameter.set_requires_grad(false);
}

}  // namespace unlabel::ssl
