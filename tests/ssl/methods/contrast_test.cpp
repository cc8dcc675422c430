#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/ssl/layers/gather.h>
#include <unlabel/ssl/losses/info_nce.h>
#include <unlabel/ssl/methods/moco.h>
#include <unlabel/ssl/methods/simclr.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/optim/schedule.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include "ssl/tiny_method.h"

#include <cmath>
#include <limits>
#include <map>

namespace unlabel::ssl::contrast_test {
namespace {

using nlohmann::json;
using testing::NoEncoder;
using testing::TinyEncoder;

constexpr std::int64_t kBatch = 8;  // of tests/golden/contrast.py
const std::vector<int> kSizes{12, 12};

const json& golden(const std::string& method) {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/contrast.json");
  return value.at(method);
}

std::shared_ptr<Method> simclr(const std::shared_ptr<const Group>& group = single_process()) {
  SimclrOptions options;
  options.hidden_dim = 8;
  options.projection_dim = 5;
  auto method = std::make_shared<Simclr>(std::make_shared<TinyEncoder>(), options,
                                         MethodContext{.global_batch = kBatch, .group = group});
  to_float_dtype(*method, torch::kDouble);
  set_batch_norm_group(*method, group);
  testing::set_parameters(*method, golden("simclr")["start"]);
  return method;
}

MocoOptions moco_options() {
  MocoOptions options;
  options.hidden_dim = 8;
  options.projection_dim = 5;
  options.momentum = 0.9;
  options.queue_length = 20;
  options.norm_group = 4;
  return options;
}

std::shared_ptr<Method> moco(const std::shared_ptr<const Group>& group = single_process(),
                             std::int64_t norm_group = 4) {
  auto options = moco_options();
  options.norm_group = norm_group;
  auto method = std::make_shared<Moco>(std::make_shared<TinyEncoder>(), std::make_shared<TinyEncoder>(), options,
                                       MethodContext{.global_batch = kBatch, .seed = 5, .group = group});
  to_float_dtype(*method, torch::kDouble);
  set_batch_norm_group(*method, group);
  testing::set_parameters(*method, golden("moco")["start"]);
  const torch::NoGradGuard no_grad;
  auto queue = method->named_buffers()["queue.embeddings"];
  queue.copy_(
      torch::tensor(golden("moco")["first_queue"].get<std::vector<double>>(), torch::kDouble).view(queue.sizes()));
  return method;
}

OptimizerOptions lars() {
  OptimizerOptions options;
  options.kind = "lars";
  options.lr_in_momentum = true;
  options.weight_decay = 0.01;
  options.trust_coefficient = 0.05;
  options.exclude_bias_and_norm = true;
  return options;
}

// Over 9 iterations, 3 an epoch, as released.
Schedule simclr_rate() { return {{.warmup_epochs = 1, .warmup_reaches_peak = false}, 0.5, 3, 9}; }
Schedule moco_rate() { return {{.by_epoch = true}, 0.2, 3, 9}; }

using Make = std::function<std::shared_ptr<Method>(const std::shared_ptr<const Group>&)>;
struct Contrastive {
  const char* name;
  Make make;
  OptimizerOptions optimizer;
  Schedule rate;
};
const Contrastive kBoth[] = {{"simclr", simclr, lars(), simclr_rate()},
                             {"moco", [](const auto& group) { return moco(group); }, testing::sgd(), moco_rate()}};

Step step_at(int iteration) {
  Step step;
  step.iteration = iteration;
  return step;
}

TEST(Contrast, FollowsTheReleasedCodesOverTheSchedulesEnd) {
  for (const auto& [name, make, rules, rate] : kBoth) {
    SCOPED_TRACE(name);
    const auto method = make(single_process());
    Optimizer optimizer(method->parameter_groups(), rules);
    const auto& losses = golden(name)["losses"];
    ASSERT_EQ(losses.size(), 11u);
    int checked = 0;
    for (int t = 0; t < static_cast<int>(losses.size()); ++t) {
      optimizer.zero_grad();
      method->before_step(step_at(t));
      const auto loss = method->loss(testing::chirps(kSizes, kBatch, t), step_at(t));
      loss.value.backward();
      EXPECT_NEAR(loss.value.item<double>(), losses[t].get<double>(), 1e-9) << "step " << t;
      if (const auto key = std::to_string(t); golden(name)["gradients"].contains(key)) {
        for (const auto& [parameter, gradient] : golden(name)["gradients"][key].items())
          EXPECT_LT(testing::distance(method->named_parameters()[parameter].grad(), gradient), 1e-9)
              << "step " << t << " " << parameter;
        ++checked;
      }
      EXPECT_NEAR(rate(t), golden(name)["rates"][t].get<double>(), 1e-12) << "step " << t;
      optimizer.step(rate(t));
      method->after_step(step_at(t));
    }
    EXPECT_EQ(checked, 4);
    const auto end = testing::tensors_of(*method);
    for (const auto& [tensor, values] : golden(name)["end"].items())
      EXPECT_LT(testing::distance(end.at(tensor), values), 1e-9) << tensor;
    if (golden(name).contains("queue")) {
      EXPECT_LT(testing::distance(end.at("queue.embeddings"), golden(name)["queue"]), 1e-9);
    }
  }
}

TEST(Contrast, IsTheSameOnAnyNumberOfRanks) {
  for (const auto& [name, make, rules, rate] : kBoth) {
    SCOPED_TRACE(name);
    const auto train = [&](const std::shared_ptr<const Group>& group) {
      const auto method = make(group);
      Optimizer optimizer(method->parameter_groups(), testing::sgd());
      for (int t = 0; t < 8; ++t) {
        optimizer.zero_grad();
        method->before_step(step_at(t));
        const auto views = testing::chirps(kSizes, kBatch, t, group->rank(), group->world_size());
        method->loss(views, step_at(t)).value.backward();
        testing::average_gradients(*method, *group);
        optimizer.step(0.05);
        method->after_step(step_at(t));
      }
      return testing::tensors_of(*method);
    };
    const auto one = train(single_process());
    EXPECT_GT(testing::distance(one.at("projector.0.weight"), golden(name)["start"]["projector.0.weight"]), 1e-2);
    // On four ranks MoCo's groups of 4 images lie on two ranks each.
    for (const int world : {2, 4})
      testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
        const auto many = train(group);
        ASSERT_EQ(many.size(), one.size());
        for (const auto& [tensor, value] : one)
          EXPECT_LT((many.at(tensor) - value).abs().max().item<double>(), 1e-9) << tensor << " on " << world;
      });
  }
}

TEST(Contrast, KeepsSimclrsSimilaritiesOutOfAutocast) {
  const auto method = simclr();
  to_float_dtype(*method, torch::kFloat);
  // Two views that are one, so that the embeddings of both are known.
  auto views = testing::chirps({12, 12}, kBatch, 0);
  views.tensors[1].second = views.tensors[0].second = views.tensors[0].second.to(torch::kFloat);
  const auto loss = testing::in_bf16([&] { return method->loss(views, {}); });
  EXPECT_EQ(loss.value.scalar_type(), torch::kFloat);
  EXPECT_EQ(loss.embeddings.scalar_type(), torch::kFloat);
  const auto z = loss.embeddings.to(torch::kDouble).repeat({2, 1});
  const auto similarity = z.matmul(z.t()) / SimclrOptions().temperature;
  const auto others = similarity.clone().fill_diagonal_(-std::numeric_limits<double>::infinity());
  const auto positives = similarity.diagonal(kBatch);
  const auto expected = 2 * (others.logsumexp(1).narrow(0, 0, kBatch) - positives).mean();
  EXPECT_NEAR(loss.value.item<double>(), expected.item<double>(), 1e-5);
}

TEST(Contrast, KeepsMocosSimilaritiesOutOfAutocast) {
  MocoOptions options;
  options.hidden_dim = 0;
  options.projection_dim = 6;
  options.queue_length = 16;
  Moco method(std::make_shared<NoEncoder>(6), std::make_shared<NoEncoder>(6), options,
              MethodContext{.global_batch = 8});
  Batch views;
  for (int v = 0; v < 2; ++v)
    views.tensors.emplace_back(concat("view.", v), torch::randint(-8, 9, {8, 6}).to(torch::kFloat));
  {
    // The projector passes whole numbers on unchanged, so that 16 bits lose nothing before the similarities.
    const torch::NoGradGuard no_grad;
    method.named_parameters()["projector.0.weight"].copy_(torch::eye(6));
    method.named_parameters()["projector.0.bias"].zero_();
  }
  method.before_step({});
  const auto queue = method.named_buffers()["queue.embeddings"], before = queue.clone();
  const auto plain = method.loss(views, {}).value;
  queue.copy_(before);
  const auto mixed = testing::in_bf16([&] { return method.loss(views, {}).value; });
  EXPECT_EQ(mixed.scalar_type(), torch::kFloat);
  EXPECT_EQ(mixed.item<float>(), plain.item<float>());
}

TEST(Contrast, HasTheGradientOfItsLoss) {
  for (const auto& [name, make, rules, rate] : kBoth) {
    SCOPED_TRACE(name);
    const auto method = make(single_process());
    method->before_step(step_at(0));
    const auto queue = method->named_buffers().contains("queue.embeddings")
                           ? method->named_buffers()["queue.embeddings"].clone()
                           : at::Tensor();
    const auto views = testing::chirps(kSizes, kBatch, 2);
    testing::expect_gradients(*method, [&] {
      if (queue.defined()) method->named_buffers()["queue.embeddings"].copy_(queue);
      return method->loss(views, step_at(0)).value;
    });
  }
}

TEST(Contrast, GoesOnFromItsTensorsBitForBit) {
  const auto whole = moco();
  const auto run = [](Method& method, int t) {
    method.before_step(step_at(t));
    const auto loss = method.loss(testing::chirps(kSizes, kBatch, t), step_at(t)).value.item<double>();
    method.after_step(step_at(t));
    return loss;
  };
  for (int t = 0; t < 2; ++t) run(*whole, t);  // the queue still holds random directions
  const auto second = moco();
  {
    const torch::NoGradGuard no_grad;
    for (const auto& item : whole->named_parameters()) second->named_parameters()[item.key()].copy_(item.value());
    for (const auto& item : whole->named_buffers()) second->named_buffers()[item.key()].copy_(item.value());
  }
  for (int t = 2; t < 6; ++t) EXPECT_EQ(run(*whole, t), run(*second, t)) << t;
}

TEST(Contrast, KeysKnowNothingOfTheirQueriesBatch) {
  // Another shuffle gives other groups, and so other keys; what a group holds decides, not where it is computed.
  const auto views = testing::chirps(kSizes, kBatch, 0);
  std::int64_t norm_group = moco_options().norm_group;
  const auto loss_at = [&](int iteration) {
    const auto method = moco(single_process(), norm_group);
    method->before_step(step_at(0));
    return method->loss(views, step_at(iteration)).value.item<double>();
  };
  EXPECT_EQ(loss_at(0), loss_at(0));
  EXPECT_GT(std::abs(loss_at(0) - loss_at(1)), 1e-6);
  norm_group = kBatch;
  EXPECT_NEAR(loss_at(0), loss_at(1), 1e-9) << "one group knows no order";
}

TEST(InfoNce, IsTheLogarithmOfTheKeysByChance) {
  const auto positives = torch::tensor({2, 0, 1}, torch::kInt64);
  const auto by_chance = info_nce(torch::zeros({3, 7}, torch::kDouble), positives, 0.1);
  EXPECT_NEAR(by_chance.loss.item<double>(), std::log(7), 1e-12);
  auto similarity = torch::zeros({3, 7}, torch::kDouble);
  similarity.index_fill_(1, torch::tensor({5, 6}, torch::kInt64), -std::numeric_limits<double>::infinity());
  EXPECT_NEAR(info_nce(similarity, positives, 0.1).loss.item<double>(), std::log(5), 1e-12);
  similarity = torch::eye(7, torch::kDouble).index_select(0, positives);
  const auto found = info_nce(similarity, positives, 0.01);
  EXPECT_LT(found.loss.item<double>(), 1e-9);
  EXPECT_EQ(found.accuracy.item<double>(), 1);
}

TEST(Gather, SendsGradientsBackToTheirRank) {
  testing::run_ranks(3, [](std::shared_ptr<const Group> group) {
    const double own = group->rank() + 1;
    auto rows = torch::full({2, 1}, own, torch::kDouble).requires_grad_();
    const auto all = gather_with_gradient(rows, group);
    ASSERT_EQ(all.size(0), 6);
    EXPECT_EQ(all[2 * group->rank()].item<double>(), own);
    // Each rank weighs row i by own * (i + 1): row i gets (1 + 2 + 3) (i + 1).
    (own * all.flatten() * torch::arange(1, 7, torch::kDouble)).sum().backward();
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(rows.grad()[i].item<double>(), 6 * (2 * group->rank() + i + 1)) << group->rank();
  });
  const auto alone = torch::ones({2, 2});
  EXPECT_TRUE(gather_with_gradient(alone, single_process()).is_same(alone));
}

TEST(Gather, JoinsStepsInGlobalOrderWhateverGoesAtOnce) {
  constexpr std::int64_t kSteps = 5, kRows = 2, kRanks = 3, kDim = 4;
  const auto whole = torch::arange(kSteps * kRanks * kRows * kDim, torch::kFloat).view({-1, kDim});
  testing::run_ranks(kRanks, [&](std::shared_ptr<const Group> group) {
    const auto local = whole.view({kSteps, kRanks, kRows, kDim}).select(1, group->rank()).reshape({-1, kDim});
    const auto step_bytes = kRanks * kRows * kDim * static_cast<std::int64_t>(sizeof(float));
    for (const auto bytes : {std::int64_t{1}, step_bytes, 2 * step_bytes, 3 * step_bytes + 1, 100 * step_bytes}) {
      const auto all = gather_steps(local, kSteps, *group, bytes);
      EXPECT_EQ(all.defined(), group->rank() == 0) << "nobody else has room for it";
      EXPECT_TRUE(!all.defined() || all.equal(whole)) << bytes;
      const auto numbers = gather_steps(local.select(1, 1).to(torch::kInt64), kSteps, *group, bytes);
      EXPECT_TRUE(!numbers.defined() || numbers.equal(whole.select(1, 1).to(torch::kInt64))) << bytes;
    }
  });
}

TEST(Contrast, MocoGathersImagesOnceAndKeysOnce) {
  const auto group = std::make_shared<testing::CountingGroup>();
  const auto method = moco(group);
  method->before_step(step_at(0));
  group->gathers = 0;
  method->loss(testing::chirps(kSizes, kBatch, 0), step_at(0));
  EXPECT_EQ(group->gathers, 2);
}

TEST(Contrast, MocosKeysAreNormalisedByTheirOwnGroupsWhateverTheRunSays) {
  testing::run_ranks(2, [](std::shared_ptr<const Group> group) {
    const auto method = moco(group);  // groups of 4 of 8 images: each rank's own
    set_batch_norm_group(*method, group);
    int own = 0, shared = 0;
    for (const auto& item : method->named_modules())
      if (const auto* layer = item.value()->as<BatchNormImpl>())
        ++(item.key().starts_with("key_backbone") && layer->group->world_size() == 1 ? own : shared);
    EXPECT_EQ(own, 1);
    EXPECT_EQ(shared, 1);
  });
}

TEST(Contrast, SimclrRefusesABatchWithoutNegatives) {
  const auto refused = [](std::int64_t batch, std::int64_t micro_batch, std::shared_ptr<const Group> group) {
    return refusal([&] {
      Simclr(std::make_shared<TinyEncoder>(), {},
             MethodContext{.global_batch = batch, .micro_batch = micro_batch, .group = std::move(group)});
    });
  };
  EXPECT_NE(refused(1, 0, single_process()).find("give a larger --batch-size"), std::string::npos);
  EXPECT_NE(refused(8, 1, single_process()).find("give a larger --micro-batch"), std::string::npos);
  EXPECT_EQ(refused(2, 0, single_process()), "(accepted)");
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    EXPECT_EQ(refused(8, 1, group), "(accepted)") << "the other rank's image is a negative";
  });
}

TEST(Contrast, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    auto options = moco_options();
    change(options);
    return refusal([&] {
      Moco(std::make_shared<TinyEncoder>(), std::make_shared<TinyEncoder>(), options,
           MethodContext{.global_batch = kBatch});
    });
  };
  EXPECT_EQ(refused([](auto&) {}), "(accepted)");
  EXPECT_EQ(refused([](auto& o) { o.temperature = 0; }), "moco.temperature is 0: it must be above 0");
  EXPECT_NE(refused([](auto& o) { o.momentum = 2; }), "(accepted)");
  EXPECT_NE(refused([](auto& o) { o.queue_length = 0; }), "(accepted)");
  EXPECT_EQ(refused([](auto& o) { o.norm_group = 3; }),
            "--moco.norm-group 3 does not divide the 8 images of a forward pass (--batch-size 8): give a divisor of 8");
  for (const auto& [name, make, rules, rate] : kBoth) {
    const auto method = make(single_process());
    EXPECT_THROW(method->loss(testing::chirps({12}, kBatch, 0), {}), UsageError) << name;
    EXPECT_THROW(method->check_views(augment::preset("swav", {.global_size = 32, .local_size = 16})), UsageError);
    EXPECT_NO_THROW(method->check_views(augment::preset("simclr", {.global_size = 32})));
  }
  const auto groups = [](std::int64_t batch, std::int64_t micro_batch) {
    Moco(std::make_shared<TinyEncoder>(), std::make_shared<TinyEncoder>(), moco_options(),
         MethodContext{.global_batch = batch, .micro_batch = micro_batch});
  };
  EXPECT_THROW(groups(6, 0), UsageError) << "6 images do not make groups of 4";
  EXPECT_THROW(groups(12, 6), UsageError);
  EXPECT_NO_THROW(groups(12, 0));
  EXPECT_NO_THROW(groups(12, 3)) << "fewer than a group: one of 3";
}

}  // namespace
}  // namespace unlabel::ssl::contrast_test
