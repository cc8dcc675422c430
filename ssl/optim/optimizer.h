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

/// The update rule and its settings.
struct OptimizerOptions {
  std::string kind = "larc";           ///< sgd, lars, larc or adamw
  double lr = 0.6;                     ///< peak learning rate; schedule.h gives the rate of each iteration
  double momentum = 0.9;               ///< sgd, lars, larc
  bool nesterov = false;               ///< sgd, lars, larc
  bool lr_in_momentum = false;         ///< sgd, lars, larc: the momentum buffer sums l d instead of d (formula below)
  double weight_decay = 1e-6;          ///< wd: coefficient of wd w, which is added to the gradient; adamw: decoupled
  double trust_coefficient = 0.001;    ///< lars, larc: eta
  bool clip = false;                   ///< larc: limit the adapted rate of a parameter to the plain learning rate
  bool exclude_bias_and_norm = false;  ///< no weight decay and no adaptation for parameters of at most one dimension
  double eps = 1e-8;                   ///< larc, adamw: added to denominators
  double beta1 = 0.9;                  ///< adamw: decay rate of the first moment
  double beta2 = 0.999;                ///< adamw: decay rate of the second moment
};
OptionTable table(OptimizerOptions& options);

/// Updates parameters in place, with a few multi-tensor kernels for each group. With a parameter w, its gradient g, |.| the L2 norm of the
/// whole tensor, and l = lr * ParameterGroup::lr_scale (or ParameterGroup::lr, if set):
///
///     sgd:    d = g + wd w
///     larc:   d = (g + wd w) a,  a = eta |w| / (|g| + wd |w| + eps);  clip: a = min(a / l, 1)
///     lars:   d = (g + wd w) a,  a = eta |w| / |g + wd w|
///     then    b = momentum b + d;  w -= l b       (nesterov: w -= l (d + momentum b))
///     or      b = momentum b + l d;  w -= b       (lr_in_momentum; nesterov: w -= l d + momentum b)
///     adamw:  w -= l wd w;  m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2;
///             w -= l m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)
///
/// - sgd and adamw are PyTorch's (AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2, with PyTorch's l wd).
/// - larc is apex's LARC around SGD, with which SwAV was trained. If |w| or |g| is 0, d = g, without weight decay.
/// - lars is that of BYOL's released code; if a norm is 0, a = 1. SimCLR's is the same with lr_in_momentum, as in the paper (You et al.
///   2017, arXiv:1708.03888, algorithm 1). The two differ only while the learning rate changes.
/// - Without adaptation (ParameterGroup::adapt false, or a parameter that `exclude_bias_and_norm` excludes), lars and larc are sgd.
///
/// A parameter without a gradient does not change, nor do its momentum and its count of steps.
class Optimizer {
 public:
  /// Throws UsageError for an unknown kind or a value out of range, and Error for a parameter name that is in two groups.
  Optimizer(std::vector<ParameterGroup> groups, OptimizerOptions options);

  /// One update with this learning rate.
  void step(double lr);

  /// Sets gradients to zero in place, because they may be views of the gradient buckets of data-parallel training.
  void zero_grad();

  /// The optimizer's tensors (not copies) by name, without the parameters. sgd, lars, larc: "momentum.NAME" with the name of a parameter,
  /// such as "momentum.backbone.conv1.weight"; adamw: "exp_avg.NAME", "exp_avg_sq.NAME" and "step.NAME" (an int64 scalar).
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  /// Copies a state into this optimizer's tensors. Throws MismatchError, before anything is written, if a name is missing or unknown or a
  /// shape differs.
  void load_state(const std::vector<std::pair<std::string, at::Tensor>>& state);

  const OptimizerOptions& options() const { return options_; }
  const std::vector<ParameterGroup>& groups() const { return groups_; }

 private:
  /// One parameter and the optimizer's state of it.
  struct ParameterState {
    std::string name;
    at::Tensor parameter;
    at::Tensor momentum;  ///< sgd, lars, larc: momentum buffer; adamw: the first moment
    at::Tensor second;    ///< adamw: the second moment
    at::Tensor steps;     ///< adamw: number of updates, int64 scalar on the parameter's device
  };
  /// Parameters with the same settings.
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

/// Throws Error unless `groups` contain each parameter of `module` that requires a gradient exactly once, and no other tensor, as
/// Trainable::parameter_groups() must. A parameter that is left out would never be trained.
void check_parameter_groups(const torch::nn::Module& module, const std::vector<ParameterGroup>& groups);

}  // namespace unlabel::ssl
