#include "inject/faults.h"
#include "launch/program.h"
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <tuple>

// How a run ends when it cannot go on, and what it has then.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class CiRunEnd : public testing::Test {
 protected:
  std::string out(const std::string& name) const { return folder_ / name; }

  /// The step of the newest checkpoint.
  static std::int64_t saved_at(const std::string& run) {
    const auto text = read_bytes(run + "/checkpoints/latest/training.json");
    return text.empty() ? -1 : nlohmann::json::parse(text).at("iteration").get<std::int64_t>();
  }

  static void expect_equal(const std::string& a, const std::string& b) {
    EXPECT_EQ(read_lines(a + "/metrics.jsonl").size(), read_lines(b + "/metrics.jsonl").size());
    EXPECT_TRUE(read_bytes(a + "/encoder.safetensors") == read_bytes(b + "/encoder.safetensors"));
    EXPECT_TRUE(read_bytes(a + "/checkpoints/latest/state.safetensors") ==
                read_bytes(b + "/checkpoints/latest/state.safetensors"));
    EXPECT_FALSE(read_bytes(a + "/checkpoints/latest/state.safetensors").empty());
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(CiRunEnd, DataThatGoesAwayEndsItWithACheckpointOfTheLastStep) {
  const auto images = out("images");
  make_images(images, 64, 20, 4);
  const auto run = [&](const std::string& name) {
    return with(small_run(images, out(name)), {{"--health.broken-budget", "1"}, {"--epochs", "12"}});
  };
  const auto programs = start_ranks(2, run("ends"));
  for (int i = 0; i < 600 && read_bytes(out("ends/metrics.jsonl")).empty(); ++i) std::this_thread::sleep_for(100ms);
  fs::remove_all(images);
  for (const auto& program : programs) {
    const auto outcome = program->wait();
    EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  }
  make_images(images, 64, 20, 4);  // the same
  const auto lines = read_lines(out("ends/metrics.jsonl"));
  ASSERT_GT(lines.size(), 0u);
  ASSERT_LT(lines.size(), 48u) << "it was over before";
  EXPECT_EQ(saved_at(out("ends")), static_cast<std::int64_t>(lines.size())) << "no step is lost";
  for (const auto& outcome : unlabel_ranks(2, run("ends"))) EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
}

TEST_F(CiRunEnd, TooManyBrokenImagesEndItWithACheckpointOfTheLastStep) {
  const auto images = out("images");
  make_images(images, 64, 20, 0);
  for (const char* name : {"/00003.png", "/00017.png", "/00038.png", "/00059.png"}) fs::resize_file(images + name, 100);
  const auto run = [&](const std::string& name, const char* budget) {
    return with(small_run(images, out(name)), {{"--health.broken-budget", budget}});
  };
  const auto ended = unlabel_ranks(2, run("ends", "0.05"));
  for (const auto& outcome : ended) EXPECT_EQ(outcome.exit_code, 93) << outcome.err;
  EXPECT_NE(ended[0].err.find("too many broken images: 4 of 64"), std::string::npos) << ended[0].err;
  const auto steps = static_cast<std::int64_t>(read_lines(out("ends/metrics.jsonl")).size());
  EXPECT_GT(steps, 0);
  EXPECT_EQ(saved_at(out("ends")), steps);
  // As the message says, a larger budget goes on: as a run that had it from the beginning.
  for (const auto* name : {"ends", "straight"})
    for (const auto& outcome : unlabel_ranks(2, run(name, "0.5"))) EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  expect_equal(out("ends"), out("straight"));
}

TEST_F(CiRunEnd, WithoutAnyUpdateItIsNoSuccess) {
  const auto images = out("images");
  make_images(images, 64, 20, 4);
  const auto run = with(small_run(images, out("run")), {{"--swav.temperature", "1e-40"}, {"--max-steps", "8"}});
  for (const char* time : {"first", "again"}) {
    const auto outcome = unlabel(run);
    EXPECT_EQ(outcome.exit_code, 93) << time << ": " << outcome.err;
    EXPECT_NE(outcome.err.find("all 8 updates were skipped"), std::string::npos) << time << ": " << outcome.err;
    EXPECT_FALSE(fs::exists(out("run/encoder.safetensors"))) << time;
  }
}

TEST_F(CiRunEnd, ADiskThatIsSlowerThanRanksWaitForEachOtherEndsNothing) {
  const auto images = out("images");
  make_images(images, 64, 20, 4);
  // The list of files at the start, and the checkpoint that is being written when the last one is due.
  const inject::Fault list{.call = "fsync", .path = "data_files", .count = 1, .delay_milliseconds = 5000};
  const inject::Fault last{.call = "fsync", .path = "step-00000002", .count = 1, .delay_milliseconds = 5000};
  const auto outcomes = unlabel_ranks(
      2,
      with(small_run(images, out("run")), {{"--init-timeout", "3"}, {"--max-steps", "3"}, {"--checkpoint.every", "1"}}),
      inject::variables({list, last}));
  for (const auto& outcome : outcomes) EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(saved_at(out("run")), 3);
  EXPECT_TRUE(fs::exists(out("run/encoder.safetensors")));
}

TEST_F(CiRunEnd, TheEncoderIsWrittenWhereTheLastCheckpointCannotBe) {
  make_images(out("images"), 64, 20, 4);
  const inject::Fault full{.call = "write", .path = "step-0000000", .error = ENOSPC};
  for (const auto& [name, epochs, exit_code] : {std::tuple{"whole", "1", 0}, {"part", "2", 1}}) {
    const auto run =
        with(small_run(out("images"), out(name)), {{"--batch-size", "16"}, {"--epochs", epochs}, {"--max-steps", "4"}});
    const auto outcome = unlabel(run, inject::variables({full}));
    EXPECT_EQ(outcome.exit_code, exit_code) << name << ": " << outcome.err;
    EXPECT_NE(outcome.err.find("No space left"), std::string::npos) << name << ": " << outcome.err;
    EXPECT_EQ(outcome.err.find("cannot resume from step 4") != std::string::npos, exit_code != 0) << outcome.err;
    EXPECT_EQ(saved_at(out(name)), -1) << name;
    ASSERT_EQ(unlabel(with(run, {{"--out", out("undisturbed")}})).exit_code, 0);
    EXPECT_TRUE(read_bytes(out(name) + "/encoder.safetensors") == read_bytes(out("undisturbed/encoder.safetensors")));
    EXPECT_FALSE(read_bytes(out(name) + "/encoder.safetensors").empty());
    fs::remove_all(out("undisturbed"));
  }
}

TEST_F(CiRunEnd, NeitherCheckpointsNorMeasurementsChangeWeights) {
  make_images(out("images/train"), 64, 20, 4);
  make_images(out("images/test"), 32, 20, 4, /*seed=*/1);
  const auto run = [&](const std::string& name, const char* every) {
    return with(method_run("deepcluster", out("images"), out(name)),
                {{"--batch-norm-images", "8"}, {"--checkpoint.every", every}, {"--knn.every", every}});
  };
  for (const auto& [name, every] : {std::pair{"often", "1"}, std::pair{"never", "0"}}) {
    const auto outcomes = unlabel_ranks(2, run(name, every));
    for (const auto& outcome : outcomes) ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  }
  expect_equal(out("often"), out("never"));
  // What was measured on two ranks, of whom each normalized by its own batches, is the accuracy of the encoder that was saved.
  const auto knn = unlabel({"knn", "--checkpoint", out("often"), "--data", out("images"), "--features.precision",
                            "auto", "--json", "-"});  // the run's
  ASSERT_EQ(knn.exit_code, 0) << knn.err;
  EXPECT_LT(nlohmann::json::parse(knn.out).at("value"), 1.0) << "or every encoder would agree";
  EXPECT_EQ(nlohmann::json::parse(knn.out).at("value"),
            read_lines(out("often/metrics.jsonl")).back().at("knn_accuracy"));
}

TEST_F(CiRunEnd, OtherArithmeticIsToldOfEveryRank) {
  make_images(out("images"), 64, 20, 4);
  const auto run = [&](const char* steps) {
    return small_run(out("images"), out("run")) + Arguments{"--max-steps", steps};
  };
  for (const auto& outcome : unlabel_ranks(2, run("1"))) ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  auto programs = start_ranks({run("2"), run("2")}, {{}, {{"OMP_NUM_THREADS", "2"}}});
  const auto lead = programs[0]->wait();
  EXPECT_EQ(programs[1]->wait().exit_code, 0);
  ASSERT_EQ(lead.exit_code, 0) << lead.err;
  EXPECT_NE(lead.err.find("warning: rank 1 used 1 thread(s) with "), std::string::npos) << lead.err;
  EXPECT_NE(lead.err.find("before and uses 2 thread(s)"), std::string::npos) << lead.err;
  // Another machine's instructions, on one rank of one.
  ASSERT_EQ(unlabel(with(run("1"), {{"--out", out("alone")}})).exit_code, 0);
  const auto other = unlabel(with(run("2"), {{"--out", out("alone")}}),
                             {{"ATEN_CPU_CAPABILITY", "default"}, {"MKL_CBWR", "COMPATIBLE"}});
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_NE(other.err.find("warning: rank 0 used 1 thread(s) with "), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("before and uses 1 thread(s) with DEFAULT"), std::string::npos) << other.err;
  EXPECT_NE(other.err.find("MKL_CBWR=COMPATIBLE"), std::string::npos) << other.err;
  EXPECT_NE(lead.err.find("warning: ranks compute differently, rank 1 uses 2 thread(s)"), std::string::npos)
      << lead.err;
}

}  // namespace
}  // namespace unlabel::launch
