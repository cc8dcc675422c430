#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/methods/deepcluster_v2.h>
#include <unlabel/ssl/optim/cast.h>
#include <unlabel/ssl/optim/optimizer.h>
#include <unlabel/ssl/optim/schedule.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include "ssl/tiny_method.h"

#include <cmath>
#include <map>

namespace unlabel::ssl::deepcluster_v2_test {
namespace {

using nlohmann::json;
using testing::TinyEncoder;

// Of tests/golden/deepcluster_v2.py.
constexpr std::int64_t kSamples = 20, kBatch = 6, kSteps = 3, kSeed = 5;
const std::vector<int> kSizes{12, 12, 8};
const Schedule kRate({.warmup_epochs = 1, .warmup_start_lr = 0.05, .final_lr = 0.002}, 0.2, kSteps, 3 * kSteps);

const json& golden() {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/deepcluster_v2.json");
  return value;
}

Batch views_of(const std::vector<std::int64_t>& samples, std::int64_t epoch) {
  Batch views;
  for (int v = 0; v < 3; ++v) {
    std::vector<at::Tensor> crops;
    const auto i = torch::arange(3 * kSizes[v] * kSizes[v], torch::kDouble);
    for (const auto sample : samples)
      crops.push_back(torch::sin(0.9 * i + 0.001 * i * i + 1.7 * v + 0.6 * static_cast<double>(epoch) +
                                 1.1 * static_cast<double>(sample))
                          .view({3, kSizes[v], kSizes[v]}));
    views.tensors.emplace_back(concat("view.", v), at::stack(crops));
  }
  views.indices = torch::tensor(samples, torch::kInt64);
  return views;
}

DeepClusterV2Options golden_options() {
  DeepClusterV2Options options;
  options.prototypes = {4, 5, 3};
  options.projection_dim = 5;
  options.hidden_dim = 8;
  options.freeze_prototypes_iterations = 5;
  return options;
}

/// A method and what a run around it keeps.
struct Training {
  explicit Training(std::shared_ptr<const Group> the_group = single_process(),
                    const DeepClusterV2Options& options = golden_options(), std::int64_t global_batch = kBatch)
      : group(std::move(the_group)),
        batch(global_batch),
        sampler(kSamples, batch, kSeed, group->rank(), group->world_size()),
        method(std::make_shared<DeepClusterV2>(
            std::make_shared<TinyEncoder>(), options,
            MethodContext{.images = kSamples, .global_batch = batch, .seed = kSeed, .group = group})) {
    to_float_dtype(*method, torch::kDouble);
    set_batch_norm_group(*method, group);
    if (options.prototypes == golden_options().prototypes) testing::set_parameters(*method, golden()["start"]);
  }

  EpochContext epoch(std::int64_t number) const {
    static const data::ImageViews training(augment::preset("swav", {.global_size = 32, .local_size = 16}));
    return {
        number, nullptr, &training, [number](const auto&, const auto& samples, std::int64_t size, const auto& visit) {
          for (std::size_t begin = 0; begin < samples.size(); begin += static_cast<std::size_t>(size))
            visit(views_of({samples.begin() + static_cast<std::ptrdiff_t>(begin),
                            samples.begin() + static_cast<std::ptrdiff_t>(
                                                  std::min(samples.size(), begin + static_cast<std::size_t>(size)))},
                           number));
        }};
  }

  double step(Optimizer& optimizer, int t, bool leave_out = false) const {
    Step step;
    step.iteration = t;
    step.epoch = t / sampler.steps_per_epoch();
    if (t % sampler.steps_per_epoch() == 0) method->before_epoch(epoch(step.epoch));
    optimizer.zero_grad();
    method->before_step(step);
    const auto loss =
        method->loss(views_of(sampler.indices(step.epoch, t % sampler.steps_per_epoch()), step.epoch), step);
    loss.value.backward();
    testing::average_gradients(*method, *group);
    gradients.clear();
    for (const auto& item : method->named_parameters()) gradients[item.key()] = item.value().grad().clone();
    if (!leave_out) {
      method->before_update(step);
      optimizer.step(kRate(t));
    }
    // A host that has read the verdict does not come to after_step; one that has not tells it there.
    step.update_applied = torch::tensor(!leave_out);
    if (!leave_out || deferred) method->after_step(step);
    auto mean = loss.value.detach().clone();
    group->all_reduce_sum(mean);
    return mean.item<double>() / group->world_size();
  }

  std::shared_ptr<const Group> group;
  std::int64_t batch;
  data::Sampler sampler;
  std::shared_ptr<DeepClusterV2> method;
  bool deferred = true;
  mutable std::map<std::string, at::Tensor> gradients;
};

std::map<std::string, at::Tensor> data_of(DeepClusterV2& method) {
  const auto state = method.per_sample_state();
  return {state.begin(), state.end()};
}

TEST(DeepClusterV2, FollowsTheReleasedCodeOverThreeClusterings) {
  const Training run;
  Optimizer optimizer(run.method->parameter_groups(), testing::sgd());
  ASSERT_EQ(golden()["losses"].size(), 9u);
  int checked = 0, ignored = 0;
  for (int t = 0; t < 9; ++t) {
    EXPECT_NEAR(run.step(optimizer, t), golden()["losses"][t].get<double>(), 1e-9) << "step " << t;
    EXPECT_NEAR(kRate(t), golden()["rates"][t].get<double>(), 1e-12) << "step " << t;
    if (const auto key = std::to_string(t); golden()["gradients"].contains(key)) {
      for (const auto& [name, gradient] : golden()["gradients"][key].items())
        EXPECT_LT(testing::distance(run.gradients.at(name), gradient), 1e-9) << "step " << t << " " << name;
      ++checked;
    }
    const auto clusters = data_of(*run.method).at("clusters").flatten();
    const auto expected = golden()["clusters"][t / 3].get<std::vector<std::int64_t>>();
    EXPECT_TRUE(clusters.equal(torch::tensor(expected, torch::kInt64))) << "step " << t;
    ignored += clusters.eq(-100).sum().item<int>();
  }
  EXPECT_EQ(checked, 4);
  EXPECT_GT(ignored, 0);
  for (const auto& item : run.method->named_parameters())
    EXPECT_LT(testing::distance(item.value(), golden()["end"][item.key()]), 1e-9) << item.key();
  const auto state = data_of(*run.method);
  EXPECT_LT(testing::distance(state.at("bank").to(torch::kDouble), golden()["bank"]), 1e-7);  // it is float32
  EXPECT_TRUE(state.at("bank_samples")
                  .equal(torch::tensor(golden()["bank_samples"].get<std::vector<std::int64_t>>(), torch::kInt64)));
}

TEST(DeepClusterV2, TellsWhatTheClusteringFound) {
  const Training run;
  std::map<std::string, double> news;
  for (const auto& [name, value] : run.method->before_epoch(run.epoch(0))) news[name] = value.item<double>();
  EXPECT_NEAR(news.at("kmeans_objective"), golden()["objectives"][0].get<double>(), 1e-6);
  EXPECT_EQ(news.count("nmi_before"), 0u);
  double empty = 0;
  const auto clusters =
      torch::tensor(golden()["clusters"][0].get<std::vector<std::int64_t>>(), torch::kInt64).view({-1, kSamples});
  for (std::size_t h = 0; h < golden_options().prototypes.size(); ++h) {
    const auto found = clusters[static_cast<std::int64_t>(h)];
    empty += static_cast<double>(golden_options().prototypes[h] -
                                 std::get<0>(at::_unique(found.masked_select(found.ge(0)))).numel());
  }
  EXPECT_EQ(news.at("empty_clusters"), empty);
  // The same banks again, with other first centroids.
  for (const auto& [name, value] : run.method->before_epoch(run.epoch(1))) news[name] = value.item<double>();
  EXPECT_GT(news.at("nmi_before"), 0);
  EXPECT_LE(news.at("nmi_before"), 1);
}

TEST(DeepClusterV2, IsTheSameOnAnyNumberOfRanks) {
  const auto train = [](const std::shared_ptr<const Group>& group) {
    const Training run(group);
    Optimizer optimizer(run.method->parameter_groups(), testing::sgd());
    // A step that is left out, and then a clustering: its samples have other places in the epoch before.
    for (int t = 0; t < 8; ++t) run.step(optimizer, t, /*leave_out=*/t == 4);
    auto tensors = data_of(*run.method);
    tensors.merge(testing::tensors_of(*run.method));
    return tensors;
  };
  const auto one = train(single_process());
  for (const int world : {2, 3}) {
    testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
      const auto many = train(group);
      ASSERT_EQ(many.size(), one.size() - (group->rank() == 0 ? 0 : 3)) << "rank 0 alone has the data's state";
      for (const auto& [name, tensor] : one) {
        if (!many.contains(name)) continue;
        EXPECT_LT((many.at(name).to(torch::kDouble) - tensor.to(torch::kDouble)).abs().max().item<double>(),
                  name == "bank" ? 1e-7 : 1e-9)
            << world << " ranks, " << name;
      }
    });
  }
}

TEST(DeepClusterV2, GoesOnFromItsStateOnAnotherNumberOfRanks) {
  const Training whole;
  Optimizer optimizer(whole.method->parameter_groups(), testing::sgd());
  for (int t = 0; t < 4; ++t) whole.step(optimizer, t);  // in the middle of the second epoch
  std::vector<std::pair<std::string, at::Tensor>> saved;
  for (const auto& [name, tensor] : whole.method->per_sample_state()) saved.emplace_back(name, tensor.clone());
  const auto tensors = testing::tensors_of(*whole.method);
  const auto momentum = optimizer.state();
  std::vector<std::pair<std::string, at::Tensor>> kept;
  for (const auto& [name, tensor] : momentum) kept.emplace_back(name, tensor.clone());
  std::vector<double> losses;
  for (int t = 4; t < 9; ++t) losses.push_back(whole.step(optimizer, t));

  for (const int world : {1, 2}) {
    testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
      const Training run(group);
      {
        const torch::NoGradGuard no_grad;
        for (const auto& item : run.method->named_parameters()) item.value().copy_(tensors.at(item.key()));
        for (const auto& item : run.method->named_buffers()) item.value().copy_(tensors.at(item.key()));
      }
      run.method->load_per_sample_state(saved);
      Optimizer second(run.method->parameter_groups(), testing::sgd());
      second.load_state(kept);
      for (int t = 4; t < 9; ++t) {
        const double loss = run.step(second, t);
        EXPECT_NEAR(loss, losses[t - 4], world == 1 ? 0 : 1e-9) << t;
      }
    });
  }
  saved[0].second = torch::zeros({1});
  EXPECT_THROW(whole.method->load_per_sample_state(saved), MismatchError);
}

TEST(DeepClusterV2, GathersItsBanksAtOnceAndNothingToKnowTheirSize) {
  const auto group = std::make_shared<testing::CountingGroup>();
  const Training run(group);
  EXPECT_GT(run.method->per_sample_state_bytes(), 0);
  EXPECT_EQ(group->gathers, 0);
  run.method->per_sample_state();
  EXPECT_EQ(group->gathers, 3) << "two banks and their samples, whatever the number of steps";
  testing::run_ranks(2, [](std::shared_ptr<const Group> ranks) {
    const Training part(ranks);
    std::int64_t bytes = 0;
    for (const auto& [name, tensor] : part.method->per_sample_state())
      bytes += static_cast<std::int64_t>(tensor.nbytes());
    EXPECT_EQ(bytes, ranks->rank() == 0 ? part.method->per_sample_state_bytes() : 0);
  });
}

TEST(DeepClusterV2, AStepThatIsTakenBackLeavesTheBank) {
  for (const bool deferred : {true, false}) {
    SCOPED_TRACE(deferred);
    Training run;
    run.deferred = deferred;
    Optimizer optimizer(run.method->parameter_groups(), testing::sgd());
    run.step(optimizer, 0);
    const auto before = data_of(*run.method);
    run.step(optimizer, 1, /*leave_out=*/true);
    const auto after = data_of(*run.method);
    for (const char* name : {"bank", "clusters"}) EXPECT_TRUE(after.at(name).equal(before.at(name))) << name;
    auto samples = before.at("bank_samples").clone();
    samples.narrow(0, kBatch, kBatch).fill_(-1);  // nobody's
    EXPECT_TRUE(after.at("bank_samples").equal(samples));
  }
}

TEST(DeepClusterV2, HasTheGradientOfItsLoss) {
  const Training run;
  run.method->before_epoch(run.epoch(0));
  const auto views = views_of({3, 1, 4, 15, 9, 2}, 0);
  testing::expect_gradients(*run.method, [&] {
    run.method->before_step({});
    return run.method->loss(views, {}).value;
  });
}

TEST(DeepClusterV2, IgnoresWhatHasNoCluster) {
  const Training run;
  run.method->before_epoch(run.epoch(0));
  const auto clusters = data_of(*run.method).at("clusters")[0];
  std::vector<std::int64_t> with, without;
  for (std::int64_t i = 0; i < kSamples; ++i) (clusters[i].item<std::int64_t>() < 0 ? without : with).push_back(i);
  ASSERT_EQ(without.size(), 2u);
  const auto nothing = run.method->loss(views_of(without, 0), {});
  EXPECT_EQ(nothing.value.item<double>(), 0);
  nothing.value.backward();
  for (const auto& parameter : run.method->parameters()) EXPECT_EQ(parameter.grad().abs().max().item<double>(), 0);
}

TEST(DeepClusterV2, BeginsWithEmbeddingsOfRank0AsReleased) {
  auto options = golden_options();
  options.as_released = true;
  options.kmeans_iterations = 0;
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    const Training run(group, options);
    run.method->before_epoch(run.epoch(0));
    const auto state = data_of(*run.method);
    if (group->rank() != 0) return;
    const auto bank = state.at("bank")[0].view({kSteps, 2, 3, -1}).select(1, 0).flatten(0, 1);
    const auto prototypes = run.method->named_parameters()["prototypes.prototypes0.weight"].to(torch::kFloat);
    for (int k = 0; k < 4; ++k) EXPECT_EQ((bank - prototypes[k]).abs().sum(1).min().item<double>(), 0) << k;
  });
}

TEST(DeepClusterV2, KeepsScoresAndLossOutOfAutocast) {
  const Training run;
  run.method->before_epoch(run.epoch(0));
  const auto clusters = run.method->per_sample_state().at(2);
  ASSERT_EQ(clusters.first, "clusters");
  to_float_dtype(*run.method, torch::kFloat);
  // Crops that are one, so that the embeddings of all are known; of samples that have clusters.
  auto views = views_of(run.sampler.indices(0, 0), 0);
  views.tensors[2].second = views.tensors[1].second = views.tensors[0].second =
      views.tensors[0].second.to(torch::kFloat);
  const auto loss = testing::in_bf16([&] { return run.method->loss(views, {}); });
  EXPECT_EQ(loss.value.scalar_type(), torch::kFloat);
  EXPECT_EQ(loss.embeddings.scalar_type(), torch::kFloat);
  double expected = 0;
  for (std::int64_t h = 0; h < 3; ++h) {
    const auto weight = run.method->named_parameters()[concat("prototypes.prototypes", h, ".weight")];
    const auto scores = loss.embeddings.to(torch::kDouble).matmul(weight.detach().to(torch::kDouble).t()) / 0.1;
    const auto targets = clusters.second[h].index_select(0, views.indices);
    ASSERT_GE(targets.min().item<std::int64_t>(), 0);
    expected += at::cross_entropy_loss(scores, targets).item<double>() / 3;
  }
  EXPECT_NEAR(loss.value.item<double>(), expected, 1e-5);
}

TEST(DeepClusterV2, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    auto options = golden_options();
    change(options);
    return refusal([&] {
      DeepClusterV2(std::make_shared<TinyEncoder>(), options,
                    MethodContext{.images = kSamples, .global_batch = kBatch});
    });
  };
  EXPECT_EQ(refused([](auto&) {}), "(accepted)");
  EXPECT_EQ(refused([](auto& o) {
              o.prototypes = {4, 19};
            }),
            "deepcluster_v2.prototypes is 19, more than the 18 embeddings of a bank: give fewer, such as 1");
  EXPECT_NE(refused([](auto& o) { o.prototypes = {}; }), "(accepted)");
  EXPECT_NE(refused([](auto& o) { o.temperature = 0; }), "(accepted)");
  const Training run;
  EXPECT_THROW(run.method->check_views(augment::preset("deepcluster", {.global_size = 32})), UsageError);
}

}  // namespace
}  // namespace unlabel::ssl::deepcluster_v2_test
