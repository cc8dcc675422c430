#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/ssl/losses/sinkhorn.h>

#include "ssl/thread_group.h"
#include <gtest/gtest.h>
#include <torch/types.h>

namespace unlabel::ssl {
namespace {

at::Tensor cosines(std::int64_t rows, std::int64_t columns) {
  const auto i = torch::arange(rows * columns, torch::kDouble);
  return torch::cos(1.3 * i + 0.01 * i * i).view({rows, columns});
}

TEST(Sinkhorn, EqualsTheMultiplicativeForm) {
  const auto golden = read_json_file(UNLABEL_SOURCE_DIR "/tests/golden/swav.json")["sinkhorn"];
  ASSERT_EQ(golden.size(), 3u);
  for (const auto& c : golden) {
    const auto scores = cosines(c["rows"], c["columns"]);
    const SinkhornOptions options{c["epsilon"], c["iterations"]};
    const auto expected = torch::tensor(c["q"].get<std::vector<double>>(), torch::kDouble).view(scores.sizes());
    const auto q = sinkhorn(scores, options, *single_process());
    EXPECT_EQ(q.scalar_type(), torch::kDouble);
    EXPECT_LT((q - expected).abs().max().item<double>(), 1e-9);
    const auto q32 = sinkhorn(scores.to(torch::kFloat), options, *single_process());
    EXPECT_EQ(q32.scalar_type(), torch::kFloat);
    EXPECT_LT((q32 - expected).abs().max().item<double>(), 1e-5);
  }
}

TEST(Sinkhorn, SpreadsSamplesOverPrototypesAlike) {
  const std::int64_t samples = 64, prototypes = 16;
  torch::manual_seed(3);
  const auto scores = torch::randn({samples, prototypes}, torch::kDouble).tanh();
  const auto q = sinkhorn(scores, {0.2, 500}, *single_process());
  EXPECT_LT((q.sum(1) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_LT((q.sum(0) - double(samples) / prototypes).abs().max().item<double>(), 1e-9);
  // The solution is diag(u) exp(S / epsilon) diag(v): its logarithm differs from S / epsilon by a row and a column.
  auto rest = q.log() - scores / 0.2;
  rest = rest - rest.mean(0, true) - rest.mean(1, true) + rest.mean();
  EXPECT_LT(rest.abs().max().item<double>(), 1e-9);
  // Few iterations leave the rows exact and the columns not.
  const auto early = sinkhorn(scores, {0.2, 1}, *single_process());
  EXPECT_LT((early.sum(1) - 1).abs().max().item<double>(), 1e-12);
  EXPECT_GT((early.sum(0) - double(samples) / prototypes).abs().max().item<double>(), 1e-3);
}

TEST(Sinkhorn, IsFiniteForEveryEpsilonAndType) {
  torch::manual_seed(5);
  const auto scores = torch::rand({32, 10}) * 2 - 1;
  for (const auto type : {torch::kHalf, torch::kBFloat16, torch::kFloat, torch::kDouble}) {
    for (const double epsilon : {1e-6, 1e-4, 1e-2, 0.05, 100.0}) {
      const auto q = sinkhorn(scores.to(type), {epsilon, 3}, *single_process());
      EXPECT_EQ(q.scalar_type(), type == torch::kDouble ? torch::kDouble : torch::kFloat);
      EXPECT_TRUE(torch::isfinite(q).all().item<bool>()) << type << " " << epsilon;
      EXPECT_LT((q.sum(1) - 1).abs().max().item<double>(), 1e-3) << type << " " << epsilon;
    }
  }
  // Far beyond unit vectors, too.
  EXPECT_TRUE(torch::isfinite(sinkhorn(scores * 1e4, {0.05, 3}, *single_process())).all().item<bool>());
}

TEST(Sinkhorn, TakesTheBatchOfTheWholeWorld) {
  const auto scores = torch::stack({cosines(24, 7), cosines(24, 7).flip(0) * 0.7});
  const auto whole = sinkhorn(scores, {}, *single_process());
  const auto apart = sinkhorn(scores.narrow(1, 0, 12), {}, *single_process());
  EXPECT_GT((apart - whole.narrow(1, 0, 12)).abs().max().item<double>(), 1e-3);
  for (const int world : {2, 3, 4}) {
    testing::run_ranks(world, [&](std::shared_ptr<const Group> group) {
      const std::int64_t rows = 24 / world;
      const auto q = sinkhorn(scores.narrow(1, rows * group->rank(), rows), {}, *group);
      EXPECT_LT((q - whole.narrow(1, rows * group->rank(), rows)).abs().max().item<double>(), 1e-12);
    });
  }
}

TEST(Sinkhorn, WithoutIterationsIsASoftmaxOfEachSample) {
  const auto scores = cosines(6, 3);
  const auto q = sinkhorn(scores, {0.2, 0}, *single_process());
  EXPECT_LT((q - (scores / 0.2).exp() / (scores / 0.2).exp().sum(1, true)).abs().max().item<double>(), 1e-12);
}

TEST(Sinkhorn, KeepsProblemsApart) {
  const auto a = cosines(10, 4), b = cosines(10, 4).flip(1) * 0.3;
  const auto both = sinkhorn(torch::stack({a, b}), {}, *single_process());
  EXPECT_LT((both[0] - sinkhorn(a, {}, *single_process())).abs().max().item<double>(), 1e-15);
  EXPECT_LT((both[1] - sinkhorn(b, {}, *single_process())).abs().max().item<double>(), 1e-15);
}

TEST(Sinkhorn, LeavesScoresAloneAndGivesNoGradient) {
  const auto scores = cosines(6, 3).requires_grad_();
  const auto before = scores.detach().clone();
  EXPECT_FALSE(sinkhorn(scores, {1.0, 2}, *single_process()).requires_grad());
  EXPECT_TRUE(torch::equal(scores, before));
}

TEST(Sinkhorn, RefusesWhatCannotBe) {
  EXPECT_THROW(sinkhorn(cosines(3, 2), {0, 3}, *single_process()), UsageError);
  EXPECT_THROW(sinkhorn(cosines(3, 2), {-1, 3}, *single_process()), UsageError);
  EXPECT_THROW(sinkhorn(cosines(3, 2), {0.05, -1}, *single_process()), UsageError);
}

}  // namespace
}  // namespace unlabel::ssl
