#include <unlabel/launch/checkpoint/checkpoint_files.h>

#include "launch/pretrain/pretrain_case.h"
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>
#include <thread>

// Checkpoints while a run trains.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

class CiRunSave : public PretrainCase {};

TEST_F(CiRunSave, KeepsTheCheckpointsThatItIsToldTo) {
  const auto steps_kept = [&](const std::string& run) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(out(run) + "/checkpoints")) names.insert(entry.path().filename());
    return names;
  };
  auto outcome = unlabel(small_run(data(), out("kept")) + Arguments{"--checkpoint.every", "2", "--checkpoint.keep", "1",
                                                                    "--checkpoint.keep-every", "8"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(steps_kept("kept"), (std::set<std::string>{"latest", "step-00000008", "step-00000016", "step-00000024"}));
  // Every 60 ms; the run takes some tenths of a second.
  outcome = unlabel(with(small_run(data(), out("clock")), {{"--epochs", "20"}}) +
                    Arguments{"--checkpoint.every", "0.001min", "--checkpoint.keep", "1000"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_GT(steps_kept("clock").size(), 3u);
  EXPECT_LT(steps_kept("clock").size(), 60u);
  outcome = unlabel(small_run(data(), out("clock")) + Arguments{"--checkpoint.every", "soon"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_NE(outcome.err.find("minutes as in 20min"), std::string::npos) << outcome.err;
}

TEST_F(CiRunSave, GoesOnWhileTheDiskIsFull) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small disk";
  const std::string disk = out("filling"), run = disk + "/run";
  fs::create_directories(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=8m") != 0) GTEST_SKIP() << "cannot mount a small disk here";
  {
    Program program(Arguments{UNLABEL_BINARY_DIR "/unlabel"} +
                    with(small_run(data(), run), {{"--epochs", "30000"}, {"--checkpoint.every", "5"}}));
    const auto until = [&](const std::function<bool()>& there) {
      for (int i = 0; i < 600 && !there(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return there();
    };
    const auto complete = [&] { return newest_checkpoint(run + "/checkpoints").has_value(); };
    const auto says = [&](const char* text) { return program.errors_so_far().find(text) != std::string::npos; };
    EXPECT_TRUE(until(complete)) << program.errors_so_far();
    std::ofstream filler(disk + "/filler", std::ios::binary);
    while (filler.write(std::string(4096, 'x').data(), 4096).flush()) {
    }
    EXPECT_TRUE(until([&] { return says("training continues without this checkpoint"); })) << program.errors_so_far();
    EXPECT_TRUE(until([&] { return says("metrics.jsonl cannot be written"); })) << program.errors_so_far();
    EXPECT_TRUE(program.running());
    EXPECT_NO_THROW(verify_checkpoint(list_checkpoints(run + "/checkpoints").front().second))
        << "the one before is whole";
    filler.close();
    fs::remove(disk + "/filler");
    program.signal(SIGTERM);
    const auto outcome = program.wait();
    EXPECT_EQ(outcome.exit_code, 75) << outcome.err;
    EXPECT_NO_THROW(verify_checkpoint(run + "/checkpoints/latest"));
    for (const auto& line : read_lines(run + "/metrics.jsonl"))
      EXPECT_TRUE(line.contains("loss")) << "whole lines only";
  }
  ::umount(disk.c_str());
}

}  // namespace
}  // namespace unlabel::launch
