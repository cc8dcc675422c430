#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/weights/safetensors.h>

#include "launch/program.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <map>

// What holds for every method, through the program.

namespace unlabel::launch {
namespace {

class CiMethods : public testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    make_images(*folder_ / "images", 64, 20, 4);
  }
  static void TearDownTestSuite() { delete folder_; }

  Arguments run(const std::string& name, int steps, const Arguments& more = {}) const {
    return method_run(GetParam(), *folder_ / "images", out(name)) +
           (Arguments{"--max-steps", std::to_string(steps)} + more);
  }
  std::string out(const std::string& name) const { return *folder_ / (GetParam() + "-" + name); }

  /// All that the method holds. (A tiny network makes a rounding error grow; the optimizer's momentum shows it before the weights do.)
  std::map<std::string, at::Tensor> state(const std::string& name) const {
    std::map<std::string, at::Tensor> own;
    for (const auto& [key, tensor] : ssl::read_safetensors(out(name) + "/checkpoints/latest/state.safetensors").tensors)
      if (key.starts_with("method.")) own.emplace(key, tensor);
    return own;
  }

  static TemporaryFolder* folder_;
};
TemporaryFolder* CiMethods::folder_ = nullptr;

void expect_near(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b,
                 double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    EXPECT_LE((tensor.to(torch::kDouble) - b.at(name).to(torch::kDouble)).abs().max().item<double>(), tolerance)
        << name;
  }
}

TEST_P(CiMethods, TwoRanksEqualOneAndAResumeAnUndisturbedRun) {
  // 10 steps over two epochs' ends and a half.
  const Arguments exact{"--precision", "float64"};
  const auto straight = unlabel(run("straight", 10, exact));
  ASSERT_EQ(straight.exit_code, 0) << straight.err;
  const auto losses = read_lines(out("straight") + "/metrics.jsonl");
  ASSERT_EQ(losses.size(), 10u);

  ASSERT_EQ(unlabel(run("start", 0, exact)).exit_code, 0);
  const auto end = state("straight");
  double moved = 0;
  for (const auto& [name, tensor] : ssl::read_safetensors(out("start") + "/encoder.safetensors").tensors)
    if (name == "conv1.weight") moved = (tensor - end.at("method.backbone." + name)).abs().max().item<double>();
  EXPECT_GT(moved, 1e-4) << "the weights moved";

  // Stopped in the middle of an epoch.
  ASSERT_EQ(unlabel(run("resumed", 6, exact)).exit_code, 0);
  const auto resumed = unlabel(run("resumed", 10, exact));
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_NE(resumed.err.find("resuming from step 6"), std::string::npos) << resumed.err;
  EXPECT_EQ(resumed.err.find("the checkpoint was written by"), std::string::npos) << resumed.err;
  EXPECT_EQ(read_bytes(out("resumed") + "/encoder.safetensors"), read_bytes(out("straight") + "/encoder.safetensors"));
  expect_near(state("resumed"), end, 0);

  // Two ranks; and what two ranks began, one goes on with.
  for (const auto& outcome : unlabel_ranks(2, run("two", 6, exact))) ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto alone = unlabel(run("two", 10, exact));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_NE(alone.err.find("the checkpoint was written by 2 rank(s) and this run has 1"), std::string::npos)
      << alone.err;
  expect_near(state("two"), end, 1e-9);
  const auto other = read_lines(out("two") + "/metrics.jsonl");
  ASSERT_EQ(other.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i)
    EXPECT_NEAR(other[i].at("loss").get<double>(), losses[i].at("loss").get<double>(), 1e-9) << "step " << i;
}

TEST_P(CiMethods, PlansItselfInSixteenBitsAndMicroBatches) {
  const auto outcome = unlabel({"pretrain", GetParam(), "--data", *folder_ / "images", "--out", out("planned"),
                                "--encoder.width", "4", "--batch-size", "32", "--micro-batch", "16", "--max-steps", "2",
                                "--precision", "bf16", "--threads", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("--optimizer.kind"), std::string::npos) << outcome.err;  // with its reason
  const auto lines = read_lines(out("planned") + "/metrics.jsonl");
  ASSERT_EQ(lines.size(), 2u);
  for (const auto& line : lines) EXPECT_TRUE(line.at("loss").is_number() && !line.contains("skipped")) << line;
}

INSTANTIATE_TEST_SUITE_P(All, CiMethods, testing::ValuesIn(ssl::method_names()),
                         [](const auto& method) { return method.param; });

}  // namespace
}  // namespace unlabel::launch
