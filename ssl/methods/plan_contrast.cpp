#include <unlabel/ssl/planning/plan_builder.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace unlabel::ssl {

// Settings of SimCLR:
//
// - Learning rate of LARS: the paper's square-root rule, 0.075 sqrt(batch) (appendix B.1), which equals the paper's 4.8 at a batch of 4096
//   and
//   is better than the linear rule at smaller ones. Warm-up from 0 over a tenth of the run, at most 10 epochs.
// - Temperature: 0.1; for small images 0.5, as published for CIFAR-10.
Plan plan_simclr(const PlanInput& input) {
  PlanBuilder plan(input);
  plan.two_views({0.08, 1.0}, 1);
  const auto features = plan.encoder();
  const auto batch = plan.batch_size();
  const auto epochs = plan.epochs();
  if (plan.optimizer("lars") == "lars") plan.choose<bool>("optimizer.lr_in_momentum", true, "as released");
  plan.choose<double>("optimizer.lr", round_to_2_digits(0.075 * std::sqrt(static_cast<double>(batch))),
                      "the paper's square-root rule, 0.075 sqrt(batch)");
  plan.choose<double>("optimizer.weight_decay", 1e-6, "the paper's");
  plan.choose<bool>("optimizer.exclude_bias_and_norm", true, "as released");
  plan.zero_init_residual();
  plan.choose<std::string>("schedule.kind", "cosine", "the paper's");
  plan.choose<double>("schedule.warmup_epochs", std::min(10.0, static_cast<double>(epochs) / 10),
                      "the paper's, at most a tenth of the run");
  plan.choose<bool>("schedule.warmup_reaches_peak", false,
                    "as released: the first step after the warm-up has the peak rate");
  plan.choose<std::int64_t>("simclr.hidden_dim", features, "equal to the features of the encoder");
  plan.choose<double>("simclr.temperature", plan.small() ? 0.5 : 0.1,
                      plan.small() ? "as published for CIFAR-10" : "the paper's");
  return plan.take();
}

namespace {

constexpr std::int64_t kFewInGroup = 16;  ///< fewer images have too noisy batch statistics

/// The size of MoCo's normalization groups for `images_per_pass` images in a forward pass: its largest divisor up to the released 32; if
/// that is below kFewInGroup, the smallest divisor above 32; else all images.
std::int64_t norm_group(std::int64_t images_per_pass) {
  auto below = std::min<std::int64_t>(32, images_per_pass);
  while (images_per_pass % below != 0) --below;
  if (below >= std::min(kFewInGroup, images_per_pass)) return below;
  for (std::int64_t above = 33; above <= 512; ++above)
    if (images_per_pass % above == 0) return above;
  return images_per_pass;
}

// Settings of MoCo:
//
// - SGD with learning rate 0.03 batch / 256.
// - Keys are normalized in groups of about 32 images, the number of each of the authors' GPUs.
// - The queue holds an eighth of the images, a power of two, at most the paper's 65,536; the authors' notebook for CIFAR-10
//   has 4096.
// - Momentum of the key network: 1 - momentum is a power of the number of updates, through the authors' values 0.99 at 19,400 updates
//   (CIFAR-10)
// and 0.999 at a million (ImageNet). It is never below 0.99: with a faster network, old keys in the queue differ too much from new ones,
// and
//   the embeddings collapse (docs/results.md).
Plan plan_moco(const PlanInput& input) {
  PlanBuilder plan(input);
  plan.two_views({0.2, 1.0}, 0.5);
  const auto features = plan.encoder();
  const auto batch = plan.batch_size();
  const auto epochs = plan.epochs();
  const auto updates = plan.updates(batch, epochs);
  plan.optimizer("sgd");
  plan.proportional_lr(0.03, batch);
  plan.choose<double>("optimizer.weight_decay", plan.small() ? 5e-4 : 1e-4,
                      plan.small() ? "the authors' for CIFAR-10" : "the paper's");
  plan.choose<std::string>("schedule.kind", "cosine", "v2's");
  plan.choose<std::int64_t>("moco.hidden_dim", features, "equal to the features of the encoder");
  plan.choose<double>("moco.temperature", plan.small() ? 0.1 : 0.2,
                      plan.small() ? "the authors' for CIFAR-10" : "v2's");
  // Queue: a power of two, at least one batch.
  const auto eighth = static_cast<std::int64_t>(
      std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(1, plan.images() / 8))));
  plan.choose<std::int64_t>("moco.queue_length", std::min<std::int64_t>(65536, std::max(eighth, batch)),
                            eighth >= 65536   ? "the paper's"
                            : eighth >= batch ? "about an eighth of the images"
                                              : "few images: the keys of one batch");
  // 1 - momentum, a line through the authors' points on a log-log scale.
  const double gap = 0.01 * std::pow(static_cast<double>(updates) / 19400, -0.584);
  plan.choose<double>("moco.momentum", 1 - round_to_2_digits(std::clamp(gap, 0.001, 0.01)),
                      updates <= 19400
                          ? "the authors' for CIFAR-10"
                          : concat("for ", updates, " updates; published: 0.99 for 19400 and 0.999 for a million"));
  const auto micro_batch = find_setting<std::int64_t>(input.given, "micro_batch").value_or(0);
  const auto images_per_pass = micro_batch > 0 ? micro_batch : batch;
  const auto group_size = norm_group(images_per_pass);
  plan.choose<std::int64_t>("moco.norm_group", group_size,
                            group_size == 32  ? "released: 256 images on 8 GPUs"
                            : micro_batch > 0 ? "a divisor of the micro-batch"
                                              : "a divisor of the batch");
  return plan.take();
}

std::vector<std::string> warn_moco(const nlohmann::json& settings, std::int64_t images) {
  std::vector<std::string> warnings;
  const auto queue = find_setting<std::int64_t>(settings, "moco.queue_length");
  if (queue && *queue > images)
    warnings.push_back(concat("a queue of ", *queue, " is longer than the data of ", images,
                              " images, so that a query's own image is among its negatives: give a smaller "
                              "--moco.queue-length, such as ",
                              std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(16, images / 8)))));
  const auto group_size = find_setting<std::int64_t>(settings, "moco.norm_group");
  const auto micro_batch = find_setting<std::int64_t>(settings, "micro_batch").value_or(0);
  const auto images_per_pass =
      micro_batch > 0 ? micro_batch : find_setting<std::int64_t>(settings, "batch_size").value_or(kFewInGroup);
  if (group_size && *group_size < std::min(kFewInGroup, images_per_pass))
    warnings.push_back(concat("keys are normalized by the statistics of ", *group_size,
                              " images, with which little may be learned: give a --moco.norm-group of ", kFewInGroup,
                              " or more that divides ", images_per_pass));
  return warnings;
}

}  // namespace

MethodPlan moco_plan() { return {plan_moco, warn_moco, "moco_v2_800ep"}; }
MethodPlan simclr_plan() { return {plan_simclr, {}, "simclr_1000ep"}; }

}  // namespace unlabel::ssl
