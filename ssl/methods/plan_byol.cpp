#include <unlabel/ssl/planning/plans.h>

#include <cmath>

namespace unlabel::ssl {

namespace {

// - A run of few updates has SGD: LARS moves a weight by a thousandth of its norm times the rate, too little in so few (docs/results.md).
// - Otherwise the learning rate is the published base for the length of the run (0.45, 0.3 and 0.2 for 100, 300 and 1000 epochs) times
//   batch / 256, the paper's linear rule; a tenth of the run, at most 10 epochs, warms up from 0.
// - The target's momentum goes through the published points, 0.97 for 12,500 updates and 0.996 for 313,000, as a power of
//   their number, so that a short run's target can still follow; never below 0.9.
Plan plan_byol(const PlanInput& input) {
  PlanBuilder plan(input);
  plan.global_size();
  plan.choose<std::string>("augment.preset", "byol",
                           "the paper's two kinds of views: one always blurred, one rarely, and solarized at times");
  if (plan.small()) {
    plan.large_crops();
    plan.no_blur();
  }
  const auto features = plan.encoder();
  plan.zero_init_residual();

  const auto batch = plan.batch_size();
  const auto epochs = plan.epochs();
  const auto updates = plan.updates(batch, epochs);
  if (plan.prefers_sgd(batch, epochs)) {
    plan.sgd(batch, epochs, 0.4, "LARS");
  } else {
    plan.optimizer("lars", PlanBuilder::kAsPublished, "lars and sgd");
    const double base = epochs < 200 ? 0.45 : epochs < 600 ? 0.3 : 0.2;
    plan.choose<double>("optimizer.lr", round_to_2_digits(base * static_cast<double>(batch) / 256),
                        concat("published for ",
                               base == 0.45  ? 100
                               : base == 0.3 ? 300
                                             : 1000,
                               " epochs: ", base, " times the batch over 256"));
    plan.choose<double>("optimizer.weight_decay", epochs < 600 ? 1e-6 : 1.5e-6, "published for a run of this length");
    plan.choose<bool>("optimizer.exclude_bias_and_norm", true, "the paper's");
    plan.choose<std::string>("schedule.kind", "cosine", "the paper's");
    plan.choose<double>("schedule.warmup_epochs", std::min(10.0, static_cast<double>(epochs) / 10),
                        "the paper's 10, at most a tenth of the run");
    plan.choose<bool>("schedule.warmup_reaches_peak", false, "as released: the first step after it has the peak");
  }

  plan.choose<std::int64_t>("byol.hidden_dim", std::max<std::int64_t>(256, 2 * features),
                            features >= 128 ? "twice the features of the encoder, as in the paper"
                                            : "as wide as the embedding: the encoder has few features");
  plan.choose<std::int64_t>("byol.projection_dim", 256, "the paper's");
  const double gap = 0.03 * std::pow(static_cast<double>(updates) / 12500, -0.626);
  plan.choose<double>("byol.base_momentum", 1 - round_to_2_digits(std::clamp(gap, 0.001, 0.1)),
                      concat("for ", updates, " updates; published: 0.97 for 12500 and 0.996 for 313000"));
  return plan.take();
}

}  // namespace

MethodPlan byol_plan() { return {plan_byol, {}, "byol_1000ep"}; }

}  // namespace unlabel::ssl
