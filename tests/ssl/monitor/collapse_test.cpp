#include <unlabel/ssl/monitor/collapse.h>
#include <unlabel/ssl/monitor/embedding_stats.h>

#include <gtest/gtest.h>
#include <torch/nn/functional/normalization.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace unlabel::ssl {
namespace {

double deviation(const at::Tensor& z) { return embedding_stats(z).feature_spread.item<double>(); }
double rank(const at::Tensor& z) { return effective_rank(embedding_stats(z).gram); }

TEST(EmbeddingStats, CountsTheDirectionsInUse) {
  // Two of four directions, equally: singular values sqrt(5), sqrt(5), 0, 0.
  const auto two = torch::eye(4).narrow(0, 0, 2).repeat({5, 1});
  EXPECT_NEAR(rank(two), 2, 1e-6);
  EXPECT_NEAR(deviation(two), std::sqrt(4.0) * (0.5 + 0.5) / 4, 1e-6);
  EXPECT_NEAR(rank(torch::eye(4)), 4, 1e-6);
  // Three to one: p = sqrt(3) / (sqrt(3) + 1) and 1 / (sqrt(3) + 1).
  const auto uneven = torch::eye(4).index_select(0, torch::tensor({0, 0, 0, 1}));
  const double p = std::sqrt(3.0) / (std::sqrt(3.0) + 1), q = 1 - p;
  EXPECT_NEAR(rank(uneven), std::exp(-p * std::log(p) - q * std::log(q)), 1e-6);
}

TEST(EmbeddingStats, TellsOnePointFromTheWholeSphere) {
  torch::manual_seed(0);
  const auto anywhere = torch::randn({4096, 32});
  EXPECT_NEAR(deviation(anywhere), 1, 0.01);
  EXPECT_GT(rank(anywhere), 31.5);
  EXPECT_NEAR(deviation(torch::randn({1, 32}).repeat({64, 1})), 0, 1e-6);
  EXPECT_NEAR(rank(torch::randn({1, 32}).repeat({64, 1})), 1, 1e-4);
  // Nearly one point: a common direction ten times as long as what differs.
  const auto near = torch::randn({4096, 32}) * 0.1 + torch::nn::functional::normalize(torch::ones({1, 32})) * 5.65;
  EXPECT_LT(deviation(near), 0.15);
  EXPECT_GT(deviation(near), 0.05);
}

TEST(EmbeddingStats, TakesOnlyDirections) {
  torch::manual_seed(1);
  const auto z = torch::randn({48, 96}, torch::kDouble);  // fewer samples than dimensions
  const auto lengths = torch::rand({48, 1}, torch::kDouble) * 100 + 1e-3;
  EXPECT_NEAR(rank(z * lengths), rank(z), 1e-6);
  EXPECT_NEAR(deviation(z * lengths), deviation(z), 1e-9);
  EXPECT_LE(rank(z), 48 + 1e-6);
}

TEST(EmbeddingStats, IsTheExponentialOfTheEntropyOfSingularValues) {
  torch::manual_seed(2);
  for (const std::int64_t n : {20, 200}) {
    const auto z = torch::randn({n, 64}, torch::kDouble).matmul(torch::diag(torch::arange(64, torch::kDouble)));
    const auto s = std::get<1>(at::linalg_svd(torch::nn::functional::normalize(z), /*full_matrices=*/false));
    EXPECT_NEAR(rank(z), at::special_entr(s / s.sum()).sum().exp().item<double>(), 1e-4) << n;
    EXPECT_EQ(embedding_stats(z).gram.size(0), std::min<std::int64_t>(n, 64));
  }
}

TEST(EmbeddingStats, IsFiniteForWhatIsNot) {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto& z : {torch::full({8, 4}, std::nan("")), torch::full({8, 4}, inf), torch::zeros({8, 4})}) {
    EXPECT_EQ(deviation(z), 0);
    EXPECT_TRUE(std::isfinite(rank(z)));
  }
  const auto z = torch::randn({8, 4}).requires_grad_();
  EXPECT_FALSE(embedding_stats(z).feature_spread.requires_grad());
  EXPECT_FALSE(embedding_stats(z).gram.requires_grad());
}

std::vector<CollapseCheck> checks() {
  return {{"loss", 5, /*above=*/true, "nothing is learned", "Try less"},
          {"feature_spread", 0.1, /*above=*/false, "all is one", "Try more"}};
}

TEST(CollapseMonitor, SpeaksAfterFiveInARowAndOnce) {
  CollapseMonitor monitor(checks(), 0);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(monitor.update(i, {{"loss", 6}, {"feature_spread", 0.5}}).empty()) << i;
  EXPECT_TRUE(monitor.triggered().empty());
  const auto said = monitor.update(40, {{"loss", 7}, {"feature_spread", 0.5}});
  EXPECT_EQ(said, std::vector<std::string>{"loss is 7 (above 5) at step 40: nothing is learned. Try less"});
  EXPECT_EQ(monitor.triggered(), std::vector<std::string>{"loss"});
  for (int i = 5; i < 30; ++i) EXPECT_TRUE(monitor.update(i, {{"loss", 6}, {"feature_spread", 0.5}}).empty()) << i;
  EXPECT_EQ(monitor.triggered(), std::vector<std::string>{"loss"});
}

TEST(CollapseMonitor, KnowsWhatIsBadNowAndSaysItOnce) {
  CollapseMonitor monitor(checks(), 0);
  int said = 0;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 9; ++i) said += static_cast<int>(monitor.update(i, {{"feature_spread", 0.05}}).size());
    EXPECT_EQ(monitor.triggered(), std::vector<std::string>{"feature_spread"});
    EXPECT_TRUE(monitor.update(9, {{"feature_spread", 0.1}}).empty());  // the limit itself is good
    EXPECT_TRUE(monitor.triggered().empty());
  }
  EXPECT_EQ(said, 1);
}

TEST(CollapseMonitor, LeavesTheStartOfARunAlone) {
  CollapseMonitor monitor(checks(), 100);
  int said_at = -1;
  for (int i = 0; i < 120 && said_at < 0; ++i)
    if (!monitor.update(i, {{"loss", 6}}).empty()) said_at = i;
  EXPECT_EQ(said_at, 104);
}

TEST(CollapseMonitor, CountsOnAfterAResumeAndSaysItAgain) {
  CollapseMonitor before(checks(), 0);
  for (int i = 0; i < 7; ++i) before.update(i, {{"loss", 6}, {"feature_spread", 0.5}});
  CollapseMonitor monitor(checks(), 0);
  monitor.load_state(nlohmann::json::parse(before.state().dump()));
  EXPECT_EQ(monitor.triggered(), std::vector<std::string>{"loss"});
  EXPECT_EQ(monitor.update(7, {{"loss", 6}, {"feature_spread", 0.5}}).size(), 1u);
  EXPECT_TRUE(monitor.update(8, {{"loss", 6}, {"feature_spread", 0.5}}).empty());
}

TEST(CollapseMonitor, PassesOverWhatIsMissingAndNotWhatIsNoNumber) {
  CollapseMonitor monitor(checks(), 0);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(monitor.update(i, {{"other", 1}}).empty());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(monitor.update(i, {{"feature_spread", std::nan("")}}).empty());
  EXPECT_EQ(monitor.update(4, {{"feature_spread", std::nan("")}}).size(), 1u);
}

}  // namespace
}  // namespace unlabel::ssl
