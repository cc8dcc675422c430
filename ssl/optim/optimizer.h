#pragma once

#include <unlabel/augment/options.h>
#include <unlabel/ssl/trainable.h>

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::ssl {

/// Which rule turns gradients into updates.
struct OptimizerOptions {
  std::string kind = "larc";           ///< sgd, lars, larc or adamw
  double lr = 0.6;                     ///< peak learning rate; the schedule says what it is at each iteration
  double momentum = 0.9;               ///< sgd, lars, larc
  bool nesterov = false;               ///< sgd, lars, larc
  bool lr_in_momentum = false;         ///< sgd, lars, larc: each update keeps the rate that it was made with
  double weight_decay = 1e-6;          ///< added to the gradient; adamw: decoupled
  double trust_coefficient = 0.001;    ///< lars, larc: eta
  bool clip = false;                   ///< larc: never more than the plain learning rate
  bool exclude_bias_and_norm = false;  ///< no weight decay and no adaptation for parameters of one dimension
  double eps = 1e-8;                   ///< larc, adamw: keeps denominators above 0
  double beta1 = 0.9;                  ///< adamw: decay of the first moment
  double beta2 = 0.999;                ///< adamw: decay of the second moment
};
OptionTable table(OptimizerOptions& options);

/// Updates parameters in place, a few kernels for a whole group. With w a parameter, g its gradient, l = lr *
/// ParameterGroup::lr_scale, or ParameterGroup::lr:
///
///     sgd:    d = g + wd w
///     larc:   d = (g + wd w) a,  a = eta |w| / (|g| + wd |w| + eps);  clip: a = min(a / l, 1)
///     lars:   d = (g + wd w) a,  a = eta |w| / |g + wd w|
///     then    b = momentum b + d;  w -= l b       (nesterov: w -= l (d + momentum b))
///     or      b = momentum b + l d;  w -= b       (lr_in_momentum; nesterov: w -= l d + momentum b)
///     adamw:  w -= l wd w;  m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2;
///             w -= l m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
///
/// sgd and adamw are PyTorch's. larc is apex's LARC around SGD, with which SwAV was trained: where |w| or |g| is 0, d
/// is g alone, without weight decay. lars is BYOL's released code: where a norm is 0, a = 1; SimCLR's is the same with
/// lr_in_momentum, as the paper of LARS has it, which differs while the rate changes. (LARS: You et al. 2017,
/// arXiv:1708.03888; AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101.) Without adaptation (`exclude_bias_and_norm`,
/// ParameterGroup::adapt) both are sgd.
///
/// A parameter without a gradient is left alone: no decay, no momentum, no count of steps.
class Optimizer {
 public:
  /// Throws UsageError for an unknown kind (naming the nearest) or a value out of range.
  Optimizer(std::vector<ParameterGroup> groups, OptimizerOptions options);

  /// One update with this learning rate.
  void step(double lr);

  /// Sets gradients to zero in place: they may be views of the buckets of data-parallel training.
  void zero_grad();

  /// Everything but the parameters, by name: "momentum.backbone.conv1.weight" (sgd, lars, larc); "exp_avg.NAME",
  /// "exp_avg_sq.NAME" and "step.NAME", an int64 scalar on the CPU (adamw). The tensors are the optimizer's own, not
  /// copies.
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  /// Copies a state into this optimizer's tensors. Throws MismatchError, before anything is written, when a name is
  /// missing or not known, or a shape differs.
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);

  const OptimizerOptions& options() const { return options_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }

 private:
  /// One parameter and what is kept about it.
  struct ParameterState {
    std::string name;
    at::Tensor parameter;
    at::Tensor momentum;  ///< sgd, lars, larc; adamw: the first moment
    at::Tensor second;    ///< adamw: the second moment
    at::Tensor steps;     ///< adamw
  };
  /// Slots with the same settings.
  struct ParameterBundle {
    std::vector<ParameterState> slots;
    double lr_scale, weight_decay;
    bool adapt;
    std::optional<double> lr;
    double momentum;
  };

  OptimizerOptions options_;
  std::vector<ParameterGroup> groups_;
  std::vector<ParameterBundle> bundles_;
};

/// Throws Error when `groups` are not what Method::parameter_groups() must give: each parameter that requires a gradient once, and no other
/// tensor. One that is left out would never learn.
void check_parameter_groups(const torch::nn::Module& module, const std::vector<ParameterGroup>& groups);

}  // namespace unlabel::ssl
