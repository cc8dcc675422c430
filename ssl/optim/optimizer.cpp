#include <unlabel/augment/error.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/planning/plan_builder.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace unlabel::ssl {

namespace {

using Tensors = std::vector<at::Tensor>;

/// The L2 norm of each tensor, as one vector, which stays on the device so that the host does not wait.
at::Tensor norms(const Tensors& tensors) { return at::stack(at::_foreach_norm(tensors)); }

/// Multiplies each tensor by its element of `factors`.
void scale(Tensors& tensors, const at::Tensor& factors) { at::_foreach_mul_(tensors, factors.unbind()); }

/// d of larc: (g + wd w) a, or g where a norm is 0; see the header.
Tensors larc_direction(const Tensors& parameters, const Tensors& gradients, double lr, double weight_decay,
                       const OptimizerOptions& options) {
  // |w| and |g| of each parameter, and a of the header's formula; clip is a = min(a / lr, 1), as in apex.
  const at::Tensor w = norms(parameters), g = norms(gradients);
  const at::Tensor adapted = (w != 0).logical_and_(g != 0);
  at::Tensor a = w * options.trust_coefficient / (g + w * weight_decay + options.eps);
  if (options.clip) a = (a / lr).clamp_max(1);
  a = at::where(adapted, a, 1.0);
  // Weight decay is 0 where a norm is 0: apex then skips both decay and adaptation.
  Tensors decay = parameters;
  Tensors direction = at::_foreach_mul(decay, (adapted.to(w.scalar_type()) * weight_decay).unbind());
  at::_foreach_add_(direction, gradients);
  scale(direction, a);
  return direction;
}

/// d of lars: (g + wd w) a; see the header.
Tensors lars_direction(const Tensors& parameters, const Tensors& gradients, double weight_decay,
                       const OptimizerOptions& options) {
  Tensors direction = at::_foreach_add(gradients, parameters, weight_decay);
  const at::Tensor w = norms(parameters), d = norms(direction);
  scale(direction, at::where((w > 0).logical_and_(d > 0), w * options.trust_coefficient / d, 1.0));
  return direction;
}

}  // namespace

OptionTable table(OptimizerOptions& options) {
  OptionTable t;
  t.add("kind", options.kind, "sgd, lars (BYOL, SimCLR), larc (SwAV) or adamw");
  t.add("lr", options.lr, "peak learning rate; it is not scaled by the batch size");
  t.add("momentum", options.momentum, "momentum of sgd, lars and larc");
  t.add("nesterov", options.nesterov, "Nesterov momentum, for sgd, lars and larc");
  t.add("lr_in_momentum", options.lr_in_momentum,
        "sgd, lars, larc: the momentum buffer sums learning rate times gradient (SimCLR's LARS) instead of gradients");
  t.add("weight_decay", options.weight_decay, "weight decay; with adamw decoupled from the gradient");
  t.add("trust_coefficient", options.trust_coefficient,
        "lars, larc: factor of the ratio of weight norm to gradient norm");
  t.add("clip", options.clip, "larc: limit the adapted rate of a layer to the plain learning rate");
  t.add("exclude_bias_and_norm", options.exclude_bias_and_norm,
        "no weight decay and no adapted rate for biases and normalization layers (one-dimensional parameters)");
  t.add("eps", options.eps, "larc, adamw: added to denominators");
  t.add("beta1", options.beta1, "adamw: decay rate of the first moment");
  t.add("beta2", options.beta2, "adamw: decay rate of the second moment");
  return t;
}

Optimizer::Optimizer(std::vector<ParameterGroup> groups, OptimizerOptions options)
    : options_(std::move(options)), groups_(std::move(groups)) {
  const auto& o = options_;
  require_optimizer(o.kind);
  const auto need = [](bool good, const char* name, double value, const char* range) {
    if (!good) throw UsageError("optimizer.", name, " is ", value, ": it must be ", range);
  };
  need(o.lr >= 0, "lr", o.lr, "at least 0");
  need(o.momentum >= 0 && o.momentum < 1, "momentum", o.momentum, "in [0, 1)");
  need(o.weight_decay >= 0, "weight_decay", o.weight_decay, "at least 0");
  need(o.trust_coefficient > 0, "trust_coefficient", o.trust_coefficient, "above 0");
  need(o.eps >= 0, "eps", o.eps, "at least 0");
  need(o.beta1 >= 0 && o.beta1 < 1, "beta1", o.beta1, "in [0, 1)");
  need(o.beta2 >= 0 && o.beta2 < 1, "beta2", o.beta2, "in [0, 1)");
  if (o.nesterov && o.momentum == 0) throw UsageError("optimizer.nesterov needs a momentum above 0");

  // Each group becomes up to two bundles: its parameters with the usual settings, and those that exclude_bias_and_norm excludes.
  const torch::NoGradGuard no_grad;
  const bool adamw = o.kind == "adamw";
  std::set<std::string> seen;
  for (const auto& group : groups_) {
    UNLABEL_INVARIANT(group.parameters.size() == group.names.size());
    const double weight_decay = group.weight_decay.value_or(o.weight_decay);
    const double momentum = group.momentum.value_or(o.momentum);
    need(weight_decay >= 0, "weight_decay", weight_decay, "at least 0");
    need(group.lr_scale >= 0, "lr_scale (of a group)", group.lr_scale, "at least 0");
    if (group.lr) need(*group.lr >= 0, "lr (of a group)", *group.lr, "at least 0");
    need(momentum >= 0 && momentum < 1, "momentum", momentum, "in [0, 1)");
    ParameterBundle usual{{}, group.lr_scale, weight_decay, group.adapt, group.lr, momentum};
    ParameterBundle excluded{{}, group.lr_scale, 0, false, group.lr, momentum};
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
      const auto& parameter = group.parameters[i];
      if (!seen.insert(group.names[i]).second)
        throw Error("parameter '", group.names[i], "' is in two groups of the optimizer");
      ParameterState slot{group.names[i], parameter, {}, {}, {}};
      if (adamw || momentum > 0) slot.momentum = at::zeros_like(parameter);
      if (adamw) {
        slot.second = at::zeros_like(parameter);
        slot.steps = torch::zeros({}, torch::TensorOptions(torch::kInt64).device(parameter.device()));
      }
      (o.exclude_bias_and_norm && parameter.dim() <= 1 ? excluded : usual).slots.push_back(std::move(slot));
    }
    for (auto* bundle : {&usual, &excluded})
      if (!bundle->slots.empty()) bundles_.push_back(std::move(*bundle));
  }
}

void Optimizer::step(double lr) {
  const torch::NoGradGuard no_grad;
  for (auto& bundle : bundles_) {
    const double rate = bundle.lr.value_or(lr * bundle.lr_scale);
    // Lists for the multi-tensor kernels, of the parameters that have a gradient.
    Tensors parameters, gradients, first, second, steps;
    for (auto& slot : bundle.slots) {
      if (!slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter);
      gradients.push_back(slot.parameter.grad());
      if (slot.momentum.defined()) first.push_back(slot.momentum);
      if (!slot.steps.defined()) continue;
      second.push_back(slot.second);
      steps.push_back(slot.steps);
    }
    if (parameters.empty()) continue;

    // AdamW: decoupled decay, moments, then bias corrections by each parameter's own count of steps.
    if (options_.kind == "adamw") {
      at::_foreach_mul_(parameters, 1 - rate * bundle.weight_decay);
      at::_foreach_lerp_(first, gradients, 1 - options_.beta1);
      at::_foreach_mul_(second, options_.beta2);
      at::_foreach_addcmul_(second, gradients, gradients, 1 - options_.beta2);
      // The counts of steps are tensors on the device, so that a non-finite update can be undone without the host.
      at::_foreach_add_(steps, 1);
      const at::Tensor t = at::stack(steps).to(at::kDouble);
      const auto correction = [&](double beta) { return 1 - at::pow(at::Scalar(beta), t); };
      Tensors denominator = at::_foreach_sqrt(second);
      scale(denominator, correction(options_.beta2).rsqrt());
      at::_foreach_add_(denominator, options_.eps);
      Tensors direction = at::_foreach_div(first, denominator);
      scale(direction, correction(options_.beta1).reciprocal());
      at::_foreach_add_(parameters, direction, -rate);
      continue;
    }

    // sgd, lars, larc: d of the formulas in the header, then momentum. `remaining` is the part of the rate that d does not contain yet.
    Tensors direction;
    if (bundle.adapt && options_.kind == "larc") {
      direction = larc_direction(parameters, gradients, rate, bundle.weight_decay, options_);
    } else if (bundle.adapt && options_.kind == "lars") {
      direction = lars_direction(parameters, gradients, bundle.weight_decay, options_);
    } else {
      direction = bundle.weight_decay == 0 ? gradients : at::_foreach_add(gradients, parameters, bundle.weight_decay);
    }
    double remaining = rate;
    if (bundle.momentum > 0) {
      if (options_.lr_in_momentum) direction = at::_foreach_mul(direction, std::exchange(remaining, 1));
      at::_foreach_mul_(first, bundle.momentum);
      at::_foreach_add_(first, direction);
      direction = options_.nesterov ? at::_foreach_add(direction, first, bundle.momentum) : first;
    }
    at::_foreach_add_(parameters, direction, -remaining);
  }
}

void Optimizer::zero_grad() {
  const torch::NoGradGuard no_grad;
  Tensors gradients;
  for (const auto& bundle : bundles_)
    for (const auto& slot : bundle.slots)
      if (slot.parameter.grad().defined()) gradients.push_back(slot.parameter.grad());
  if (!gradients.empty()) at::_foreach_zero_(gradients);
}

std::vector<std::pair<std::string, at::Tensor>> Optimizer::state() const {
  const bool adamw = options_.kind == "adamw";
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& bundle : bundles_) {
    for (const auto& slot : bundle.slots) {
      if (slot.momentum.defined()) state.emplace_back((adamw ? "exp_avg." : "momentum.") + slot.name, slot.momentum);
      if (slot.second.defined()) state.emplace_back("exp_avg_sq." + slot.name, slot.second);
      if (slot.steps.defined()) state.emplace_back("step." + slot.name, slot.steps);
    }
  }
  return state;
}

void Optimizer::load_state(const std::vector<std::pair<std::string, at::Tensor>>& saved) {
  // Compare all names and shapes before anything is written.
  const torch::NoGradGuard no_grad;
  const auto own = state();
  std::map<std::string, at::Tensor> by_name(saved.begin(), saved.end());
  for (const auto& [name, tensor] : own) {
    const auto found = by_name.find(name);
    if (found == by_name.end())
      throw MismatchError("the checkpoint has no optimizer state '", name,
                          "': it is from another model or optimizer than this run's ", options_.kind);
    if (found->second.sizes() != tensor.sizes())
      throw MismatchError("optimizer state '", name, "' has shape ", found->second.sizes(), " in the checkpoint and ",
                          tensor.sizes(), " in this run: give the options with which the checkpoint was made");
  }
  if (by_name.size() != own.size()) {
    for (const auto& [name, tensor] : own) by_name.erase(name);
    throw MismatchError("the checkpoint has optimizer state '", by_name.begin()->first, "', which this run's ",
                        options_.kind, " does not have: give the options with which the checkpoint was made");
  }
  for (const auto& [name, tensor] : own) at::Tensor(tensor).copy_(by_name.at(name));
}

void check_parameter_groups(const torch::nn::Module& module, const std::vector<ParameterGroup>& groups) {
  // Start with all parameters that require gradients, and remove each that is in a group.
  std::set<const c10::TensorImpl*> missing;
  for (const auto& parameter : module.parameters())
    if (parameter.requires_grad()) missing.insert(parameter.unsafeGetTensorImpl());
  for (const auto& group : groups)
    for (std::size_t i = 0; i < group.parameters.size(); ++i)
      if (missing.erase(group.parameters[i].unsafeGetTensorImpl()) == 0)
        throw Error("parameter_groups() gives ", i < group.names.size() ? group.names[i] : "a tensor without a name",
                    ", which is in another group too, or is no parameter that requires gradients; give each once");
  for (const auto& item : module.named_parameters())
    if (missing.contains(item.value().unsafeGetTensorImpl()))
      throw Error("parameter_groups() leaves out ", item.key(),
                  missing.size() > 1 ? concat(" and ", missing.size() - 1, " more") : "",
                  ", which would never be trained; put each into a group, or freeze it (requires_grad)");
}

}  // namespace unlabel::ssl
