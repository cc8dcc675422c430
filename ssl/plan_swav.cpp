#include <unlabel/ssl/planner_parts.h>

#include <cmath>

namespace unlabel::ssl {

// - Local crops keep the paper's ratio to the global ones, 96 to 224; of small images they are half as large.
// - The learning rate goes through the two published points of LARC, 0.6 at a batch of 256 and 4.8 at 4096, as a power of
//   the batch (0.75; not the linear rule); batches from 1024 on warm up for 10 epochs from a sixteenth of it. It ends at
//   a thousandth.
// - Prototypes: one for every 100 images, from 64 to the paper's 3000, never more than a quarter of the images.
// - The prototypes are frozen for the first epoch, as in the published scripts (313 iterations of 4096, 5005 of 256, on ImageNet).
// - A queue when there are more than twice as many prototypes as samples in a batch: 1.28 embeddings a prototype (3840 for
//   3000), from epoch 15, or an eighth of the run.
Plan plan_swav(const PlanInput& input) {
  Planner plan(input);
  const std::int64_t images = plan.images();
  const bool small = plan.small();

  // Images and network.
  const auto global = plan.global_size();
  plan.choose<std::string>("augment.preset", "swav", "flip, colour jitter, grey and blur as in the paper");
  plan.choose<std::int64_t>("augment.global_count", 2, "the paper's: two views give the targets");
  const auto locals = plan.choose<std::int64_t>("augment.local_count",
                                                global < 24 ? 0
                                                : small     ? 4
                                                            : 6,
                                                global < 24 ? "crops smaller than these show too little"
                                                            : "more views at a small price (the paper's multi-crop)");
  if (locals > 0)
    plan.choose<std::int64_t>(
        "augment.local_size",
        std::min(global, small ? round_to(global * 0.5, 4, 8) : round_to(global * 96.0 / 224, 8, 32)),
        small ? "half of the global crops" : "the paper's ratio, 96 to 224");
  if (small) {
    plan.choose<std::vector<double>>("augment.global_scale", {0.2, 1.0},
                                     "small images: crops of less than a fifth show too little");
    if (locals > 0)
      plan.choose<std::vector<double>>("augment.local_scale", {0.05, 0.2}, "up to where the global crops begin");
    plan.choose<bool>("augment.blur", false, "small images are blurred enough");
    plan.choose<double>("augment.jitter", 0.5, "half the paper's, as published recipes for CIFAR have it");
  }
  const auto features = plan.encoder();

  // Batch, length, learning rate.
  const auto batch = plan.batch_size();
  const std::int64_t steps = std::max<std::int64_t>(1, images / batch);
  const auto epochs = plan.epochs();
  plan.optimizer("larc");
  const auto lr = plan.choose<double>(
      "optimizer.lr", two_digits(0.6 * std::pow(static_cast<double>(batch) / 256, 0.75)),
      batch == 256    ? "published for a batch of 256"
      : batch == 4096 ? "published for a batch of 4096"
                      : concat("for a batch of ", batch, ", by the published 0.6 at 256 and 4.8 at 4096"));
  plan.choose<double>("optimizer.weight_decay", 1e-6, "the paper's");
  plan.choose<std::string>("schedule.kind", "cosine", "the paper's");
  plan.choose<double>("schedule.final_lr", two_digits(lr / 1000), "a thousandth of the peak, as published");
  const double warmup = plan.choose<double>(
      "schedule.warmup_epochs", batch >= 1024 ? std::min(10.0, static_cast<double>(epochs) / 10) : 0.0,
      batch >= 1024 ? "large batches begin slowly, as published" : "published batches of 256 do without");
  if (warmup > 0) plan.choose<double>("schedule.warmup_start_lr", lr / 16, "as published: 0.3 before 4.8");

  // Prototypes.
  const auto prototypes = plan.choose<std::int64_t>(
      "swav.prototypes",
      std::max<std::int64_t>(2, std::min({std::int64_t{3000}, images / 4, std::max<std::int64_t>(64, images / 100)})),
      images >= 300000 ? "the paper's"
      : images >= 6400 ? "one for 100 images"
      : images >= 256  ? "few images: 64 classes to tell apart are still useful"
                       : "few images: one for four of them");
  plan.choose<std::int64_t>("swav.hidden_dim", features, "as many as the features of the encoder");
  plan.choose<std::int64_t>("swav.freeze_prototypes_iterations", std::min(steps, steps * epochs / 2),
                            "the first epoch, as published");
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
                              "early embeddings are of no use; published: 15 of 200 epochs");
  return plan.take();
}

void warn_swav(const nlohmann::json& settings, std::int64_t images, Warnings& warnings) {
  const auto warn = [&](const auto&... parts) { warnings.push_back(concat(parts...)); };
  const auto number = [&](const char* setting) { return find_setting<std::int64_t>(settings, setting); };
  const auto batch = number("batch_size"), epochs = number("epochs"), prototypes = number("swav.prototypes");
  const auto queue = number("swav.queue_length"), start = number("swav.queue_start_epoch");
  const auto freeze = number("swav.freeze_prototypes_iterations");
  const bool usable = batch && *batch > 0;
  const std::int64_t length = usable && queue ? *queue - *queue % *batch : 0;

  if (prototypes && *prototypes > images)
    warn(*prototypes, " prototypes for ", images, " images: give fewer than images, --swav.prototypes ",
         std::max<std::int64_t>(2, images / 4));
  if (prototypes && usable && *prototypes > 4 * (*batch + length))
    warn(*prototypes, " prototypes for ", *batch + length,
         " assigned samples (batch and queue): most get none; give fewer, a larger batch or "
         "--swav.queue_length ",
         (*prototypes * 128 / 100 + *batch - 1) / *batch * *batch);
  if (queue && *queue > 0 && usable && length == 0)
    warn("a queue of ", *queue, " is shorter than a batch of ", *batch,
         " and is not used: give 0, or a multiple of the batch");
  if (length > images)
    warn("a queue of ", length, " is longer than the data of ", images, " images: its embeddings are stale");
  if (length > 0 && epochs && start && *start >= *epochs)
    warn("the queue starts at epoch ", *start, " of ", *epochs,
         " and is never used: give a smaller --swav.queue_start_epoch");
  if (freeze && usable && epochs && *batch <= images && *freeze >= images / *batch * *epochs)
    warn("the prototypes are frozen for ", *freeze, " iterations, the whole run of ", images / *batch * *epochs,
         ": give a smaller --swav.freeze_prototypes_iterations");
}

}  // namespace unlabel::ssl
