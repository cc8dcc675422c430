#include <unlabel/ssl/planning/plan_builder.h>

#include <cmath>

namespace unlabel::ssl {

namespace {

/// With fewer prototypes than this, epsilon is smaller than the paper's.
constexpr std::int64_t kFewPrototypes = 500;

// Settings of SwAV. Those for few updates and for few prototypes were measured (docs/results.md).
//
// - Sinkhorn's epsilon: 0.03 for few prototypes. A score is the dot product of two unit vectors in 128 dimensions, with a standard
//   deviation of
//   about 0.09. The largest of 64 scores of a sample is much smaller than the largest of the paper's 3000, so with the paper's 0.05
// assignments are nearly uniform, and the loss stays at ln K for hundreds of updates or the whole run. (The authors also advise 0.03 then.)
// - Optimizer: LARC changes a weight by about 0.001 lr of its norm in each update, which suits runs of tens of thousands of updates. A run
//   of
//   fewer than 5000 has SGD with half the learning rate of this project's recipes for small data, or a quarter of it above 32 pixels: with
//   higher rates the embeddings are reduced to a few directions within the first epoch.
// - Views: small images have no local crops, as in published recipes for CIFAR; their global crops have at least 0.4 of the area, as in
//   this
// project's recipes, with half the color jitter and no blur. A run of few updates with larger images has the same, because with the paper's
//   views its embeddings would be reduced to a few directions.
// - The prototypes are frozen in the first epoch, as in the published scripts (313 iterations of 4096 images, 5005 of 256, on ImageNet).
// - A queue is used if there are more than twice as many prototypes as samples in a batch. Its length is 1.28 embeddings per prototype
//   (3840
//   for 3000), and it starts at epoch 15 or after an eighth of the run.
Plan plan_swav(const PlanInput& input) {
  PlanBuilder plan(input);
  const std::int64_t images = plan.images();

  const auto batch = plan.batch_size();
  const std::int64_t steps = std::max<std::int64_t>(1, images / batch);
  const auto epochs = plan.epochs();
  plan.multi_crop(batch, epochs);
  const auto features = plan.encoder();
  plan.larc_or_sgd(batch, epochs);

  const auto [clusters, why] = plan.clusters();
  const auto prototypes = plan.choose<std::int64_t>("swav.prototypes", clusters, why);
  plan.choose<double>(
      "swav.epsilon", prototypes < kFewPrototypes ? 0.03 : 0.05,
      prototypes < kFewPrototypes
          ? concat("for ", prototypes, " prototypes; at the paper's 0.05 for 3000 assignments are nearly uniform")
          : "the paper's");
  plan.choose<std::int64_t>("swav.hidden_dim", features, "equal to the features of the encoder");
  plan.choose<std::int64_t>("swav.freeze_prototypes_iterations", std::min(steps, steps * epochs / 2),
                            "the first epoch, as published");
  // The queue in batches, rounded up.
  const std::int64_t queued =
      static_cast<std::int64_t>(std::ceil(1.28 * static_cast<double>(prototypes) / static_cast<double>(batch)));
  const bool queue = prototypes > 2 * batch && queued * batch <= images;
  const auto length = plan.choose<std::int64_t>(
      "swav.queue_length", queue ? queued * batch : 0,
      queue                    ? concat(prototypes, " prototypes are many for a batch of ", batch)
      : prototypes > 2 * batch ? "there are too few images to fill one"
                               : concat(prototypes, " prototypes are few enough for a batch of ", batch));
  if (length > 0)
    plan.choose<std::int64_t>("swav.queue_start_epoch", std::min<std::int64_t>(15, epochs / 8),
                              "embeddings of the first epochs are of no use; published: epoch 15 of 200");
  return plan.take();
}

std::vector<std::string> warn_swav(const nlohmann::json& settings, std::int64_t images) {
  std::vector<std::string> warnings;
  const auto warn = [&](const auto&... parts) { warnings.push_back(concat(parts...)); };
  const auto number = [&](const char* setting) { return find_setting<std::int64_t>(settings, setting); };
  const auto batch = number("batch_size"), epochs = number("epochs"), prototypes = number("swav.prototypes");
  const auto queue = number("swav.queue_length"), start = number("swav.queue_start_epoch");
  const auto freeze = number("swav.freeze_prototypes_iterations");
  // As Swav does, round the queue down to whole batches.
  const bool usable = batch && *batch > 0;
  const std::int64_t length = usable && queue ? *queue - *queue % *batch : 0;

  if (prototypes && *prototypes > images)
    warn(*prototypes, " prototypes for ", images, " images: give fewer prototypes than images, --swav.prototypes ",
         std::max<std::int64_t>(2, images / 4));
  if (prototypes && usable && *prototypes > 4 * (*batch + length)) {
    const auto enough = (*prototypes * 128 / 100 + *batch - 1) / *batch * *batch;
    warn(*prototypes, " prototypes for ", *batch + length,
         " assigned samples (batch and queue): most prototypes get none; give fewer",
         enough <= images ? concat(", a larger batch or --swav.queue-length ", enough) : " or a larger batch");
  }
  if (queue && *queue > 0 && usable && length == 0)
    warn("a queue of ", *queue, " is shorter than a batch of ", *batch,
         " and is not used: give 0, or a multiple of the batch");
  if (length > images)
    warn("a queue of ", length, " is longer than the data of ", images,
         " images: its oldest embeddings are more than an epoch old; give a smaller --swav.queue-length");
  if (length > 0 && epochs && start && *start >= *epochs)
    warn("the queue starts at epoch ", *start, " of ", *epochs,
         " and is never used: give a smaller --swav.queue-start-epoch");
  if (freeze && usable && epochs && *batch <= images && *freeze >= images / *batch * *epochs)
    warn("the prototypes are frozen for ", *freeze, " iterations, the whole run of ", images / *batch * *epochs,
         ": give a smaller --swav.freeze-prototypes-iterations");
  return warnings;
}

}  // namespace

MethodPlan swav_plan() { return {plan_swav, warn_swav, "swav_800ep"}; }

}  // namespace unlabel::ssl
