#include "launch/pretrain/killed_run.h"
#include "launch/pretrain/pairwise.h"

#include <cstdlib>
#include <iostream>
#include <memory>
#include <random>

// Runs that are killed at random moments, over a set of settings in which each two values of two settings occur together.
// All settings together, some hours:  UNLABEL_KILL_ALL=1 build/release/tests/launch/unlabel_launch_tests --gtest_filter='*SlowKilledRuns*'
// Other moments: UNLABEL_KILL_SEED=N.

namespace unlabel::launch::killed_runs_test {
namespace {

const std::vector<std::string> kMethods{"byol", "deepcluster", "deepcluster_v2", "moco", "simclr", "swav"};
const std::vector<int> kRanks{1, 2, 4};
const std::vector<std::string> kPrecisions{"float32", "bf16"};
/// method, ranks, precision; micro-batches, batch-norm groups, kNN while training, shards.
const std::vector<std::size_t> kValues{kMethods.size(), kRanks.size(), kPrecisions.size(), 2, 2, 2, 2};
constexpr std::int64_t kBatch = 16;

TEST(CoveringSet, HasEachPairOfValues) {
  const auto set = covering_set(kValues);
  EXPECT_LE(set.size(), 24u);
  EXPECT_EQ(set, covering_set(kValues)) << "always the same";
  std::set<Pair> there;
  for (const auto& choice : set)
    for (const auto& pair : pairs_of(choice)) there.insert(pair);
  for (std::size_t a = 0; a < kValues.size(); ++a)
    for (std::size_t b = a + 1; b < kValues.size(); ++b)
      for (std::size_t i = 0; i < kValues[a]; ++i)
        for (std::size_t j = 0; j < kValues[b]; ++j)
          EXPECT_TRUE(there.contains({a, i, b, j})) << "factors " << a << " and " << b << ": values " << i << ", " << j;
  EXPECT_EQ(product(kValues).size(), 576u);
}

std::string name_of(const PlannedSetting& choice) {
  std::string name = kMethods[choice[0]] + "_" + std::to_string(kRanks[choice[1]]) + "_" + kPrecisions[choice[2]];
  const char* settings[] = {"_micro", "_groups", "_knn", "_shards"};
  for (std::size_t i = 0; i < 4; ++i)
    if (choice[3 + i] == 1) name += settings[i];
  return name;
}

class SlowKilledRuns : public testing::TestWithParam<PlannedSetting> {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    make_images(*folder_ / "images/train", 64, 20, 4);
    make_images(*folder_ / "images/test", 16, 20, 4, /*seed=*/1);
    for (const char* split : {"train", "test"}) {
      const auto packed = unlabel(
          {"pack", *folder_ / ("images/" + std::string(split)), "--out", *folder_ / ("shards/" + std::string(split))});
      ASSERT_EQ(packed.exit_code, 0) << packed.err;
    }
  }
  static void TearDownTestSuite() { delete folder_; }

  static TemporaryFolder* folder_;
};
TemporaryFolder* SlowKilledRuns::folder_ = nullptr;

TEST_P(SlowKilledRuns, GoOnAsIfTheyHadNotBeen) {
  const auto& choice = GetParam();
  const int ranks = kRanks[choice[1]];
  const auto local = kBatch / ranks, micro = choice[3] == 1 ? local / 2 : local;
  const std::string data = choice[6] == 1 ? "shards:" + *folder_ / "shards" : *folder_ / "images";
  const auto command = [&](const std::string& out) {
    std::map<std::string, std::string> settings{{"--precision", kPrecisions[choice[2]]},
                                                {"--micro-batch", std::to_string(micro)},
                                                {"--batch-norm-images", choice[4] == 1 ? std::to_string(micro) : "0"},
                                                {"--knn.every", std::to_string(choice[5])},
                                                {"--checkpoint.every", "2"},
                                                {"--timeout", "60"}};
    if (kMethods[choice[0]] == "moco") settings["--moco.norm-group"] = "2";
    return with(method_run(kMethods[choice[0]], data, out), settings);
  };
  const char* given = std::getenv("UNLABEL_KILL_SEED");
  const auto seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : 20u;
  std::cout << name_of(choice) << ": UNLABEL_KILL_SEED=" << seed << std::endl;
  std::seed_seq mixed{seed, static_cast<unsigned>(std::hash<std::string>()(name_of(choice)))};
  std::mt19937 random(mixed);
  KilledRun run(ranks, command, static_cast<unsigned>(random()));
  run.kill_at(1 + random() % 10);
  run.kill_at_a_moment();
  if (run.steps_done() < 20) run.kill_at(12 + random() % 8);
  run.expect_equal_to_the_straight_run();
}

std::vector<PlannedSetting> choices() {
  const char* all = std::getenv("UNLABEL_KILL_ALL");
  return all != nullptr && std::string(all) == "1" ? product(kValues) : covering_set(kValues);
}

INSTANTIATE_TEST_SUITE_P(Settings, SlowKilledRuns, testing::ValuesIn(choices()),
                         [](const auto& test) { return name_of(test.param); });

}  // namespace
}  // namespace unlabel::launch::killed_runs_test
