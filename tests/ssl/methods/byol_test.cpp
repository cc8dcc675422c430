#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/ssl/layers/ema.h>
#include <unlabel/ssl/methods/byol.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/optim/schedule.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include "ssl/tiny_method.h"

#include <map>

namespace unlabel::ssl::byol_test {
namespace {

using nlohmann::json;
using testing::TinyEncoder;

constexpr int kTotal = 12;  // of tests/golden/byol.py
const std::vector<int> kSizes{12, 12};

const json& golden() {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/byol.json");
  return value;
}

ByolOptions golden_options() {
  ByolOptions options;
  options.hidden_dim = 8;
  options.projection_dim = 5;
  options.base_momentum = 0.9;
  return options;
}

std::shared_ptr<Byol> golden_byol(const std::shared_ptr<const Group>& group = single_process()) {
  auto byol =
      std::make_shared<Byol>(std::make_shared<TinyEncoder>(), std::make_shared<TinyEncoder>(), golden_options());
  to_float_dtype(*byol, torch::kDouble);
  set_batch_norm_group(*byol, group);
  testing::set_parameters(*byol, golden()["start"]);
  return byol;
}

OptimizerOptions lars() {
  OptimizerOptions options;
  options.kind = "lars";
  options.weight_decay = 0.01;
  options.trust_coefficient = 0.05;
  options.exclude_bias_and_norm = true;
  return options;
}

Schedule golden_schedule() {
  ScheduleOptions options;
  options.warmup_epochs = 1;
  options.warmup_reaches_peak = false;
  return {options, 0.8, /*steps_per_epoch=*/3, kTotal};
}

Step step_at(int iteration) {
  Step step;
  step.iteration = iteration;
  step.total_iterations = kTotal;
  return step;
}

TEST(Byol, FollowsTheReleasedCodeOverTheSchedulesEnd) {
  const auto byol = golden_byol();
  Optimizer optimizer(byol->parameter_groups(), lars());
  const auto rate = golden_schedule();
  const auto& losses = golden()["losses"];
  ASSERT_GT(losses.size(), kTotal);
  int checked = 0;
  for (int t = 0; t < static_cast<int>(losses.size()); ++t) {
    const auto step = step_at(t);
    optimizer.zero_grad();
    byol->before_step(step);
    const auto loss = byol->loss(testing::chirps(kSizes, 6, t), step);
    loss.value.backward();
    EXPECT_NEAR(loss.value.item<double>(), losses[t].get<double>(), 1e-9) << "step " << t;
    EXPECT_NEAR(rate(t), golden()["rates"][t].get<double>(), 1e-12) << "step " << t;
    if (const auto key = std::to_string(t); golden()["gradients"].contains(key)) {
      for (const auto& [name, gradient] : golden()["gradients"][key].items())
        EXPECT_LT(testing::distance(byol->named_parameters()[name].grad(), gradient), 1e-9)
            << "step " << t << " " << name;
      ++checked;
    }
    byol->before_update(step);
    optimizer.step(rate(t));
    byol->after_step(step);
  }
  EXPECT_EQ(checked, 5);
  const auto end = testing::tensors_of(*byol);
  std::size_t compared = 0;
  for (const auto& [name, values] : golden()["end"].items()) {
    ASSERT_TRUE(end.contains(name)) << name;
    EXPECT_LT(testing::distance(end.at(name), values), 1e-9) << name;
    ++compared;
  }
  EXPECT_GT(compared, 30u);  // online and target, with running statistics
}

TEST(Byol, HasTheGradientOfItsLoss) {
  const auto byol = golden_byol();
  byol->before_step(step_at(0));
  const auto views = testing::chirps(kSizes, 6, 2);
  testing::expect_gradients(*byol, [&] { return byol->loss(views, {}).value; });
}

TEST(Byol, IsTheSameOnAnyNumberOfRanks) {
  const auto train = [](const std::shared_ptr<const Group>& group) {
    const auto byol = golden_byol(group);
    Optimizer optimizer(byol->parameter_groups(), lars());
    const auto rate = golden_schedule();
    for (int t = 0; t < kTotal; ++t) {
      optimizer.zero_grad();
      byol->before_step(step_at(t));
      byol->loss(testing::chirps(kSizes, 8, t, group->rank(), group->world_size()), step_at(t)).value.backward();
      testing::average_gradients(*byol, *group);
      optimizer.step(rate(t));
      byol->after_step(step_at(t));
    }
    return testing::tensors_of(*byol);
  };
  const auto one = train(single_process());
  EXPECT_GT(testing::distance(one.at("projector.0.weight"), golden()["start"]["projector.0.weight"]), 1e-2);
  for (const int world : {2, 4}) {
    testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
      const auto many = train(group);
      ASSERT_EQ(many.size(), one.size());
      for (const auto& [name, tensor] : one)
        EXPECT_LT((many.at(name) - tensor).abs().max().item<double>(), 1e-9) << world << " ranks, " << name;
    });
  }
}

TEST(Byol, MovesTheTargetOnceAnUpdate) {
  const auto byol = golden_byol();
  auto target = byol->named_parameters()["target_projector.0.weight"];
  auto online = byol->named_parameters()["projector.0.weight"];
  EXPECT_GT((target - online).abs().max().item<double>(), 1e-3);
  byol->before_step(step_at(0));
  EXPECT_EQ((target - online).abs().max().item<double>(), 0);
  const auto before = target.clone();
  {
    const torch::NoGradGuard no_grad;
    online.add_(1);
  }
  auto step = step_at(0);
  step.micro_steps = 2;
  for (step.micro_step = 0; step.micro_step < 2; ++step.micro_step)
    byol->loss(testing::chirps(kSizes, 6, step.micro_step), step);
  EXPECT_EQ((target - before).abs().max().item<double>(), 0);
  byol->after_step(step);
  EXPECT_NEAR((target - before).max().item<double>(), 0.1, 1e-12);
  byol->after_step(step_at(kTotal));  // at the end it stands still
  EXPECT_NEAR((target - before).max().item<double>(), 0.1, 1e-12);
  EXPECT_FALSE(target.requires_grad());
  for (const auto& group : byol->parameter_groups())
    for (const auto& name : group.names) EXPECT_FALSE(name.starts_with("target_")) << name;
}

TEST(Byol, RaisesTheMomentumByACosine) {
  EXPECT_DOUBLE_EQ(cosine_momentum(0.996, 0, 100), 0.996);
  EXPECT_DOUBLE_EQ(cosine_momentum(0.996, 50, 100), 0.998);
  EXPECT_DOUBLE_EQ(cosine_momentum(0.996, 100, 100), 1);
  EXPECT_DOUBLE_EQ(cosine_momentum(0.5, 0, 0), 0.5);
}

TEST(Byol, KeepsTheDistanceOutOfAutocast) {
  const auto byol = golden_byol();
  to_float_dtype(*byol, torch::kFloat);
  auto views = testing::chirps(kSizes, 6, 0);
  for (auto& item : views.tensors) item.second = item.second.to(torch::kFloat);
  const auto loss = testing::in_bf16([&] { return byol->loss(views, {}); });
  EXPECT_EQ(loss.value.scalar_type(), torch::kFloat);
  EXPECT_EQ(loss.embeddings.scalar_type(), torch::kFloat);
  EXPECT_EQ(loss.embeddings.sizes(), (std::vector<std::int64_t>{6, 5}));
  EXPECT_FALSE(loss.embeddings.requires_grad());
}

TEST(Byol, CanBeBrokenOnPurpose) {
  auto options = golden_options();
  options.predictor = false;
  options.head_norm = false;
  Byol byol(std::make_shared<TinyEncoder>(), std::make_shared<TinyEncoder>(), options);
  for (const auto& item : byol.named_parameters()) {
    EXPECT_FALSE(item.key().starts_with("predictor")) << item.key();
    EXPECT_FALSE(item.key().starts_with("projector.1")) << item.key();
  }
  to_float_dtype(byol, torch::kDouble);
  EXPECT_GT(byol.loss(testing::chirps(kSizes, 6, 0), {}).value.item<double>(), 0);
}

TEST(Byol, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    auto options = golden_options();
    change(options);
    return refusal([&] { Byol(std::make_shared<TinyEncoder>(), std::make_shared<TinyEncoder>(), options); });
  };
  EXPECT_EQ(refused([](auto&) {}), "(accepted)");
  EXPECT_EQ(refused([](auto& o) { o.hidden_dim = 0; }), "byol.hidden_dim is 0: it must be above 0");
  EXPECT_EQ(refused([](auto& o) { o.base_momentum = 1.5; }),
            "byol.base_momentum is 1.5: it must be in [0, 1], such as 0.99");
  const auto byol = golden_byol();
  EXPECT_THROW(byol->loss(testing::chirps({12}, 6, 0), {}), UsageError);
  EXPECT_NO_THROW(byol->check_views(augment::preset("byol", {.global_size = 32})));
  EXPECT_THROW(byol->check_views(augment::preset("swav", {.global_size = 32, .local_size = 16})), UsageError);
  EXPECT_THROW(byol->check_views(augment::preset("deepcluster", {.global_size = 32})), UsageError);
}

}  // namespace
}  // namespace unlabel::ssl::byol_test
