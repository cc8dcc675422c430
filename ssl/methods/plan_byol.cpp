#include <unlabel/ssl/planning/plan_builder.h>

#include <cmath>

namespace unlabel::ssl {

namespace {

// Settings of BYOL:
//
// - Optimizer: SGD for a run of few updates, because LARS changes a weight by about 0.001 lr of its norm in each update, which is too
//   little
//   in few updates (docs/results.md); else LARS.
// - Learning rate of LARS: the published base for the length of the run (0.45, 0.3 and 0.2 for 100, 300 and 1000 epochs) times batch / 256,
//   the paper's linear rule. Warm-up from 0 over a tenth of the run, at most 10 epochs.
// - Momentum of the target: 1 - momentum is a power of the number of updates, through the published points 0.97 at 12,500 updates and 0.996
//   at 313,000, so that the target network of a short run follows fast enough; between 0.9 and 0.999.
Plan plan_byol(const PlanInput& input) {
  PlanBuilder plan(input);
  plan.global_size();
  plan.choose<std::string>(
      "augment.preset", "byol",
      "the paper's two kinds of views: one always blurred, the other rarely blurred and sometimes solarized");
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
    plan.choose<bool>("schedule.warmup_reaches_peak", false,
                      "as released: the first step after the warm-up has the peak rate");
  }

  plan.choose<std::int64_t>("byol.hidden_dim", std::max<std::int64_t>(256, 2 * features),
                            features >= 128 ? "twice the features of the encoder, as in the paper"
                                            : "as wide as the embedding: the encoder has few features");
  plan.choose<std::int64_t>("byol.projection_dim", 256, "the paper's");
  // 1 - momentum, a line through the published points on a log-log scale.
  const double gap = 0.03 * std::pow(static_cast<double>(updates) / 12500, -0.626);
  plan.choose<double>("byol.base_momentum", 1 - round_to_2_digits(std::clamp(gap, 0.001, 0.1)),
                      concat("for ", updates, " updates; published: 0.97 for 12500 and 0.996 for 313000"));
  return plan.take();
}

}  // namespace

MethodPlan byol_plan() { return {plan_byol, {}, "byol_1000ep"}; }

}  // namespace unlabel::ssl
