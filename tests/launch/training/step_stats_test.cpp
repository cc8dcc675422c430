#include <unlabel/launch/checkpoint/checkpoint_files.h>
#include <unlabel/launch/distributed/data_parallel.h>
#include <unlabel/launch/pretrain/broken_images.h>
#include <unlabel/launch/pretrain/training_monitor.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/launch/training/step_guard.h>
#include <unlabel/launch/training/step_stats.h>
#include <unlabel/ssl/layers/batch_norm.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/monitor/embedding_stats.h>
#include <unlabel/ssl/weights/weights.h>

#include "launch/program.h"
#include "launch/rank_threads.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <map>
#include <mutex>

namespace unlabel::launch::step_stats_test {
namespace {

/// How a small SwAV trains on two ranks: six steps over a filling and a full queue.
struct Trial {
  bool deferred = false;
  std::string optimizer = "larc";
  bool poisoned = false;  ///< at step 3 rank 1 sees a NaN
  bool omitted = false;   ///< there is no step 3
};

using State = std::map<std::string, at::Tensor>;

State copy_of(ssl::Method& method, const ssl::Optimizer& optimizer) {
  State state;
  for (const auto& [name, tensor] : ssl::state_of(method)) state[name] = tensor.detach().clone();
  for (const auto& [name, tensor] : optimizer.state()) state["optimizer." + name] = tensor.clone();
  return state;
}

void expect_equal(const State& a, const State& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(torch::equal(tensor, b.at(name))) << what << ": " << name;
}

State train(const Trial& trial, int world_size) {
  std::mutex mutex;
  std::vector<State> states(world_size);
  run_gloo_ranks(world_size, [&](std::shared_ptr<const ssl::Group> group) {
    constexpr std::int64_t kBatch = 8;
    const auto local = kBatch / world_size;
    std::unique_lock lock(mutex);  // the generator is the process's
    torch::manual_seed(5);
    auto encoder = ssl::make_image_encoder({.arch = "resnet18", .width = 2, .stem = "small"});
    ssl::SwavOptions options;
    options.prototypes = 6;
    options.projection_dim = 4;
    options.hidden_dim = 8;
    options.freeze_prototypes_iterations = 2;
    options.queue_length = 16;
    options.queue_start_epoch = 0;
    ssl::Swav method(encoder, options, kBatch, group);
    std::vector<at::Tensor> images;
    for (int step = 0; step < 6; ++step) images.push_back(torch::randn({kBatch, 3, 16, 16}));
    lock.unlock();
    ssl::set_batch_norm_group(method, group);
    ssl::OptimizerOptions settings;
    settings.kind = trial.optimizer;
    settings.lr = 0.1;
    ssl::Optimizer optimizer(method.parameter_groups(), settings);
    LossScaler scaler(false, torch::kCPU);
    StepGuard guard(method, optimizer, trial.deferred);
    DataParallel parallel(method, group);
    for (std::int64_t i = 0; i < 6; ++i) {
      const ssl::Step step{i, 0, 6, 6, 0, 1};
      if (i == 3 && trial.omitted) {
        method.before_step(step);
        continue;
      }
      const auto before = copy_of(method, optimizer);
      auto mine = images[i].narrow(0, group->rank() * local, local).clone();
      const bool bad = i == 3 && trial.poisoned;
      if (bad && group->rank() == world_size - 1) mine[0][0][3][3] = std::numeric_limits<float>::quiet_NaN();
      guard.before_forward();
      method.before_step(step);
      const auto normalized = copy_of(method, optimizer);
      optimizer.zero_grad();
      parallel.before_forward();
      const auto loss = method.loss({{{"view.0", mine}, {"view.1", mine.flip(3)}}, torch::arange(local)}, step);
      parallel.backward(loss.value);
      LocalStepStats stats;
      stats.loss = loss.value.detach().to(torch::kFloat64);
      stats.diagnostics = loss.diagnostics;
      stats.stop = i == 2 && group->rank() == 0;
      StepStatsReduction exchange(*group, stats);
      const auto finite = scaler.unscale(method.parameters()).logical_and(exchange.loss().isfinite());
      exchange.copy_to_host_async(finite);
      guard.update(finite, [&] {
        method.before_update(step);
        optimizer.step(0.1);
        method.after_step(step);
      });
      const auto health = exchange.wait();
      EXPECT_EQ(health.finite, !bad) << "on rank " << group->rank();
      EXPECT_EQ(std::isfinite(health.loss), !bad);
      EXPECT_EQ(health.stop, i == 2) << "what one rank says all know";
      EXPECT_EQ(health.diagnostics.size(), loss.diagnostics.size());
      const auto after = copy_of(method, optimizer);
      if (bad)
        expect_equal(after, normalized, "a step that is left out changes nothing");
      else
        EXPECT_FALSE(torch::equal(after.at("backbone.conv1.weight"), before.at("backbone.conv1.weight")));
    }
    states[group->rank()] = copy_of(method, optimizer);
  });
  for (int rank = 1; rank < world_size; ++rank) expect_equal(states[0], states[rank], "ranks");
  return states[0];
}

TEST(StepGuard, ANonFiniteLossOnOneRankIsLeftOutOnAll) {
  for (const std::string optimizer : {"larc", "adamw"})
    for (const bool deferred : {false, true}) {
      SCOPED_TRACE(optimizer + (deferred ? ", deferred" : ""));
      const auto poisoned = train({deferred, optimizer, /*poisoned=*/true, false}, 2);
      const auto omitted = train({deferred, optimizer, false, /*omitted=*/true}, 2);
      expect_equal(poisoned, omitted, "as if the step had not been");
    }
}

TEST(StepGuard, DeferredAndAtOnceAreTheSame) {
  expect_equal(train({false, "larc", true, false}, 1), train({true, "larc", true, false}, 1), "one rank");
  expect_equal(train({false, "adamw", false, false}, 1), train({true, "adamw", false, false}, 1), "nothing wrong");
}

TEST(StepStatsReduction, TakesEigenvaluesWhenItIsRead) {
  torch::manual_seed(0);
  const auto spread = ssl::embedding_stats(torch::randn({32, 5}));
  LocalStepStats stats;
  stats.loss = torch::full({}, 0.5, torch::kFloat64);
  stats.diagnostics.emplace_back("feature_spread", spread.feature_spread);
  for (const bool watched : {true, false}) {
    stats.gram = watched ? spread.gram : at::Tensor();
    StepStatsReduction exchange(*ssl::single_process(), stats);
    exchange.copy_to_host_async(torch::tensor(true));
    const auto health = exchange.wait();
    EXPECT_TRUE(health.finite);
    ASSERT_EQ(health.diagnostics.size(), watched ? 2u : 1u);
    if (!watched) continue;
    EXPECT_EQ(health.diagnostics[1].first, "effective_rank");
    EXPECT_EQ(health.diagnostics[1].second, ssl::effective_rank(spread.gram));
  }
}

TEST(NonFiniteBudget, CountsInAWindow) {
  NonFiniteBudget budget(2);
  EXPECT_TRUE(budget.record(10));
  EXPECT_TRUE(budget.record(20));
  EXPECT_TRUE(budget.record(110)) << "10 is more than 99 steps ago";
  EXPECT_EQ(budget.in_window(), 2);
  NonFiniteBudget resumed(2);
  resumed.load_state(budget.state());
  EXPECT_FALSE(resumed.record(119)) << "20, 110, 119";
  EXPECT_FALSE(NonFiniteBudget(0).record(0));
}

TEST(TrainingMonitor, AnOverflowIsNoFaultWhileTheScaleIsFound) {
  PretrainOptions options;
  options.health.nonfinite_budget = 2;
  Progress silent(/*enabled=*/false, 100, 0, 10);
  const auto group = ssl::single_process();
  // The loss is finite, the gradients are not.
  const auto step = [&](TrainingMonitor& monitor, std::int64_t iteration, double scale) {
    LocalStepStats stats;
    stats.loss = torch::full({}, 1.5, torch::kFloat64);
    if (scale > 0) stats.diagnostics.emplace_back("loss_scale", torch::full({}, scale));
    StepStatsReduction exchange(*group, stats);
    exchange.copy_to_host_async(torch::tensor(false));
    monitor.add({{iteration}, 0.1, std::move(exchange), {1, 2}, {}});
    monitor.flush();
  };
  TrainingMonitor scaled({*group, options, 100, 100, {}, silent});
  for (int i = 0; i < 20; ++i) step(scaled, i, 65536.0 / (1 << std::min(i, 16)));
  step(scaled, 20, 0.5);
  step(scaled, 21, 0.25);
  EXPECT_THROW(step(scaled, 22, 0.125), MismatchError) << "a scale below 1 is no scale";
  TrainingMonitor plain({*group, options, 100, 100, {}, silent});
  step(plain, 0, 0);
  step(plain, 1, 0);
  EXPECT_THROW(step(plain, 2, 0), MismatchError);

  TrainingMonitor first({*group, options, 100, 100, {}, silent});
  step(first, 0, 0);
  step(first, 1, 0);
  TrainingMonitor resumed({*group, options, 100, 100, {}, silent});
  resumed.load_state(nlohmann::json::parse(first.state().dump()));
  EXPECT_THROW(step(resumed, 2, 0), MismatchError) << "the budget is counted over a resume";
}

TEST(TrainingMonitor, AdviceIsOfWhatThereIs) {
  TemporaryFolder folder;
  PretrainOptions options;
  options.out = folder.path().string();
  options.health.broken_budget = 0.01;
  Progress silent(/*enabled=*/false, 100, 0, 10);
  const auto group = ssl::single_process();
  TrainingMonitor monitor({*group, options, 100, 100, {}, silent});
  LocalStepStats stats;
  stats.loss = torch::full({}, 1.5, torch::kFloat64);
  stats.replaced = 1;
  StepStatsReduction exchange(*group, stats);
  exchange.copy_to_host_async(torch::tensor(true));
  monitor.add({{0}, 0.1, std::move(exchange), {1, 2}, {{1, 2, "a.jpg", "it is truncated"}}});
  monitor.flush();
  EXPECT_NE(monitor.failure().find("too many broken images: 1 of 100"), std::string::npos) << monitor.failure();
  EXPECT_EQ(monitor.failure().find("--init"), std::string::npos) << "nothing has been saved: " << monitor.failure();
  write_checkpoint_files(options.out + "/checkpoints", {.iteration = 1, .state = {}, .training = {}}, {});
  EXPECT_NE(monitor.failure().find("--init " + options.out), std::string::npos) << monitor.failure();
}

TEST(StepStatsReduction, RanksMustHaveTheSameDiagnostics) {
  const std::vector<std::string> three{"a", "b", "c"};
  struct Case {
    std::vector<std::vector<std::string>> names;  ///< by rank
    bool fine;
  };
  for (const auto& [names, fine] :
       {Case{{{"a", "b"}, {"a", "b"}, {"a", "b"}}, true}, Case{{{"a", "b"}, {"a"}, {"a", "b"}}, false},
        Case{{{"a", "b"}, {"a", "b"}, {"b", "a"}}, false}, Case{{{}, {}, three}, false}}) {
    run_gloo_ranks(3, [&](std::shared_ptr<const ssl::Group> group) {
      LocalStepStats stats;
      stats.loss = torch::full({}, 6, torch::kFloat64);
      for (const auto& name : names[static_cast<std::size_t>(group->rank())])
        stats.diagnostics.emplace_back(name, torch::full({}, 3.0));
      StepStatsReduction exchange(*group, stats);
      exchange.copy_to_host_async(torch::tensor(true));
      if (!fine) {
        EXPECT_THROW(exchange.wait(), Error) << "on every rank";
        return;
      }
      const auto health = exchange.wait();
      EXPECT_DOUBLE_EQ(health.loss, 6);
      ASSERT_EQ(health.diagnostics.size(), 2u);
      EXPECT_EQ(health.diagnostics[1].first, "b");
      EXPECT_DOUBLE_EQ(health.diagnostics[1].second, 3);
      EXPECT_TRUE(health.finite);
    });
  }
}

TEST(BrokenImages, EndAtTheirShare) {
  BrokenImages broken(1000, 0.003);
  EXPECT_TRUE(broken.record(5));
  EXPECT_TRUE(broken.record(5)) << "the same image again";
  EXPECT_TRUE(broken.record(900));
  BrokenImages resumed(1000, 0.003);
  resumed.load_state(broken.state());
  EXPECT_EQ(resumed.count(), 2);
  EXPECT_FALSE(resumed.record(7)) << "three of a thousand";
  EXPECT_FALSE(BrokenImages(50, 0.01).record(3)) << "one of 50 is more than a hundredth";
}

TEST(BrokenImages, AFewEndNoRunUnlessAShareIsGiven) {
  // As many end a run: a hundredth, but ten at least, or a quarter of fewer than 40.
  for (const auto& [images, most] : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {2, 1}, {15, 4}, {60, 10}, {91, 10}, {1000, 10}, {5000, 50}}) {
    BrokenImages broken(images, std::nullopt);
    for (std::int64_t i = 1; i < most; ++i) EXPECT_TRUE(broken.record(i)) << i << " of " << images;
    EXPECT_FALSE(broken.record(0)) << most << " of " << images;
  }
}

}  // namespace
}  // namespace unlabel::launch::step_stats_test
