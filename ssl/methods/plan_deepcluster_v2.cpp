#include <unlabel/ssl/planning/plan_builder.h>

namespace unlabel::ssl {

namespace {

// Settings of DeepCluster-v2: views, network, optimizer and learning rates are those of SwAV, with which it was published. Each of the
// three heads has as many clusters as SwAV would have prototypes; the prototypes are not trained by gradient.
Plan plan_deepcluster_v2(const PlanInput& input) {
  PlanBuilder plan(input);
  const auto batch = plan.batch_size();
  const auto epochs = plan.epochs();
  plan.multi_crop(batch, epochs);
  const auto features = plan.encoder();
  plan.larc_or_sgd(batch, epochs);
  const auto [clusters, why] = plan.clusters();
  plan.choose<std::vector<std::int64_t>>("deepcluster_v2.prototypes", {clusters, clusters, clusters},
                                         concat("three heads, as published; ", why));
  plan.choose<std::int64_t>("deepcluster_v2.hidden_dim", features, "equal to the features of the encoder");
  return plan.take();
}

}  // namespace

MethodPlan deepcluster_v2_plan() { return {plan_deepcluster_v2, {}, "deepcluster_v2_800ep"}; }

}  // namespace unlabel::ssl
