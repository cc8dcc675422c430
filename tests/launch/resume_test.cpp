#include "program.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <random>
#include <set>
#include <thread>

// Runs that are killed, and go on as if they had not been.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// Where a killed run stands: the freeze ends after step 10, the queue fills from step 8 to 12 and is full from then on; 6 epochs of 4.
Arguments long_run(const std::string& data, const std::string& out, const std::string& precision) {
  return with(small_run(data, out), {{"--precision", precision},
                                     {"--swav.freeze-prototypes-iterations", "10"},
                                     {"--swav.queue-start-epoch", "2"},
                                     {"--swav.queue-length", "64"},
                                     {"--checkpoint.every", "1"}});
}

std::vector<double> losses(const std::string& run) {
  std::vector<double> values;
  for (const auto& line : read_lines(run + "/metrics.jsonl")) {
    EXPECT_EQ(line.at("step"), values.size()) << "each step once, in order";
    values.push_back(line.at("loss").get<double>());
  }
  return values;
}

std::size_t steps_done(const std::string& run) {
  const auto text = read_bytes(run + "/metrics.jsonl");
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// The checkpoints that are being written, or whose writing was killed.
std::set<std::string> unfinished(const std::string& run) {
  std::set<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run + "/checkpoints", error))
    if (const auto name = entry.path().filename().string(); name.starts_with(".step-")) names.insert(name);
  return names;
}

/// Starts the run, kills a rank with SIGKILL when `moment` says so, and waits for all of them. False when the run was faster.
template <class Moment>
bool start_and_kill(const Arguments& arguments, int ranks, int victim, const Moment& moment) {
  const auto programs = start_ranks(ranks, arguments);
  while (!moment()) {
    if (!programs[victim]->running()) break;
    std::this_thread::sleep_for(200us);
  }
  programs[victim]->signal(SIGKILL);
  const bool killed = programs[victim]->wait().exit_code == -SIGKILL;
  for (int rank = 0; rank < ranks; ++rank) {
    if (rank == victim) continue;
    // A rank that is killed before it has met the others leaves them waiting for it (--timeout): a launcher would end them.
    for (int i = 0; i < 50 && killed && programs[rank]->running(); ++i) std::this_thread::sleep_for(100ms);
    if (killed) programs[rank]->signal(SIGKILL);
    const auto outcome = programs[rank]->wait();
    EXPECT_EQ(outcome.exit_code == 0, !killed) << "rank " << rank << " without rank " << victim << ": " << outcome.err;
  }
  return killed;
}

class KilledRun {
 public:
  KilledRun(int ranks, std::string precision, unsigned seed)
      : ranks_(ranks), precision_(std::move(precision)), random_(seed) {
    make_images(folder_ / "images", 64, 20, 4);
    for (const auto& outcome : unlabel_ranks(ranks, arguments("straight")))
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  }

  /// Kills a random rank when this many steps are done, or some microseconds later.
  void kill_at(std::size_t steps) {
    const auto delay = std::chrono::microseconds(random_() % 20000);
    const bool killed = start_and_kill(arguments("killed"), ranks_, static_cast<int>(random_() % ranks_), [&] {
      if (steps_done(run("killed")) < steps) return false;
      std::this_thread::sleep_for(delay);
      return true;
    });
    EXPECT_TRUE(killed) << "the run was over before step " << steps;
  }

  /// Kills rank 0 while it writes a checkpoint. True when an unfinished one was left.
  bool kill_inside_a_write() {
    const auto before = unfinished(run("killed"));  // by an earlier kill; the names have the process's number
    const auto one_more = [&] {
      const auto now = unfinished(run("killed"));
      return std::any_of(now.begin(), now.end(), [&](const auto& name) { return !before.contains(name); });
    };
    start_and_kill(arguments("killed"), ranks_, 0, one_more);
    return one_more();
  }

  /// Lets the killed run end, and compares it to the one that was left alone.
  void expect_equal_to_the_straight_run() {
    for (const auto& outcome : unlabel_ranks(ranks_, arguments("killed")))
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(losses(run("killed")), losses(run("straight")));
    EXPECT_EQ(losses(run("straight")).size(), 24u);
    EXPECT_EQ(read_bytes(run("killed") + "/encoder.safetensors"), read_bytes(run("straight") + "/encoder.safetensors"));
    const auto state = [&](const char* name) {
      return read_bytes(run(name) + "/checkpoints/latest/state.safetensors");
    };
    EXPECT_EQ(state("killed"), state("straight")) << "head, prototypes, queue and momentum too";
    EXPECT_TRUE(unfinished(run("killed")).empty());
  }

 private:
  std::string run(const std::string& name) const { return folder_ / name; }
  Arguments arguments(const std::string& name) const { return long_run(folder_ / "images", run(name), precision_); }

  TemporaryFolder folder_;
  int ranks_;
  std::string precision_;
  std::mt19937 random_;
};

TEST(CiResume, AKilledRunGoesOnAsIfItHadNotBeen) {
  KilledRun run(1, "float32", 1);
  for (const std::size_t steps : {3, 9, 15}) run.kill_at(steps);  // frozen; the queue fills; full
  run.expect_equal_to_the_straight_run();
}

TEST(CiResume, SoDoFourRanksInBf16) {
  KilledRun run(4, "bf16", 2);
  for (const std::size_t steps : {5, 13}) run.kill_at(steps);
  run.expect_equal_to_the_straight_run();
}

TEST(CiResume, AWriteThatIsKilledLeavesTheOneBefore) {
  KilledRun run(2, "float32", 3);
  bool inside = false;
  for (int attempt = 0; attempt < 5 && !inside; ++attempt) inside = run.kill_inside_a_write();
  EXPECT_TRUE(inside) << "no attempt hit a write";
  run.expect_equal_to_the_straight_run();
}

class SlowResume : public testing::TestWithParam<std::tuple<int, const char*>> {};

TEST_P(SlowResume, FromRandomMoments) {
  const auto [ranks, precision] = GetParam();
  KilledRun run(ranks, precision, 7);
  std::mt19937 random(static_cast<unsigned>(ranks));
  int inside = 0;
  for (std::size_t steps = 1; steps < 22; steps += 1 + random() % 4) {
    run.kill_at(steps);
    inside += run.kill_inside_a_write();
  }
  EXPECT_GT(inside, 0) << "no kill hit a write";
  run.expect_equal_to_the_straight_run();
}

INSTANTIATE_TEST_SUITE_P(RanksAndPrecision, SlowResume,
                         testing::Combine(testing::Values(1, 2, 4), testing::Values("float32", "bf16")),
                         [](const auto& test) {
                           return std::to_string(std::get<0>(test.param)) + "_" + std::get<1>(test.param);
                         });

}  // namespace
}  // namespace unlabel::launch
