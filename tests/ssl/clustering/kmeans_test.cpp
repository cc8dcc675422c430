#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/ssl/clustering/kmeans.h>
#include <unlabel/ssl/clustering/whitening.h>

#include "ssl/thread_group.h"
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace unlabel::ssl::kmeans_test {
namespace {

using nlohmann::json;

const json& golden() {
  static const json value = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/kmeans.json");
  return value;
}

/// The points of tests/golden/kmeans.py.
at::Tensor points(std::int64_t n, std::int64_t d) {
  const auto i = torch::arange(n * d, torch::kDouble);
  const auto group = torch::arange(n, torch::kDouble).fmod(5).repeat_interleave(d);
  return (torch::sin(0.9 * i + 0.001 * i * i) + 1.5 * torch::cos(2.1 * group + i.fmod(static_cast<double>(d))))
      .view({n, d})
      .to(torch::kFloat);
}

at::Tensor l2_normalize(const at::Tensor& x) { return x / x.norm(2, 1, true); }

double largest(const at::Tensor& difference) { return difference.abs().max().item<double>(); }

/// A rank's share of rows, the ranks' as unequal as they come.
at::Tensor share(const at::Tensor& x, const Group& group) {
  const auto begin = x.size(0) * group.rank() * group.rank() / (group.world_size() * group.world_size());
  const auto end = x.size(0) * (group.rank() + 1) * (group.rank() + 1) / (group.world_size() * group.world_size());
  return x.narrow(0, begin, end - begin);
}

TEST(Kmeans, IsLloydsOnThePlaneAndOnTheSphere) {
  const auto x = points(golden()["n"], golden()["d"]);
  for (const auto& expected : golden()["cases"]) {
    const bool spherical = expected["spherical"];
    const auto p = spherical ? l2_normalize(x) : x;
    KmeansOptions options{.clusters = golden()["k"], .iterations = 6, .spherical = spherical, .empty_action = "keep"};
    const auto result = kmeans(p, options, *single_process(), p.narrow(0, 5, options.clusters));
    ASSERT_EQ(result.objective.size(), 7u);
    for (int i = 0; i < 7; ++i) EXPECT_NEAR(result.objective[i], expected["objective"][i].get<double>(), 1e-5) << i;
    const auto assignments = torch::tensor(expected["assignments"].get<std::vector<std::int64_t>>(), torch::kInt64);
    EXPECT_TRUE(result.assignments.equal(assignments)) << spherical;
    const auto centroids = torch::tensor(expected["centroids"].get<std::vector<double>>(), torch::kDouble);
    EXPECT_LT(largest(result.centroids.flatten().to(torch::kDouble) - centroids), 1e-5);
    EXPECT_EQ(result.empty_clusters, 0);
  }
}

TEST(Kmeans, FallsAndRepeatsItself) {
  const auto x = points(9000, 12);  // more than two blocks
  const KmeansOptions options{.clusters = 40, .iterations = 12, .seed = 4};
  const auto a = kmeans(x, options, *single_process()), b = kmeans(x, options, *single_process());
  for (std::size_t i = 1; i < a.objective.size(); ++i) EXPECT_LE(a.objective[i], a.objective[i - 1] + 1e-6) << i;
  EXPECT_LT(a.objective.back(), 0.7 * a.objective.front());
  EXPECT_EQ(a.objective, b.objective);
  EXPECT_TRUE(a.centroids.equal(b.centroids));
  auto other = options;
  other.seed = 5;
  EXPECT_FALSE(a.centroids.equal(kmeans(x, other, *single_process()).centroids));
}

TEST(Kmeans, IsTheSameOnAnyNumberOfThreads) {
  const auto x = points(3000, 12);
  const KmeansOptions options{.clusters = 70, .iterations = 4};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto one = kmeans(x, options, *single_process());
  at::set_num_threads(3);
  const auto three = kmeans(x, options, *single_process());
  at::set_num_threads(before);
  EXPECT_TRUE(three.centroids.equal(one.centroids));
  EXPECT_TRUE(three.assignments.equal(one.assignments));
  EXPECT_EQ(three.objective, one.objective);
}

TEST(Kmeans, TakesTheFirstOfEquals) {
  const auto x = (7 * points(500, 3)).round();  // whole numbers, so that what is equal is exactly so
  for (const int k : {1, 5, 8, 64, 71, 150}) {
    // Every centroid again after 40.
    const auto first = x.narrow(0, 100, 40).repeat({4, 1}).narrow(0, 0, k);
    const auto distance = (x.unsqueeze(1) - first.unsqueeze(0)).square().sum(2);
    const auto nearest = std::get<0>(distance.min(1, true));
    const auto place = torch::where(distance.eq(nearest), torch::arange(k), k).amin(1);
    const auto result = kmeans(x, {.clusters = k, .iterations = 0}, *single_process(), first);
    EXPECT_TRUE(result.assignments.equal(place)) << k;
    EXPECT_NEAR(result.objective.back(), nearest.mean().item<double>(), 1e-4) << k;
  }
}

TEST(Kmeans, IsTheSameOnAnyNumberOfRanks) {
  const auto x = points(3000, 12);
  for (const bool spherical : {false, true}) {
    const KmeansOptions options{.clusters = 30, .iterations = 8, .spherical = spherical, .seed = 4};
    const auto p = spherical ? l2_normalize(x) : x;
    const auto one = kmeans(p, options, *single_process());
    for (const int world : {2, 3}) {
      testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
        const auto many = kmeans(share(p, *group), options, *group);
        EXPECT_LT(largest(many.centroids - one.centroids), 1e-5) << world;
        EXPECT_TRUE(many.assignments.equal(share(one.assignments, *group))) << world << " " << spherical;
        for (std::size_t i = 0; i < one.objective.size(); ++i)
          EXPECT_NEAR(many.objective[i], one.objective[i], 1e-6) << world;
      });
    }
  }
  const auto one = kmeans(x, {.clusters = 30, .iterations = 3}, *single_process());
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {  // one without points
    const auto own = x.narrow(0, 0, group->rank() * x.size(0));
    EXPECT_LT(largest(kmeans(own, {.clusters = 30, .iterations = 3}, *group).centroids - one.centroids), 1e-5);
  });
}

TEST(Kmeans, SplitsWhatIsEmptyOrKeepsIt) {
  // Ten places, a hundred points each; first centroids of which most are far from all.
  const auto places = 10 * points(10, 4);
  const auto x = places.repeat({100, 1}) + 0.01 * points(1000, 4);
  const auto first = at::cat({x.narrow(0, 0, 2), torch::full({8, 4}, 1e4)});
  KmeansOptions options{.clusters = 10, .iterations = 10, .empty_action = "keep"};
  const auto kept = kmeans(x, options, *single_process(), first);
  EXPECT_EQ(kept.empty_clusters, 8);
  EXPECT_EQ(kept.splits, 0);
  EXPECT_TRUE(kept.centroids[5].equal(first[5]));
  options.empty_action = "split";
  const auto split = kmeans(x, options, *single_process(), first);
  EXPECT_EQ(split.empty_clusters, 0);
  EXPECT_GT(split.splits, 7);
  EXPECT_LT(split.objective.back(), 0.5 * kept.objective.back());
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    EXPECT_LT(largest(kmeans(share(x, *group), options, *group, first).centroids - split.centroids), 1e-4);
  });
}

TEST(Kmeans, BeginsWithPointsOfRank0WhenToldTo) {
  const auto x = points(400, 3);
  testing::run_ranks(2, [&](std::shared_ptr<const Group> group) {
    const auto own = share(x, *group);
    const KmeansOptions options{.clusters = 5, .iterations = 0, .broadcast_from_rank0 = true};
    const auto centroids = kmeans(own, options, *group).centroids;
    const auto of_lead = x.narrow(0, 0, 100);  // rank 0's share
    for (int k = 0; k < 5; ++k)
      EXPECT_EQ((of_lead - centroids[k]).abs().sum(1).min().item<double>(), 0) << group->rank() << " " << k;
    EXPECT_THROW(kmeans(own, {.clusters = 101, .broadcast_from_rank0 = true}, *group), UsageError);
  });
}

TEST(Kmeans, RefusesWhatCannotBe) {
  const auto x = points(6, 3);
  EXPECT_THROW(kmeans(x, {.clusters = 7}, *single_process()), UsageError);
  EXPECT_THROW(kmeans(x, {.clusters = 0}, *single_process()), UsageError);
  EXPECT_THROW(kmeans(x, {.clusters = 2, .empty_action = "drop"}, *single_process()), UsageError);
  const auto each = kmeans(x, {.clusters = 6, .iterations = 3}, *single_process());
  EXPECT_NEAR(each.objective.back(), 0, 1e-6);
}

TEST(Kmeans, MeasuresMutualInformation) {
  const auto a = (torch::arange(60, torch::kInt64) * 7).remainder(5);
  const auto b = (torch::arange(60, torch::kInt64) * 3).remainder(11).floor_divide(3);
  EXPECT_NEAR(normalized_mutual_information(a, b), golden()["information"].get<double>(), 1e-9);
  EXPECT_NEAR(normalized_mutual_information(a, a), 1, 1e-12);
  EXPECT_NEAR(normalized_mutual_information(a, 4 - a), 1, 1e-12);
  EXPECT_EQ(normalized_mutual_information(a, torch::zeros_like(a)), 0);
  // What is not labeled counts for nothing.
  const auto unseen = at::cat({a, torch::full({7}, -1, torch::kInt64)});
  EXPECT_NEAR(normalized_mutual_information(unseen, at::cat({b, torch::zeros({7}, torch::kInt64)})),
              golden()["information"].get<double>(), 1e-9);
}

TEST(Whitening, MakesDirectionsOfVarianceOne) {
  const auto x = points(golden()["n"], golden()["d"]);
  const auto y = fit_whitening(x, 4, *single_process())(x);
  const auto expected = torch::tensor(golden()["whitened"].get<std::vector<double>>(), torch::kDouble).view({-1, 4});
  EXPECT_LT(largest(y.abs().to(torch::kDouble) - expected), 1e-4);  // but for the sign of each direction
  EXPECT_LT(largest(y.t().mm(y) / y.size(0) - torch::eye(4)), 1e-4);
  testing::run_ranks(3, [&](std::shared_ptr<const Group> group) {
    EXPECT_LT(largest(fit_whitening(share(x, *group), 4, *group)(x).abs() - y.abs()), 1e-4);
  });
  // A direction that does not vary is left out rather than blown up.
  const auto flat = at::cat({x, torch::ones({x.size(0), 1})}, 1);
  EXPECT_TRUE(fit_whitening(flat, 7, *single_process())(flat).isfinite().all().item<bool>());
  EXPECT_LT(largest(fit_whitening(flat, 7, *single_process())(flat).select(1, 6)), 1e-3);
  EXPECT_THROW(fit_whitening(x, 7, *single_process()), UsageError);
}

}  // namespace
}  // namespace unlabel::ssl::kmeans_test
