#include <unlabel/ssl/planning/plans.h>

#include <algorithm>

namespace unlabel::ssl {

namespace {

// - One cluster for every 128 images, as the paper's 10,000 for ImageNet, at least 16.
// - SGD at 0.05 for a batch of 256, in proportion to the batch, without a schedule. In a run of few updates smaller batches have no less
//   (docs/results.md).
// - The top layer begins anew each epoch. The paper's has 5000 steps at the rate of the network; one with fewer steps has up to
//   ten times that rate, or it stays at ln(clusters) for most of an epoch and the network learns little (docs/results.md).
Plan plan_deepcluster(const PlanInput& input) {
  PlanBuilder plan(input);
  plan.global_size();
  plan.choose<std::string>("augment.preset", "deepcluster", "one view: a crop and a flip, as in the paper");
  if (plan.small()) plan.large_crops();
  const auto features = plan.encoder();
  plan.choose<bool>("encoder.sobel", true, "the paper's: edges, since colors alone are too easy to cluster");

  const auto batch = plan.batch_size();
  const auto epochs = plan.epochs();
  plan.optimizer("sgd");
  const bool few = plan.few_updates(batch, epochs);
  const auto lr =
      few && batch < 256
          ? plan.choose<double>(
                "optimizer.lr", 0.05,
                concat("the published one for a batch of 256: ", plan.updates(batch, epochs), " updates are few"))
          : plan.proportional_lr(0.05, batch);
  plan.choose<double>("optimizer.weight_decay", 1e-5, "the paper's");
  plan.choose<std::string>("schedule.kind", "constant", "the paper's");
  plan.choose<std::int64_t>(
      "deepcluster.clusters",
      std::clamp<std::int64_t>(plan.images() / 128, std::min<std::int64_t>(16, plan.images()), 10000),
      plan.images() >= 1280000    ? "the paper's"
      : plan.images() >= 16 * 128 ? "one for 128 images, as in the paper"
                                  : "few images: at least 16");
  plan.choose<std::int64_t>("deepcluster.pca_dim", std::min<std::int64_t>(256, features),
                            features >= 256 ? "the paper's" : "as many as the features of the encoder");
  const auto steps = std::max<std::int64_t>(1, plan.images() / batch);
  auto times = std::clamp(5000.0 / static_cast<double>(steps), 1.0, 10.0);
  // In short runs of short epochs ten times is too much (docs/results.md: less is gained than with five times, and seeds differ by more).
  if (few) times = std::min(times, std::max(1.0, static_cast<double>(steps) / 7));
  plan.choose<double>("deepcluster.top_layer_lr", round_to_2_digits(lr * times),
                      times <= 1.01 ? "that of the rest of the network"
                                    : concat("for ", steps, " steps to learn it in, ", round_to_2_digits(times),
                                             " times that of the rest"));
  return plan.take();
}

}  // namespace

MethodPlan deepcluster_plan() { return {plan_deepcluster, {}, "deepcluster_alexnet", 30}; }

}  // namespace unlabel::ssl
