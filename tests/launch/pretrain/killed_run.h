#pragma once

#include "launch/program.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// A run of 24 steps that is killed again and again, beside one that is left alone.
class KilledRun {
 public:
  /// `arguments(out)` is the command. Makes the run that is left alone.
  KilledRun(int ranks, std::function<Arguments(const std::string& out)> arguments, unsigned seed)
      : ranks_(ranks), command_(std::move(arguments)), random_(seed) {
    const auto begin = std::chrono::steady_clock::now();
    for (const auto& outcome : unlabel_ranks(ranks_, arguments_of("straight")))
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    duration_ = std::chrono::steady_clock::now() - begin;
  }

  /// Kills a random rank when this many steps are done, one more than now at least, or some microseconds later.
  void kill_at(std::size_t steps) {
    steps = std::max(steps, steps_done() + 1);
    const auto delay = std::chrono::microseconds(random_() % 20000);
    EXPECT_TRUE(start_and_kill(random_rank(), /*all_met=*/true,
                               [&] {
                                 if (steps_done() < steps) return false;
                                 std::this_thread::sleep_for(delay);
                                 return true;
                               }))
        << "the run was over before step " << steps;
  }

  /// Kills a random rank at a random moment, the start included.
  void kill_at_a_moment() {
    const auto moment = std::chrono::steady_clock::now() + duration_ * (static_cast<double>(random_() % 1000) / 1000);
    start_and_kill(random_rank(), /*all_met=*/false, [&] { return std::chrono::steady_clock::now() >= moment; });
  }

  /// Kills rank 0 while it writes a checkpoint. True when an unfinished one was left.
  bool kill_inside_a_write() {
    const auto before = unfinished();  // by an earlier kill; the names have the process's number
    const auto one_more = [&] {
      const auto now = unfinished();
      return std::any_of(now.begin(), now.end(), [&](const auto& name) { return !before.contains(name); });
    };
    start_and_kill(0, /*all_met=*/true, one_more);
    return one_more();
  }

  std::size_t steps_done() const {
    const auto text = read_bytes(run("killed") + "/metrics.jsonl");
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }

  /// Lets the killed run end, and compares it to the one that was left alone.
  void expect_equal_to_the_straight_run() {
    for (const auto& outcome : unlabel_ranks(ranks_, arguments_of("killed")))
      EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_EQ(losses("killed"), losses("straight"));
    EXPECT_EQ(losses("straight").size(), 24u);
    EXPECT_TRUE(read_bytes(run("killed") + "/encoder.safetensors") ==
                read_bytes(run("straight") + "/encoder.safetensors"));
    const auto state = [&](const char* name) {
      return read_bytes(run(name) + "/checkpoints/latest/state.safetensors");
    };
    EXPECT_FALSE(state("straight").empty());
    EXPECT_TRUE(state("killed") == state("straight")) << "heads, prototypes, queue, banks and momentum too";
    EXPECT_TRUE(unfinished().empty());
  }

 private:
  std::string run(const std::string& name) const { return folder_ / name; }
  Arguments arguments_of(const std::string& name) const { return command_(run(name)); }
  int random_rank() { return static_cast<int>(random_() % static_cast<unsigned>(ranks_)); }

  std::vector<double> losses(const std::string& name) const {
    std::vector<double> values;
    for (const auto& line : read_lines(run(name) + "/metrics.jsonl")) {
      EXPECT_EQ(line.at("step"), values.size()) << "each step once, in order";
      values.push_back(line.at("loss").get<double>());
    }
    return values;
  }

  /// The checkpoints that are being written, or whose writing was killed.
  std::set<std::string> unfinished() const {
    std::set<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(run("killed") + "/checkpoints", error))
      if (const auto name = entry.path().filename().string(); name.starts_with(".step-")) names.insert(name);
    return names;
  }

  /// Starts the run, kills a rank with SIGKILL when `moment` says so, and waits for all of them, which end by themselves when all have met
  /// (`all_met`): else a rank may wait for the killed one (--timeout), and a launcher would end it. False when the run was faster.
  bool start_and_kill(int victim, bool all_met, const std::function<bool()>& moment) {
    using namespace std::chrono_literals;
    const auto programs = start_ranks(ranks_, arguments_of("killed"));
    const auto running = [&](int rank) { return programs[static_cast<std::size_t>(rank)]->running(); };
    while (!moment() && running(victim)) std::this_thread::sleep_for(200us);
    programs[static_cast<std::size_t>(victim)]->signal(SIGKILL);
    const bool killed = programs[static_cast<std::size_t>(victim)]->wait().exit_code == -SIGKILL;
    for (int rank = 0; rank < ranks_; ++rank) {
      if (rank == victim) continue;
      auto& peer = *programs[static_cast<std::size_t>(rank)];
      for (int i = 0; i < (all_met ? 600 : 50) && peer.running(); ++i) std::this_thread::sleep_for(100ms);
      const bool waits = peer.running();
      if (waits) peer.signal(SIGKILL);
      const auto outcome = peer.wait();
      if (waits) {
        EXPECT_FALSE(all_met) << "rank " << rank << " still runs a minute after rank " << victim
                              << " was killed: " << outcome.err;
      } else if (outcome.exit_code != 0) {  // it may have made its last step before
        EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
        EXPECT_TRUE(!all_met || outcome.err.find("another rank stopped") != std::string::npos) << outcome.err;
      } else {
        EXPECT_TRUE(!killed || !all_met || steps_done() == 24) << "rank " << rank << " went on alone";
      }
    }
    return killed;
  }

  TemporaryFolder folder_;
  int ranks_;
  std::function<Arguments(const std::string& out)> command_;
  std::mt19937 random_;
  std::chrono::duration<double> duration_{};
};

}  // namespace unlabel::launch
