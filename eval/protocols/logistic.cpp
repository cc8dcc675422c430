#include <unlabel/augment/error.h>
#include <unlabel/eval/encode.h>
#include <unlabel/eval/protocols/logistic.h>
#include <unlabel/eval/report/report.h>
#include <unlabel/ssl/group.h>

#include <c10/core/GradMode.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <functional>
#include <numeric>

namespace unlabel::eval {
namespace {

constexpr std::int64_t kRowBlock = 8192;
constexpr std::int64_t kHistory = 10;
constexpr int kHalvings = 30;
constexpr std::int64_t kMaxWhitenedDim = 4096;  // beyond, the d x d factor costs more than it saves

struct Value {
  double loss;
  at::Tensor gradient;  // float64, flat
};

struct Minimum {
  at::Tensor point;
  double loss;
  std::int64_t iterations;
  bool converged;
};

double dot_product(const at::Tensor& a, const at::Tensor& b) { return a.dot(b).item<double>(); }

// Armijo steps suffice: the objective is convex, so s.y > 0 whatever the step.
Minimum minimize(at::Tensor point, const std::function<Value(const at::Tensor&)>& evaluate,
                 const std::function<bool(const at::Tensor&)>& small_enough, std::int64_t max_iterations,
                 double relative_rounding) {
  struct Pair {
    at::Tensor s, y;
    double rho;
  };
  std::deque<Pair> history;
  auto now = evaluate(point);
  std::int64_t iteration = 0;
  while (!small_enough(now.gradient)) {
    if (iteration == max_iterations) return {point, now.loss, iteration, false};
    auto direction = -now.gradient;
    std::vector<double> alpha(history.size());
    for (auto i = history.size(); i-- > 0;) {
      alpha[i] = history[i].rho * dot_product(history[i].s, direction);
      direction = direction - alpha[i] * history[i].y;
    }
    if (!history.empty())
      direction = direction / (history.back().rho * dot_product(history.back().y, history.back().y));
    for (std::size_t i = 0; i < history.size(); ++i)
      direction = direction + (alpha[i] - history[i].rho * dot_product(history[i].y, direction)) * history[i].s;

    const auto slope = dot_product(now.gradient, direction);
    auto step = history.empty() ? std::min(1.0, 1 / now.gradient.norm().item<double>()) : 1.0;
    // Near the minimum the rounding of the loss is larger than the decrease that is left.
    const auto rounding = relative_rounding * std::abs(now.loss);
    Value next;
    at::Tensor next_point;
    int halvings = 0;
    for (;; ++halvings, step /= 2) {
      if (halvings == kHalvings) return {point, now.loss, iteration, false};
      next_point = point + step * direction;
      next = evaluate(next_point);
      if (next.loss <= now.loss + 1e-4 * step * slope + rounding) break;
    }
    const auto s = next_point - point;
    const auto y = next.gradient - now.gradient;
    if (const auto sy = dot_product(s, y); sy > 1e-300) {
      history.push_back({s, y, 1 / sy});
      if (history.size() > kHistory) history.pop_front();
    }
    point = next_point;
    now = next;
    ++iteration;
  }
  return {point, now.loss, iteration, true};
}

// The change of coordinates W^T = factor^-T V for weights, and b = v / bias_scale for the bias.
struct Coordinates {
  at::Tensor factor;  // lower triangular d x d; for large d its diagonal alone
  double bias_scale = 1;

  at::Tensor to_weight(const at::Tensor& v) const {
    return factor.dim() == 1 ? v / factor.unsqueeze(1)
                             : at::linalg_solve_triangular(factor.t(), v, /*upper=*/true, /*left=*/true, false);
  }
  at::Tensor gradient(const at::Tensor& weight_gradient) const {
    return factor.dim() == 1
               ? weight_gradient / factor.unsqueeze(1)
               : at::linalg_solve_triangular(factor, weight_gradient, /*upper=*/false, /*left=*/true, false);
  }
};

Coordinates make_coordinates(const at::Tensor& local, std::int64_t n, std::int64_t classes, double penalty,
                             const ssl::Group& group) {
  const auto dim = local.size(1);
  const auto curvature = 1.0 / double(classes);
  Coordinates result;
  result.bias_scale = std::sqrt(curvature);
  const auto wide = torch::TensorOptions(local.device()).dtype(torch::kFloat64);
  const bool whiten = dim <= kMaxWhitenedDim;
  auto gram = whiten ? torch::zeros({dim, dim}, wide) : torch::zeros({dim}, wide);
  for (std::int64_t row = 0; row < local.size(0); row += kRowBlock) {
    const auto block = local.narrow(0, row, std::min(kRowBlock, local.size(0) - row));
    gram += whiten ? block.t().mm(block) : block.square().sum(0);
  }
  group.all_reduce_sum(gram);
  gram = gram * (curvature / double(n));
  if (!whiten) {
    result.factor = (gram + penalty).sqrt();
    return result;
  }
  // A floor that the rounding of float32 features cannot cross; coordinates may be inexact, the objective is not.
  const auto floor = std::max(penalty, 1e-6 * gram.diagonal().max().item<double>());
  gram.diagonal().add_(floor);
  result.factor = at::linalg_cholesky(gram);
  return result;
}

}  // namespace

OptionTable table(LogisticOptions& o) {
  OptionTable t;
  t.add("l2", o.l2, "L in the objective, mean cross-entropy + L / 2 |weights|^2");
  t.add("max_iterations", o.max_iterations, "limit for the iterations of L-BFGS");
  t.add("tolerance", o.tolerance, "stops when a step is expected to lower the objective by less than this");
  return t;
}

void require_valid(const LogisticOptions& options) {
  if (!(options.l2 > 0 && std::isfinite(options.l2)))
    throw UsageError("l2 of the logistic regression must be positive, not ", options.l2);
  if (options.max_iterations < 1) throw UsageError("max_iterations must be at least 1, not ", options.max_iterations);
}

LogisticResult logistic_regression(const Features& train, const Features& test, const LogisticOptions& options,
                                   const ssl::Group& group) {
  const auto started = std::chrono::steady_clock::now();
  require_valid(options);
  const auto device = parse_device(options.device);
  require_valid(train, test);

  const torch::NoGradGuard no_grad;
  const auto targets = make_targets(train, test);
  const auto n = train.size();
  const auto dim = train.dim();
  const auto classes = targets.classes();
  const auto penalty = options.l2;

  // In float64, a block of rows at a time: a float64 copy of all features would take twice their memory.
  auto mean = torch::zeros({dim}, torch::kFloat64), variance = torch::zeros({dim}, torch::kFloat64);
  const auto each_block = [&](const auto& visit) {
    for (std::int64_t row = 0; row < n; row += kRowBlock)
      visit(train.values.narrow(0, row, std::min(kRowBlock, n - row)).to(torch::kFloat64));
  };
  each_block([&](const at::Tensor& rows) { mean += rows.sum(0) / double(n); });
  each_block([&](const at::Tensor& rows) { variance += (rows - mean).square().sum(0) / double(n); });
  auto deviation = variance.sqrt();
  deviation = deviation.where(deviation > 1e-6 * mean.abs() + 1e-30, torch::ones_like(deviation));

  const RankRange range(n, group);
  const auto count = range.end - range.begin;
  const auto type = train.values.scalar_type();
  const auto local = ((train.values.narrow(0, range.begin, count) - mean.to(type)) / deviation.to(type)).to(device);
  const auto local_class = targets.train.narrow(0, range.begin, count).to(device);
  const auto coordinates = make_coordinates(local, n, classes, penalty, group);

  const auto wide = torch::TensorOptions(device).dtype(torch::kFloat64);
  const auto split = [&](const at::Tensor& flat) {
    return std::pair(flat.narrow(0, 0, dim * classes).view({dim, classes}), flat.narrow(0, dim * classes, classes));
  };
  // A point holds V (d x classes), then the scaled bias.
  const auto evaluate = [&](const at::Tensor& point) {
    const auto [v, scaled_bias] = split(point);
    const auto weight = coordinates.to_weight(v);
    const auto bias = scaled_bias / coordinates.bias_scale;
    auto sums = torch::zeros({dim * classes + classes + 1}, wide);
    const auto [weight_sum, bias_sum] = split(sums);
    auto loss_sum = sums.narrow(0, dim * classes + classes, 1);
    for (std::int64_t row = 0; row < count; row += kRowBlock) {
      const auto rows = std::min(kRowBlock, count - row);
      const auto x = local.narrow(0, row, rows);
      const auto y = local_class.narrow(0, row, rows).unsqueeze(1);
      const auto log_p = torch::addmm(bias.to(type), x, weight.to(type)).log_softmax(1);
      loss_sum.sub_(log_p.gather(1, y).sum(torch::kFloat64));
      auto error = log_p.exp();
      error.scatter_add_(1, y, torch::full({rows, 1}, -1, error.options()));
      weight_sum.add_(x.t().mm(error));
      bias_sum.add_(error.sum(0, /*keepdim=*/false, torch::kFloat64));
    }
    group.all_reduce_sum(sums);
    sums = sums / double(n);
    const auto [weight_mean, bias_mean] = split(sums);
    Value value;
    value.loss = sums[dim * classes + classes].item<double>() + 0.5 * penalty * weight.square().sum().item<double>();
    value.gradient = torch::cat(
        {coordinates.gradient(weight_mean + penalty * weight).flatten(), bias_mean / coordinates.bias_scale});
    return value;
  };
  const auto small_enough = [&](const at::Tensor& gradient) {
    return 0.5 * dot_product(gradient, gradient) <= options.tolerance;
  };
  const auto minimum = minimize(torch::zeros({dim * classes + classes}, wide), evaluate, small_enough,
                                options.max_iterations, type == torch::kFloat64 ? 1e-15 : 3e-8);

  LogisticResult result;
  const auto [v, scaled_bias] = split(minimum.point);
  const auto standard_weight = coordinates.to_weight(v).t().cpu();
  result.weight = (standard_weight / deviation).to(type).contiguous();
  result.bias = (scaled_bias.cpu() / coordinates.bias_scale - (standard_weight * (mean / deviation)).sum(1)).to(type);
  result.class_labels = targets.class_labels;
  result.loss = minimum.loss;
  result.iterations = minimum.iterations;
  result.converged = minimum.converged;
  result.l2 = options.l2;
  result.protocol = "features";
  result.set_sizes(targets);
  result.skipped = train.skipped + test.skipped;

  // In standardized features, as fitted: folding the mean into the bias would round.
  const auto weight = standard_weight.to(type);
  const auto bias = (scaled_bias.cpu() / coordinates.bias_scale).to(type);
  const auto logits_of = [&](const at::Tensor& values) {
    return torch::addmm(bias, (values - mean.to(type)) / deviation.to(type), weight.t());
  };
  result.train_accuracy = double(count_top_k(train.values, targets.train, logits_of).top1) / double(n);
  result.set_counts(count_top_k(test.values, targets.test, logits_of));
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  return result;
}

Report report(const LogisticResult& result) {
  auto report = classification_report("linear_accuracy", "linear",
                                      concat("logistic regression, l2 ", result.l2, ", ", result.iterations,
                                             " iterations", result.converged ? "" : ", not converged"),
                                      result);
  report.json["l2"] = result.l2;
  report.json["train_accuracy"] = result.train_accuracy;
  report.json["loss"] = result.loss;
  report.json["iterations"] = result.iterations;
  report.json["converged"] = result.converged;
  if (!result.converged)
    report.warnings.push_back(concat("the logistic regression did not converge in ", result.iterations,
                                     " iterations; give a larger --features.max-iterations"));
  return report;
}

ProtocolSpec logistic_protocol() {
  ProtocolSpec spec{"linear", "features", "logistic regression on features, to convergence; nothing to tune",
                    "features"};
  spec.options = AnyOptions(LogisticOptions());
  spec.check = [](const AnyOptions& given) { require_valid(given.get<LogisticOptions>()); };
  spec.run_on_features = [](const AnyOptions& given, const Features& train, const Features& test,
                            const ProtocolContext& context) {
    auto options = given.get<LogisticOptions>();
    options.device = context.features.device;
    return report(logistic_regression(train, test, options, context.group));
  };
  return spec;
}

}  // namespace unlabel::eval
