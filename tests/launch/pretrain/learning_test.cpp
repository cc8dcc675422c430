#include "launch/program.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <thread>

// Whole runs of the small recipes on real images, measured as the documents say: what docs/results.md holds.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

double measure(Arguments arguments) {
  arguments.insert(arguments.end(), {"--json", "-"});
  const auto outcome = unlabel(arguments, {{"OMP_NUM_THREADS", std::to_string(std::thread::hardware_concurrency())}});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto result = nlohmann::json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  return result.is_object() ? result.at("value").get<double>() : 0;
}

TEST(SlowLearning, FashionMnistGainsFivePointsInTheQuickStart) {
  const char* folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is missing: install Debian's dataset-fashion-mnist";
  const TemporaryFolder work;
  const std::string data = std::string("idx:") + folder, run = work / "run";
  const auto outcome = unlabel({"pretrain", "swav", "--recipe", "fashion_mnist", "--data", data, "--out", run},
                               {{"OMP_NUM_THREADS", std::to_string(std::thread::hardware_concurrency())}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  for (const Arguments& how : {Arguments{"knn", "--protocol", "dino"}, Arguments{"linear", "--protocol", "features"}}) {
    auto learned = how, untrained = how;
    learned.insert(learned.end(), {"--data", data, "--checkpoint", run});
    untrained.insert(untrained.end(), {"--data", data, "--checkpoint", run, "--untrained"});
    const double after = measure(learned), before = measure(untrained);
    std::cout << how[0] << ": learned " << after << ", untrained " << before << '\n';
    EXPECT_GE(after, before + 0.05) << how[0];
  }
}

TEST(SlowLearning, Cifar10OverThreeSeeds) {
  const char* root = std::getenv("UNLABEL_DATA");
  if (!root) GTEST_SKIP() << "UNLABEL_DATA is not set: the folder that holds cifar10_jpegs/train/CLASS/*.jpg and test/";
  const std::string data = std::string(root) + "/cifar10_jpegs";
  ASSERT_TRUE(fs::exists(data + "/train")) << "UNLABEL_DATA holds no cifar10_jpegs/train";
  const TemporaryFolder work;
  constexpr int kSeeds = 3;
  std::vector<std::unique_ptr<Program>> runs;  // side by side, one core each
  for (int seed = 0; seed < kSeeds; ++seed)
    runs.push_back(std::make_unique<Program>(Arguments{
        UNLABEL_BINARY_DIR "/unlabel", "pretrain", "swav", "--recipe", "cifar10_small", "--data", data + "/train",
        "--out", work / std::to_string(seed), "--seed", std::to_string(seed), "--threads", "1"}));
  for (const auto& run : runs) {
    const auto outcome = run->wait();
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  const double pixels = measure({"knn", "--protocol", "dino", "--data", data, "--pixels"});
  double sum = 0, least = 1, most = 0;
  for (int seed = 0; seed < kSeeds; ++seed) {
    const Arguments how{"knn", "--protocol", "dino", "--data", data, "--checkpoint", work / std::to_string(seed)};
    auto without = how;
    without.insert(without.end(), {"--untrained", "--seed", std::to_string(seed)});
    const double learned = measure(how), untrained = measure(without);
    std::cout << "seed " << seed << ": learned " << learned << ", untrained " << untrained << ", pixels " << pixels
              << '\n';
    EXPECT_GT(learned, untrained) << "seed " << seed;
    EXPECT_GT(learned, pixels) << "seed " << seed;
    sum += learned;
    least = std::min(least, learned);
    most = std::max(most, learned);
  }
  std::cout << "mean " << sum / kSeeds << ", from " << least << " to " << most << '\n';
  EXPECT_GE(sum / kSeeds, 0.49);
}

}  // namespace
}  // namespace unlabel::launch
