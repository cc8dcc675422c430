#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// How numbers are held in training: float32; bf16 and fp16 (autocast: weights stay float32); float64 (everything, for exact tests).
class Precision {
 public:
  /// Throws UsageError for an unknown name.
  explicit Precision(const std::string& name);

  at::ScalarType weights() const { return weights_; }
  bool scales_loss() const { return autocast_ == at::kHalf; }

  /// The type that forward passes take under autocast (ssl::Autocast); none: the weights' own.
  std::optional<at::ScalarType> autocast() const { return autocast_; }

 private:
  at::ScalarType weights_ = at::kFloat;
  std::optional<at::ScalarType> autocast_;
};

/// Loss scaling for fp16, so that small gradients do not vanish (Micikevicius et al. 2018, arXiv:1710.03740, section
/// 3.2): the scale doubles after 2000 good steps and halves after one whose gradients overflow, which is left out. The
/// same on every rank, since gradients are.
class LossScaler {
 public:
  explicit LossScaler(bool enabled, c10::Device device);
  bool enabled() const { return enabled_; }

  /// The scale in use: one number on the device.
  const at::Tensor& factor() const { return scale_; }

  /// loss * scale; the loss itself when not enabled.
  at::Tensor scale(const at::Tensor& loss) const;

  /// Divides the gradients by the scale, in place, and moves the scale. Returns whether all of them are finite (with or without
  /// scaling), a bool scalar on their device; if not, the step must be left out.
  at::Tensor unscale(const std::vector<at::Tensor>& parameters);

  std::vector<std::pair<std::string, at::Tensor>> state() const;
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);

 private:
  bool enabled_;
  at::Tensor scale_, growth_tracker_;
};

}  // namespace unlabel::launch
