#include <unlabel/augment/error.h>
#include <unlabel/ssl/methods/swav.h>
#include <unlabel/ssl/optim/cast.h>
#include <unlabel/ssl/optim/optimizer.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include "ssl/tiny_method.h"

#include <cmath>

namespace unlabel::ssl::swav_test {
namespace {

using nlohmann::json;
using testing::diagnostic;
using testing::distance;
using testing::NoEncoder;
using testing::TinyEncoder;

const json& golden() {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/swav.json");
  return value;
}

Batch crops(std::int64_t batch, int step, int rank = 0, int world = 1) {
  return testing::chirps({12, 12, 8, 8}, batch, step, rank, world);
}

SwavOptions golden_options() {
  SwavOptions options;
  options.prototypes = 7;
  options.projection_dim = 5;
  options.hidden_dim = 8;
  options.freeze_prototypes_iterations = 4;
  options.queue_length = 16;
  options.queue_start_epoch = 1;
  return options;
}

std::shared_ptr<Swav> golden_swav(const SwavOptions& options, std::int64_t batch,
                                  std::shared_ptr<const Group> group = single_process()) {
  auto swav = std::make_shared<Swav>(std::make_shared<TinyEncoder>(), options, batch, group);
  to_float_dtype(*swav, torch::kDouble);
  set_batch_norm_group(*swav, group);
  testing::set_parameters(*swav, golden()["start"]);
  return swav;
}

Step step_at(int iteration) {
  Step step;
  step.iteration = iteration;
  step.steps_per_epoch = 3;
  step.epoch = iteration / 3;
  return step;
}

TEST(Swav, FollowsTheReleasedCodeOverFreezeAndQueue) {
  const auto swav = golden_swav(golden_options(), 6);
  EXPECT_EQ(swav->queue_length(), 12);
  Optimizer optimizer(swav->parameter_groups(), testing::sgd());
  const auto& losses = golden()["losses"];
  int checked = 0;
  for (int t = 0; t < static_cast<int>(losses.size()); ++t) {
    const auto step = step_at(t);
    optimizer.zero_grad();
    swav->before_step(step);
    const auto loss = swav->loss(crops(6, t), step);
    loss.value.backward();
    EXPECT_NEAR(loss.value.item<double>(), losses[t].get<double>(), 1e-9) << "step " << t;
    if (golden()["gradients"].contains(std::to_string(t))) {
      for (const auto& item : swav->named_parameters())
        EXPECT_LT(distance(item.value().grad(), golden()["gradients"][std::to_string(t)][item.key()]), 1e-9)
            << "step " << t << " " << item.key();
      ++checked;
    }
    swav->before_update(step);
    optimizer.step(0.2);
  }
  EXPECT_EQ(checked, 5);
  for (const auto& item : swav->named_parameters())
    EXPECT_LT(distance(item.value(), golden()["end"][item.key()]), 1e-9) << item.key();
  EXPECT_LT(distance(swav->named_buffers()["queue.embeddings"], golden()["queue"]), 1e-9);
  EXPECT_EQ(swav->named_buffers()["queue.filled"].item<std::int64_t>(), 12);
}

TEST(Swav, RunsTheBackboneOnceASize) {
  const auto encoder = std::make_shared<TinyEncoder>();
  Swav swav(encoder, golden_options(), 6, single_process());
  to_float_dtype(swav, torch::kDouble);
  swav.loss(crops(6, 0), Step());
  EXPECT_EQ(encoder->passes, 2);
  EXPECT_EQ(&swav.encoder(), encoder.get());
}

/// What a run leaves behind, for comparisons.
struct Trace {
  std::vector<double> losses, entropies, used;
  std::map<std::string, at::Tensor> end;
};

Trace train(const std::shared_ptr<const Group>& group, int steps, std::int64_t batch,
            torch::Dtype type = torch::kDouble) {
  auto options = golden_options();
  options.freeze_prototypes_iterations = 6;
  options.queue_length = 3 * batch;
  const auto swav = golden_swav(options, batch, group);
  to_float_dtype(*swav, type);
  OptimizerOptions larc;
  larc.trust_coefficient = 0.05;
  larc.weight_decay = 0.01;
  Optimizer optimizer(swav->parameter_groups(), larc);
  Trace trace;
  for (int t = 0; t < steps; ++t) {
    auto step = step_at(t);
    step.epoch = t / 4;
    optimizer.zero_grad();
    swav->before_step(step);
    auto views = crops(batch, t, group->rank(), group->world_size());
    for (auto& item : views.tensors) item.second = item.second.to(type);
    const auto loss = swav->loss(views, step);
    loss.value.backward();
    testing::average_gradients(*swav, *group);
    swav->before_update(step);
    optimizer.step(0.1);  // larger ones multiply what floats round, step by step
    auto report = torch::stack({loss.value.detach(), loss.diagnostics[0].second, loss.diagnostics[2].second});
    group->all_reduce_sum(report);
    report.div_(group->world_size());
    trace.losses.push_back(report[0].item<double>());
    trace.entropies.push_back(report[1].item<double>());
    trace.used.push_back(report[2].item<double>());
  }
  trace.end = testing::tensors_of(*swav);
  return trace;
}

TEST(Swav, IsTheSameOnAnyNumberOfRanks) {
  const int steps = 20, batch = 8;
  for (const auto type : {torch::kDouble, torch::kFloat}) {
    const double tolerance = type == torch::kDouble ? 1e-11 : 5e-4;
    const auto one = train(single_process(), steps, batch, type);
    EXPECT_EQ(one.end.at("queue.filled").item<std::int64_t>(), 3 * batch);
    EXPECT_GT((one.end.at("prototypes.weight").flatten() -
               torch::tensor(golden()["start"]["prototypes.weight"].get<std::vector<double>>(), type))
                  .abs()
                  .max()
                  .item<double>(),
              1e-2);
    for (const int world : {2, 4}) {
      testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
        const auto many = train(group, steps, batch, type);
        for (int t = 0; t < steps; ++t) {
          EXPECT_NEAR(many.losses[t], one.losses[t], tolerance) << world << " ranks, step " << t;
          EXPECT_NEAR(many.entropies[t], one.entropies[t], tolerance) << world << " ranks, step " << t;
          if (type == torch::kDouble) {
            EXPECT_EQ(many.used[t], one.used[t]) << world << " ranks, step " << t;
          }
        }
        ASSERT_EQ(many.end.size(), one.end.size());
        for (const auto& [name, tensor] : one.end)
          EXPECT_LT((many.end.at(name) - tensor).abs().max().item<double>(), tolerance) << world << " ranks, " << name;
      });
    }
  }
}

/// Samples [first, first + size) of a batch.
Batch part(const Batch& whole, std::int64_t first, std::int64_t size) {
  Batch views;
  for (const auto& [name, crop] : whole.tensors) views.tensors.emplace_back(name, crop.narrow(0, first, size));
  return views;
}

/// What a run leaves behind whose batches come in micro-batches. Norms are those of evaluation, so that batches are of one kind whatever
/// their size.
Trace train_in_parts(const std::shared_ptr<const Group>& group, int micro_steps, bool whole_batch_sinkhorn) {
  const std::int64_t batch = 16, mine = batch / group->world_size(), size = mine / micro_steps;
  auto options = golden_options();
  options.queue_length = 2 * batch;
  options.whole_batch_sinkhorn = whole_batch_sinkhorn;
  const auto swav = golden_swav(options, batch, group);
  swav->eval();
  Optimizer optimizer(swav->parameter_groups(), testing::sgd());
  Trace trace;
  for (int t = 0; t < 8; ++t) {
    auto step = step_at(t);
    step.micro_steps = micro_steps;
    const auto whole = crops(batch, t, group->rank(), group->world_size());
    optimizer.zero_grad();
    swav->before_step(step);
    if (micro_steps > 1) swav->before_micro_batches([&](int i) { return part(whole, i * size, size); }, step);
    auto sum = torch::zeros({}, torch::kDouble);
    for (step.micro_step = 0; step.micro_step < micro_steps; ++step.micro_step) {
      const auto loss = swav->loss(part(whole, step.micro_step * size, size), step).value / micro_steps;
      loss.backward();
      sum += loss.detach();
    }
    testing::average_gradients(*swav, *group);
    swav->before_update(step);
    optimizer.step(0.2);
    group->all_reduce_sum(sum);
    trace.losses.push_back(sum.item<double>() / group->world_size());
  }
  trace.end = testing::tensors_of(*swav);
  return trace;
}

TEST(Swav, SpreadsAWholeBatchAsIfItWereInOnePart) {
  const auto expect = train_in_parts(single_process(), 1, false);
  const auto off = [&](const Trace& trace) {
    double largest = 0;
    for (std::size_t t = 0; t < expect.losses.size(); ++t)
      largest = std::max(largest, std::abs(trace.losses[t] - expect.losses[t]));
    for (const auto& [name, value] : expect.end)
      largest = std::max(largest, (trace.end.at(name) - value).abs().max().item<double>());
    return largest;
  };
  EXPECT_LT(off(train_in_parts(single_process(), 4, true)), 1e-9);
  EXPECT_GT(off(train_in_parts(single_process(), 4, false)), 1e-3) << "parts by themselves are something else";
  testing::run_ranks(2, [&](const std::shared_ptr<const Group>& group) {
    const auto trace = train_in_parts(group, 2, true);
    EXPECT_LT(off(trace), 1e-9) << "rank " << group->rank();
  });
}

TEST(Swav, ForgetsAssignmentsOfAStepThatWasNotFinished) {
  auto options = golden_options();
  options.whole_batch_sinkhorn = true;
  const auto swav = golden_swav(options, 6), fresh = golden_swav(options, 6);
  auto parts = step_at(0);
  parts.micro_steps = 2;
  swav->before_micro_batches([&](int i) { return part(crops(6, 1), 3 * i, 3); }, parts);
  swav->before_step(step_at(0));
  fresh->before_step(step_at(0));
  EXPECT_EQ(swav->loss(crops(6, 0), step_at(0)).value.item<double>(),
            fresh->loss(crops(6, 0), step_at(0)).value.item<double>());
}

TEST(Swav, LooksAheadWithoutMovingStatistics) {
  std::map<std::string, at::Tensor> ends[2];
  for (const bool whole : {false, true}) {
    auto options = golden_options();
    options.whole_batch_sinkhorn = whole;
    const auto swav = golden_swav(options, 6);
    const auto views = crops(6, 0);
    auto step = step_at(0);
    step.micro_steps = 2;
    swav->before_micro_batches([&](int i) { return part(views, 3 * i, 3); }, step);
    for (; step.micro_step < 2; ++step.micro_step) swav->loss(part(views, 3 * step.micro_step, 3), step);
    for (const auto& item : swav->named_buffers())
      if (item.key().find("running") != std::string::npos || item.key().find("tracked") != std::string::npos)
        ends[whole][item.key()] = item.value();
  }
  ASSERT_FALSE(ends[0].empty());
  for (const auto& [name, value] : ends[0]) EXPECT_TRUE(at::equal(value, ends[1].at(name))) << name;
}

TEST(Swav, HasTheGradientOfItsLoss) {
  // Targets are constants of the gradient, so they must not move with what is varied: local crops, with a head without
  // batch statistics.
  auto options = golden_options();
  options.hidden_dim = 0;
  Swav swav(std::make_shared<TinyEncoder>(), options, 4, single_process());
  to_float_dtype(swav, torch::kDouble);
  swav.before_step({});
  auto views = crops(4, 0);
  views.tensors[2].second.requires_grad_();
  swav.loss(views, {}).value.backward();
  const auto gradient = views.tensors[2].second.grad().flatten();
  const torch::NoGradGuard no_grad;
  const auto pixels = views.tensors[2].second.flatten();
  const double h = 1e-5;
  for (const int i : {0, 37, 100, 383, 500, 767}) {
    const double x = pixels[i].item<double>();
    pixels[i] = x + h;
    const double above = swav.loss(views, {}).value.item<double>();
    pixels[i] = x - h;
    const double below = swav.loss(views, {}).value.item<double>();
    pixels[i] = x;
    EXPECT_NEAR(gradient[i].item<double>(), (above - below) / (2 * h), 1e-8) << i;
  }
  EXPECT_GT(gradient.abs().max().item<double>(), 1e-4);
}

TEST(Swav, HasTheGradientOfItsParameters) {
  // A large epsilon makes every target uniform, whatever the parameters are.
  auto options = golden_options();
  options.epsilon = 1e12;
  const auto swav = golden_swav(options, 6);
  const auto views = crops(6, 2);
  testing::expect_gradients(*swav, [&] { return swav->loss(views, {}).value; });
}

TEST(Swav, GoesOnFromItsTensorsBitForBit) {
  const auto options = golden_options();
  const auto whole = golden_swav(options, 6);
  for (int t = 0; t < 4; ++t) {  // the queue has begun to fill and is not full
    whole->before_step(step_at(t));
    whole->loss(crops(6, t), step_at(t));
  }
  EXPECT_EQ(whole->named_buffers()["queue.filled"].item<std::int64_t>(), 6);
  const auto second = golden_swav(options, 6);
  {
    const torch::NoGradGuard no_grad;
    for (const auto& item : whole->named_parameters()) second->named_parameters()[item.key()].copy_(item.value());
    for (const auto& item : whole->named_buffers()) second->named_buffers()[item.key()].copy_(item.value());
  }
  for (int t = 4; t < 9; ++t) {
    whole->before_step(step_at(t));
    second->before_step(step_at(t));
    const auto a = whole->loss(crops(6, t), step_at(t)), b = second->loss(crops(6, t), step_at(t));
    EXPECT_EQ(a.value.item<double>(), b.value.item<double>()) << t;
    EXPECT_EQ(diagnostic(a, "queue_full"), t >= 4 ? 1 : 0);
  }
}

TEST(Swav, NamesItsTensorsAsTheReleasedCheckpoints) {
  auto options = golden_options();
  Swav swav(std::make_shared<TinyEncoder>(), options, 6, single_process());
  std::vector<std::string> names;
  for (const auto& item : swav.named_parameters()) names.push_back(item.key());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{
                       "backbone.conv.weight", "backbone.norm.bias", "backbone.norm.weight", "projection_head.0.bias",
                       "projection_head.0.weight", "projection_head.1.bias", "projection_head.1.weight",
                       "projection_head.3.bias", "projection_head.3.weight", "prototypes.weight"}));
  EXPECT_TRUE(swav.named_buffers().contains("queue.embeddings"));
  EXPECT_EQ(swav.named_buffers()["queue.embeddings"].sizes(), (std::vector<std::int64_t>{2, 12, 5}));
  options.queue_length = 5;  // less than a batch
  EXPECT_EQ(Swav(std::make_shared<TinyEncoder>(), options, 6, single_process()).queue_length(), 0);
}

TEST(Swav, HoldsThePrototypesStillAndNormalised) {
  auto options = golden_options();
  options.freeze_prototypes_iterations = 1;
  const auto swav = golden_swav(options, 6);
  auto prototypes = swav->named_parameters()["prototypes.weight"];
  {
    const torch::NoGradGuard no_grad;
    prototypes.mul_(3);
  }
  const void* place = prototypes.data_ptr();
  swav->before_step(step_at(0));
  EXPECT_LT((prototypes.norm(2, 1) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_EQ(prototypes.data_ptr(), place);
  swav->loss(crops(6, 0), step_at(0)).value.backward();
  EXPECT_TRUE(prototypes.grad().defined());
  swav->before_update(step_at(0));
  EXPECT_FALSE(prototypes.grad().defined());
  EXPECT_TRUE(swav->named_parameters()["projection_head.0.weight"].grad().defined());
  swav->loss(crops(6, 1), step_at(1)).value.backward();
  swav->before_update(step_at(1));
  EXPECT_TRUE(prototypes.grad().defined());
}

TEST(Swav, KeepsScoresAndLossOutOfAutocast) {
  SwavOptions options;
  options.prototypes = 9;
  options.projection_dim = 6;
  options.hidden_dim = 0;
  Swav swav(std::make_shared<NoEncoder>(6), options, 8, single_process());
  Batch views;
  for (int v = 0; v < 3; ++v)
    views.tensors.emplace_back(concat("view.", v), torch::randint(-8, 9, {8, 6}).to(torch::kFloat));
  {
    // The head passes whole numbers on unchanged, so that 16 bits lose nothing before the scores.
    const torch::NoGradGuard no_grad;
    swav.named_parameters()["projection_head.0.weight"].copy_(torch::eye(6));
    swav.named_parameters()["projection_head.0.bias"].zero_();
  }
  swav.before_step({});
  const auto plain = swav.loss(views, {}).value;
  const auto mixed = testing::in_bf16([&] { return swav.loss(views, {}).value; });
  EXPECT_EQ(mixed.scalar_type(), torch::kFloat);
  EXPECT_EQ(mixed.item<float>(), plain.item<float>());
  mixed.backward();
  EXPECT_GT(swav.named_parameters()["prototypes.weight"].grad().abs().max().item<double>(), 0);
}

TEST(Swav, TellsCollapseFromLearning) {
  SwavOptions options;
  options.prototypes = 6;
  options.projection_dim = 6;
  options.hidden_dim = 0;
  Swav swav(std::make_shared<NoEncoder>(6), options, 12, single_process());
  {
    const torch::NoGradGuard no_grad;
    swav.named_parameters()["projection_head.0.weight"].copy_(torch::eye(6));
    swav.named_parameters()["projection_head.0.bias"].zero_();
    swav.named_parameters()["prototypes.weight"].copy_(torch::eye(6));
  }
  const auto same = torch::ones({12, 6});
  const auto collapsed = swav.loss(testing::batch_of({same, same}), {});
  EXPECT_NEAR(collapsed.value.item<double>(), std::log(6), 1e-5);
  EXPECT_NEAR(diagnostic(collapsed, "assignment_entropy"), 1, 1e-5);
  const auto apart = torch::eye(6).repeat({2, 1});
  const auto learned = swav.loss(testing::batch_of({apart, apart}), {});
  EXPECT_LT(learned.value.item<double>(), 0.01);
  EXPECT_LT(diagnostic(learned, "assignment_entropy"), 1e-3);
  EXPECT_NEAR(diagnostic(learned, "mean_assignment_entropy"), 1, 1e-5);
  EXPECT_EQ(diagnostic(learned, "prototypes_used"), 6);
}

TEST(Swav, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    SwavOptions options;
    change(options);
    return refusal([&] { Swav(std::make_shared<NoEncoder>(4), options, 8, single_process()); });
  };
  EXPECT_EQ(refused([](auto& o) { o.prototypes = 1; }), "swav.prototypes is 1: it must be at least 2");
  EXPECT_EQ(refused([](auto& o) { o.temperature = 0; }), "swav.temperature is 0: it must be above 0, such as 0.1");
  EXPECT_NE(refused([](auto& o) { o.epsilon = -1; }), "(accepted)");
  EXPECT_NE(refused([](auto& o) { o.queue_length = -1; }), "(accepted)");
  const auto of_one = [](std::int64_t queue) {
    SwavOptions options;
    options.queue_length = queue;
    return refusal([&] { Swav(std::make_shared<NoEncoder>(4), options, 1, single_process()); });
  };
  EXPECT_NE(of_one(0).find("give a larger --batch-size"), std::string::npos);
  EXPECT_EQ(of_one(32), "(accepted)") << "the queue has others";
  Swav swav(std::make_shared<NoEncoder>(4), {}, 8, single_process());
  EXPECT_THROW(swav.loss(testing::batch_of({torch::ones({8, 4})}), {}), UsageError);
}

TEST(Queue, KeepsTheNewestFirstInGlobalOrder) {
  const auto rows = torch::arange(24, torch::kFloat).view({2, 6, 2});  // crops x batch x dim
  Queue one(2, 12, 2, single_process());
  EXPECT_FALSE(one.full(/*step_start=*/true));
  one.push(rows);
  EXPECT_FALSE(one.full(/*step_start=*/true));
  one.push(rows + 100);
  EXPECT_TRUE(one.full(/*step_start=*/true));
  one.push(rows + 200);
  EXPECT_TRUE(torch::equal(one.local(), torch::cat({rows + 200, rows + 100}, 1)));
  Queue broken(2, 6, 2, single_process());
  broken.push(rows / 0);
  EXPECT_TRUE(torch::equal(broken.local(), torch::zeros_like(rows)));
  testing::run_ranks(3, [&](std::shared_ptr<const Group> group) {
    Queue queue(2, 12, 2, group);
    for (const int t : {0, 100, 200}) queue.push(rows.narrow(1, 2 * group->rank(), 2) + t);
    EXPECT_TRUE(torch::equal(queue.named_buffers()["embeddings"], one.local()));
    EXPECT_TRUE(torch::equal(queue.local(), one.local().narrow(1, 4 * group->rank(), 4)));
    EXPECT_TRUE(queue.full(/*step_start=*/true));
  });
}

TEST(Queue, AStepThatIsTakenBackTakesItsFillingBack) {
  const torch::NoGradGuard no_grad;
  Queue queue(1, 4, 2, single_process());
  const auto before = queue.filled().clone();
  queue.push(torch::ones({1, 4, 2}));
  EXPECT_TRUE(queue.full(/*step_start=*/false)) << "a later micro-step of the same step may use it";
  queue.named_buffers()["filled"].copy_(before);  // the step is left out
  EXPECT_FALSE(queue.full(/*step_start=*/true));
  queue.push(torch::ones({1, 4, 2}));
  EXPECT_TRUE(queue.full(/*step_start=*/true));
}

TEST(Queue, TakesWhatIsGatheredAlready) {
  const auto rows = torch::randn({2, 6, 3});
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    Queue one(2, 12, 3, group), two(2, 12, 3, group);
    one.push(rows.narrow(1, 3 * group->rank(), 3));
    two.push_gathered(rows);
    EXPECT_TRUE(torch::equal(one.all(), two.all()));
    EXPECT_TRUE(torch::equal(one.filled(), two.filled()));
  });
}

}  // namespace
}  // namespace unlabel::ssl::swav_test
