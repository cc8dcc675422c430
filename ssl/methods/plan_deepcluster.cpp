#include <unlabel/ssl/planning/plan_builder.h>

#include <algorithm>

namespace unlabel::ssl {

namespace {

// Settings of DeepCluster:
//
// - Clusters: one for every 128 images, as the paper's 10,000 for ImageNet; at least 16.
// - SGD with the constant learning rate 0.05 batch / 256; in a run of few updates at least 0.05 (docs/results.md).
// - Top layer: it is initialized anew each epoch. In the paper it has 5000 steps per epoch and the learning rate of the backbone. With
//   fewer
// steps it gets a rate up to ten times as high; otherwise its loss stays at ln(clusters) for most of an epoch, and the backbone learns
// little
//   (docs/results.md).
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
      : plan.images() >= 16 * 128 ? "one per 128 images, as in the paper"
                                  : "few images: at least 16");
  plan.choose<std::int64_t>("deepcluster.pca_dim", std::min<std::int64_t>(256, features),
                            features >= 256 ? "the paper's" : "equal to the features of the encoder");
  const auto steps = std::max<std::int64_t>(1, plan.images() / batch);
  auto times = std::clamp(5000.0 / static_cast<double>(steps), 1.0, 10.0);
  // In short runs of short epochs a factor of ten is too high (docs/results.md: a factor of five gains more, and seeds differ less).
  if (few) times = std::min(times, std::max(1.0, static_cast<double>(steps) / 7));
  plan.choose<double>("deepcluster.top_layer_lr", round_to_2_digits(lr * times),
                      times <= 1.01
                          ? "that of the backbone"
                          : concat(round_to_2_digits(times), " times that of the backbone, because an epoch has only ",
                                   steps, " steps"));
  return plan.take();
}

}  // namespace

MethodPlan deepcluster_plan() { return {plan_deepcluster, {}, "deepcluster_alexnet", 30}; }

}  // namespace unlabel::ssl
