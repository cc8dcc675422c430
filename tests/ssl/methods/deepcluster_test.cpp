#include <unlabel/augment/error.h>
#include <unlabel/augment/transforms/presets.h>
#include <unlabel/data/sampler.h>
#include <unlabel/ssl/methods/deepcluster.h>
#include <unlabel/ssl/optim/cast.h>
#include <unlabel/ssl/optim/optimizer.h>

#include "refusal.h"
#include "ssl/thread_group.h"
#include "ssl/tiny_method.h"

#include <algorithm>
#include <map>
#include <set>

namespace unlabel::ssl::deepcluster_test {
namespace {

using nlohmann::json;
using testing::TinyEncoder;

// Of tests/golden/deepcluster.py.
constexpr std::int64_t kSamples = 30, kBatch = 6, kSteps = 4, kSeed = 5, kSize = 12;

const json& golden() {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/deepcluster.json");
  return value;
}

/// Epoch -1 is the view that features are taken of.
Batch views_of(const std::vector<std::int64_t>& samples, std::int64_t epoch) {
  const auto i = torch::arange(3 * kSize * kSize, torch::kDouble);
  std::vector<at::Tensor> images;
  for (const auto sample : samples)
    images.push_back(
        torch::sin((0.2 + 0.1 * static_cast<double>(sample)) * i + 0.001 * i * i + 0.6 * static_cast<double>(epoch))
            .view({3, kSize, kSize}));
  return testing::batch_of({at::stack(images)}, torch::tensor(samples, torch::kInt64));
}

DeepClusterOptions golden_options() {
  DeepClusterOptions options;
  options.clusters = 5;
  options.pca_dim = 4;
  options.top_layer_lr = 0.3;
  return options;
}

struct Training {
  explicit Training(std::shared_ptr<const Group> the_group = single_process(),
                    const DeepClusterOptions& options = golden_options())
      : group(std::move(the_group)),
        sampler(kSamples, kBatch, kSeed, group->rank(), group->world_size()),
        method(std::make_shared<DeepCluster>(
            std::make_shared<TinyEncoder>(), options,
            MethodContext{.images = kSamples, .global_batch = kBatch, .seed = kSeed, .group = group})) {
    to_float_dtype(*method, torch::kDouble);
    set_batch_norm_group(*method, group);
    if (options.clusters == golden_options().clusters) testing::set_parameters(*method, golden()["start"]);
  }

  EpochContext epoch(std::int64_t number) const {
    static const data::ImageViews training(augment::preset("deepcluster", {.global_size = 32}));
    return {number, nullptr, &training,
            [](const auto& transform, const auto& samples, std::int64_t size, const auto& visit) {
              EXPECT_EQ(transform.arrays().size(), 1u);
              for (auto begin = samples.begin(); begin != samples.end();) {
                const auto end = begin + std::min<std::ptrdiff_t>(size, samples.end() - begin);
                visit(views_of({begin, end}, -1));
                begin = end;
              }
            }};
  }

  double step(Optimizer& optimizer, int t) const {
    Step step;
    step.iteration = t;
    step.epoch = t / kSteps;
    if (t % kSteps == 0) method->before_epoch(epoch(step.epoch));
    optimizer.zero_grad();
    const auto loss = method->loss(views_of(sampler.indices(step.epoch, t % kSteps), step.epoch), step);
    loss.value.backward();
    testing::average_gradients(*method, *group);
    gradients.clear();
    for (const auto& item : method->named_parameters()) gradients[item.key()] = item.value().grad().clone();
    optimizer.step(0.1);
    auto mean = loss.value.detach().clone();
    group->all_reduce_sum(mean);
    return mean.item<double>() / group->world_size();
  }

  at::Tensor clusters() const { return method->per_sample_state()[0].second; }

  std::shared_ptr<const Group> group;
  data::Sampler sampler;
  std::shared_ptr<DeepCluster> method;
  mutable std::map<std::string, at::Tensor> gradients;
};

TEST(DeepCluster, FollowsTheReleasedCodeOverThreeClusterings) {
  const Training run;
  Optimizer optimizer(run.method->parameter_groups(), testing::sgd());
  ASSERT_EQ(golden()["losses"].size(), 12u);
  int checked = 0;
  for (int t = 0; t < 12; ++t) {
    EXPECT_NEAR(run.step(optimizer, t), golden()["losses"][t].get<double>(), 1e-9) << "step " << t;
    if (const auto key = std::to_string(t); golden()["gradients"].contains(key)) {
      for (const auto& [name, gradient] : golden()["gradients"][key].items())
        EXPECT_LT(testing::distance(run.gradients.at(name), gradient), 1e-9) << "step " << t << " " << name;
      ++checked;
    }
    const auto expected = golden()["clusters"][t / kSteps].get<std::vector<std::int64_t>>();
    EXPECT_TRUE(run.clusters().equal(torch::tensor(expected, torch::kInt64))) << "step " << t;
  }
  EXPECT_EQ(checked, 4);
  for (const auto& item : run.method->named_parameters())
    EXPECT_LT(testing::distance(item.value(), golden()["end"][item.key()]), 1e-9) << item.key();
}

TEST(DeepCluster, IsTheSameOnAnyNumberOfRanks) {
  const auto train = [](const std::shared_ptr<const Group>& group) {
    const Training run(group);
    Optimizer optimizer(run.method->parameter_groups(), testing::sgd());
    for (int t = 0; t < 6; ++t) run.step(optimizer, t);
    auto tensors = testing::tensors_of(*run.method);
    tensors["clusters"] = run.clusters();
    return tensors;
  };
  const auto one = train(single_process());
  for (const int world : {2, 3}) {
    testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
      const auto many = train(group);
      ASSERT_EQ(many.size(), one.size());
      for (const auto& [name, tensor] : one)
        EXPECT_LT((many.at(name) - tensor).abs().max().item<double>(), 1e-9) << world << " ranks, " << name;
    });
  }
}

TEST(DeepCluster, GoesOnFromItsClusters) {
  const Training whole;
  Optimizer optimizer(whole.method->parameter_groups(), testing::sgd());
  for (int t = 0; t < 6; ++t) whole.step(optimizer, t);
  const Training second;
  {
    const torch::NoGradGuard no_grad;
    for (const auto& item : whole.method->named_parameters())
      second.method->named_parameters()[item.key()].copy_(item.value());
    for (const auto& item : whole.method->named_buffers())
      second.method->named_buffers()[item.key()].copy_(item.value());
  }
  second.method->load_per_sample_state(whole.method->per_sample_state());
  Optimizer other(second.method->parameter_groups(), testing::sgd());
  std::vector<std::pair<std::string, at::Tensor>> state;
  for (const auto& [name, tensor] : optimizer.state()) {
    EXPECT_EQ(name.find("top_layer"), std::string::npos);  // nothing is kept about it
    state.emplace_back(name, tensor.clone());
  }
  other.load_state(state);
  EXPECT_EQ(whole.method->order(whole.epoch(1)), second.method->order(second.epoch(1)));
  for (int t = 6; t < 12; ++t) EXPECT_EQ(whole.step(optimizer, t), second.step(other, t)) << t;
  EXPECT_THROW(second.method->load_per_sample_state({{"clusters", torch::zeros({3}, torch::kInt64)}}), MismatchError);
}

TEST(DeepCluster, DrawsAsOftenFromEachCluster) {
  auto options = golden_options();
  const auto counts_by = [&](const std::string& sampling) {
    options.sampling = sampling;
    const Training run(single_process(), options);
    // Clusters of 20, 6, 4, 0 and 0 samples.
    auto clusters = torch::zeros({kSamples}, torch::kInt64);
    clusters.slice(0, 20, 26).fill_(1);
    clusters.slice(0, 26).fill_(3);
    clusters = clusters.index_select(0, torch::arange(kSamples).mul(7).remainder(kSamples).to(torch::kInt64));
    run.method->load_per_sample_state({{"clusters", clusters}});
    const auto order = run.method->order(run.epoch(2));
    EXPECT_TRUE(order.has_value());
    EXPECT_EQ(order->size(), static_cast<std::size_t>(kSamples));
    EXPECT_EQ(order, run.method->order(run.epoch(2)));
    EXPECT_NE(order, run.method->order(run.epoch(3)));
    std::map<std::int64_t, int> counts;
    std::map<std::int64_t, std::set<std::int64_t>> different;
    for (const auto sample : *order) {
      const auto cluster = clusters[sample].item<std::int64_t>();
      ++counts[cluster];
      different[cluster].insert(sample);
    }
    return std::pair(counts, different);
  };
  const auto [paper, different] = counts_by("paper");
  ASSERT_EQ(paper.size(), 3u);
  for (const auto& [cluster, count] : paper)
    EXPECT_NEAR(count, 10, 1.01 * 3) << cluster;  // 11 of each, less 3 at the end
  EXPECT_EQ(different.at(0).size(),
            static_cast<std::size_t>(paper.at(0)));  // without replacement where there are enough
  EXPECT_LE(different.at(3).size(), 4u);
  const auto released = counts_by("as_released").first;
  EXPECT_GT(released.at(0), 14);  // large clusters stay large
}

TEST(DeepCluster, DrawsIndependentlyForEachClusterAndSeed) {
  // Two clusters of 14 samples, of which 11 are drawn without replacement, and one of 2.
  const auto clusters = (torch::arange(kSamples) >= 14).to(torch::kInt64) + (torch::arange(kSamples) >= 28);
  const auto places = [&](std::uint64_t seed, std::int64_t cluster, std::int64_t number) {
    DeepCluster method(std::make_shared<TinyEncoder>(), golden_options(),
                       MethodContext{.images = kSamples, .global_batch = kBatch, .seed = seed});
    method.load_per_sample_state({{"clusters", clusters}});
    const auto order = method.order({number, nullptr, nullptr, {}});
    std::set<std::int64_t> drawn;
    for (const auto sample : *order)
      if (clusters[sample].item<std::int64_t>() == cluster) drawn.insert(sample - 14 * cluster);
    return drawn;
  };
  std::size_t most = 0;
  for (std::int64_t number = 0; number < 4; ++number) {
    auto either = places(kSeed, 1, number);
    either.merge(places(kSeed + 1, 0, number));
    most = std::max(most, either.size());
  }
  EXPECT_GT(most, 11u) << "a cluster's draw is that of the cluster before it under the next seed";
}

TEST(DeepCluster, APassThatFailsLeavesTheNetworkInTraining) {
  const Training run;
  auto epoch = run.epoch(0);
  epoch.read = [&](const auto&, const auto&, std::int64_t, const auto&) {
    EXPECT_FALSE(run.method->encoder().is_training());
    throw Error("no data");
  };
  EXPECT_THROW(run.method->before_epoch(epoch), Error);
  for (const auto& module : run.method->modules()) EXPECT_TRUE(module->is_training());
  EXPECT_EQ(run.method->per_sample_state_bytes(), kSamples * 8);
}

TEST(DeepCluster, TellsWhatTheClusteringFound) {
  const Training run;
  std::map<std::string, double> news;
  for (const auto& [name, value] : run.method->before_epoch(run.epoch(0))) news[name] = value.item<double>();
  EXPECT_EQ(news.count("nmi_before"), 0u);
  EXPECT_GT(news.at("kmeans_objective"), 0);
  for (const auto& [name, value] : run.method->before_epoch(run.epoch(1))) news[name] = value.item<double>();
  EXPECT_GT(news.at("nmi_before"), 0.2);
  const auto loss = run.method->loss(views_of({1, 2, 3}, 0), {});
  EXPECT_EQ(testing::diagnostic(loss, "clusters_used"), 1);
  EXPECT_GE(testing::diagnostic(loss, "largest_cluster"), 0.2);
}

TEST(DeepCluster, HasTheGradientOfItsLoss) {
  const Training run;
  run.method->before_epoch(run.epoch(0));
  const auto views = views_of({3, 1, 4, 15, 9, 2}, 0);
  testing::expect_gradients(*run.method, [&] { return run.method->loss(views, {}).value; });
}

TEST(DeepCluster, RefusesWhatCannotBe) {
  const auto refused = [](auto change) {
    auto options = golden_options();
    change(options);
    return refusal([&] {
      DeepCluster(std::make_shared<TinyEncoder>(), options, MethodContext{.images = kSamples, .global_batch = kBatch});
    });
  };
  EXPECT_EQ(refused([](auto&) {}), "(accepted)");
  EXPECT_EQ(refused([](auto& o) { o.clusters = 31; }),
            "deepcluster.clusters is 31, more than the 30 images: give fewer, such as 2");
  EXPECT_NE(refused([](auto& o) { o.sampling = "other"; }), "(accepted)");
  EXPECT_NE(refused([](auto& o) { o.empty = "other"; }), "(accepted)");
  EXPECT_THROW(Training().method->loss(testing::chirps({12, 12}, 4, 0), {}), UsageError);
  EXPECT_THROW(Training().method->check_views(augment::preset("simclr", {.global_size = 32})), UsageError);
  EXPECT_NO_THROW(Training().method->check_views(augment::preset("deepcluster", {.global_size = 32})));
  // What a checkpoint holds may be anything.
  for (const std::int64_t wrong : {std::int64_t{-2}, golden_options().clusters, std::int64_t{1} << 60})
    EXPECT_THROW(
        Training().method->load_per_sample_state({{"clusters", torch::full({kSamples}, wrong, torch::kInt64)}}),
        MismatchError)
        << wrong;
  EXPECT_THROW(Training().method->load_per_sample_state({{"clusters", torch::zeros({kSamples})}}), MismatchError);
}

}  // namespace
}  // namespace unlabel::ssl::deepcluster_test
