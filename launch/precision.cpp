#include <unlabel/launch/precision.h>
#include <unlabel/ssl/autocast.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <cmath>

namespace unlabel::launch {

Precision::Precision(const std::string& name) {
  if (name == "float64")
    weights_ = at::kDouble;
  else
    autocast_ = ssl::autocast_type(name);
}

LossScaler::LossScaler(bool enabled, c10::Device device) : enabled_(enabled) {
  if (!enabled_) return;
  scale_ = torch::full({1}, 65536.f, device);
  growth_tracker_ = torch::zeros({1}, torch::TensorOptions(torch::kInt32).device(device));
}

at::Tensor LossScaler::scale(const at::Tensor& loss) const {
  return enabled_ ? loss * scale_.squeeze(0).to(loss.scalar_type()) : loss;
}

at::Tensor LossScaler::unscale(const std::vector<at::Tensor>& parameters) {
  torch::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& parameter : parameters)
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  if (gradients.empty()) return torch::ones({}, torch::kBool);
  if (!enabled_) return at::stack(at::_foreach_norm(gradients, INFINITY)).isfinite().all();
  auto found_overflow = torch::zeros({1}, scale_.options());
  const auto inverse = scale_.to(torch::kDouble).reciprocal().to(torch::kFloat);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found_overflow, inverse);
  constexpr double kGrowth = 2, kBackoff = 0.5;
  constexpr std::int64_t kInterval = 2000;
  at::_amp_update_scale_(scale_, growth_tracker_, found_overflow, kGrowth, kBackoff, kInterval);
  return found_overflow.eq(0).squeeze(0);
}

std::vector<std::pair<std::string, at::Tensor>> LossScaler::state() const {
  if (!enabled_) return {};
  return {{"scale", scale_}, {"growth_tracker", growth_tracker_}};
}

void LossScaler::load_state(const std::vector<std::pair<std::string, at::Tensor>>& state) {
  if (!enabled_) return;
  for (const auto& [name, tensor] : state) {
    if (name == "scale") scale_.copy_(tensor);
    if (name == "growth_tracker") growth_tracker_.copy_(tensor);
  }
}

}  // namespace unlabel::launch
