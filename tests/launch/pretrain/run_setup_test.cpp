#include <unlabel/launch/pretrain/run.h>
#include <unlabel/launch/run/run_folder.h>
#include <unlabel/ssl/weights/safetensors.h>

#include "inject/faults.h"
#include "launch/pretrain/pretrain_case.h"
#include "launch/weights_difference.h"
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>

// How a run begins: its folder, given weights, checkpoints that are there.

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

class CiRunSetup : public PretrainCase {};

TEST_F(CiRunSetup, LeavesWhatADocumentedRunLeaves) {
  const auto outcome = unlabel(small_run(data(), out("plain")) + Arguments{"--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto summary = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(summary.at("steps"), 24);
  EXPECT_GT(summary.at("images_per_second").get<double>(), 0);
  EXPECT_GE(summary.at("data_wait").get<double>(), 0);
  EXPECT_LE(summary.at("data_wait").get<double>(), 1);
  const auto lines = read_lines(out("plain/metrics.jsonl"));
  ASSERT_EQ(lines.size(), 24u);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].at("step"), i);
    EXPECT_TRUE(lines[i].at("loss").is_number());
  }
  EXPECT_EQ(lines.back().at("loss"), summary.at("final_loss"));
  EXPECT_TRUE(summary.at("collapse").empty());
  EXPECT_EQ(lines[0].at("queue_full"), 0);
  EXPECT_EQ(lines[2].at("queue_full"), 1);
  EXPECT_EQ(nlohmann::json::parse(read_bytes(out("plain/config.json"))).at("swav").at("prototypes"), 12);
  const auto encoder = ssl::read_safetensors(out("plain/encoder.safetensors"));
  EXPECT_EQ(encoder.metadata.at("arch"), "resnet18");
  EXPECT_EQ(encoder.metadata.at("size"), "16");

  const auto before = read_bytes(out("plain/encoder.safetensors"));
  const auto again = unlabel(small_run(data(), out("plain")));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_NE(again.err.find("finished"), std::string::npos) << again.err;
  EXPECT_EQ(read_lines(out("plain/metrics.jsonl")).size(), 24u);
  EXPECT_EQ(read_bytes(out("plain/encoder.safetensors")), before);
}

TEST_F(CiRunSetup, StartsFromGivenWeights) {
  const auto train = [&](const std::string& name, const std::map<std::string, std::string>& values) {
    return unlabel(with(small_run(data(), out(name)) + Arguments{"--max-steps", "1"}, values));
  };
  const auto first = train("source", {});
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::string weights = out("source/encoder.safetensors");
  const auto second = train("initialized", {{"--init", weights}, {"--seed", "9"}});
  ASSERT_EQ(second.exit_code, 0) << second.err;
  EXPECT_NE(second.err.find("encoder.safetensors: 120 tensors loaded"), std::string::npos) << second.err;
  // One small step away from what was given, and far from the weights of another seed.
  EXPECT_LT(largest_difference(weights, out("initialized/encoder.safetensors"), "conv1.weight"), 0.01);
  const auto other = train("other-seed", {{"--seed", "9"}});
  ASSERT_EQ(other.exit_code, 0) << other.err;
  EXPECT_GT(largest_difference(weights, out("other-seed/encoder.safetensors"), "conv1.weight"), 0.1);
  // The same from its folder, and from the checkpoint of a run that is not finished.
  const auto folder = train("from-a-run", {{"--init", out("source")}, {"--seed", "9"}});
  ASSERT_EQ(folder.exit_code, 0) << folder.err;
  EXPECT_EQ(largest_difference(out("initialized/encoder.safetensors"), out("from-a-run/encoder.safetensors"), ""), 0);
  fs::remove(weights);
  const auto unfinished = train("from-a-checkpoint", {{"--init", out("source")}, {"--seed", "9"}});
  ASSERT_EQ(unfinished.exit_code, 0) << unfinished.err;
  EXPECT_EQ(
      largest_difference(out("initialized/encoder.safetensors"), out("from-a-checkpoint/encoder.safetensors"), ""), 0);
  const auto nothing = train("from-nothing", {{"--init", data()}});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_NE(nothing.err.find("this folder contains neither encoder.safetensors nor a checkpoint"), std::string::npos)
      << nothing.err;
  const auto byol = unlabel({"pretrain", "byol", "--data", data(), "--out", out("source"), "--max-steps", "1"});
  EXPECT_EQ(byol.exit_code, 93);
  EXPECT_NE(byol.err.find("is a run of swav: choose another --out for byol"), std::string::npos) << byol.err;
  // Of an encoder of another width both values are told, and nothing is begun.
  const auto wider = train("wider", {{"--init", out("initialized/encoder.safetensors")}, {"--encoder.width", "8"}});
  EXPECT_EQ(wider.exit_code, 2);
  EXPECT_NE(
      wider.err.find("--encoder.width is 8, but the weights in " + out("initialized/encoder.safetensors") + " have 4"),
      std::string::npos)
      << wider.err;
  EXPECT_TRUE(wider.one_line()) << wider.err;
  EXPECT_FALSE(fs::exists(out("wider")));
  // What a part leaves out is told, and stands in the summary.
  auto part = ssl::read_safetensors(out("initialized/encoder.safetensors"));
  std::erase_if(part.tensors, [](const auto& item) { return item.first.starts_with("layer4.1.bn2."); });
  ssl::write_safetensors(out("part.safetensors"), part);
  const auto refused = train("no-part", {{"--init", out("part.safetensors")}});
  EXPECT_EQ(refused.exit_code, 93) << refused.err;
  EXPECT_NE(refused.err.find("do not fill"), std::string::npos) << refused.err;
  const auto given =
      train("part", {{"--init", out("part.safetensors")}, {"--init-partial", "yes"}, {"--json", out("part.json")}});
  ASSERT_EQ(given.exit_code, 0) << given.err;
  const auto said = nlohmann::json::parse(read_bytes(out("part.json"))).at("warnings").dump();
  EXPECT_NE(said.find("missing"), std::string::npos) << said;
  EXPECT_NE(given.err.find("missing from the file:\n  layer4.1.bn2."), std::string::npos) << given.err;
}

TEST_F(CiRunSetup, WaitsForALateRankForInitTimeout) {
  ASSERT_EQ(unlabel(small_run(data(), out("late-weights")) + Arguments{"--max-steps", "1"}).exit_code, 0);
  // Rank 1 reads them while rank 0 waits in a collective.
  const inject::Fault late{
      .call = "open", .path = "late-weights/encoder.safetensors", .count = 1, .delay_milliseconds = 5000};
  for (const auto& [init_timeout, exit_code] : {std::pair("60", 0), {"2", 1}}) {
    const auto run = with(small_run(data(), out(std::string("late-") + init_timeout)),
                          {{"--init", out("late-weights/encoder.safetensors")},
                           {"--max-steps", "2"},
                           {"--timeout", "2"},
                           {"--init-timeout", init_timeout}});
    for (const auto& rank : start_ranks({run, run}, {Variables{}, inject::variables({late})})) {
      const auto outcome = rank->wait();
      EXPECT_EQ(outcome.exit_code, exit_code) << init_timeout << ": " << outcome.err;
      EXPECT_EQ(outcome.err.find("another rank stopped") != std::string::npos, exit_code != 0) << outcome.err;
    }
  }
}

TEST(RunSetup, ReadingIsTriedAgainForLessThanRanksWaitForEachOther) {
  PretrainOptions options;
  for (const int timeout : {1, 10, 600}) {
    options.timeout = timeout;
    options.init_timeout = 100 * timeout;
    const auto retry_time = loader_options(options, Environment(), at::kCPU).retry_time;
    EXPECT_GT(retry_time, std::chrono::seconds(0));
    EXPECT_LT(2 * retry_time, std::chrono::seconds(timeout));
  }
}

TEST_F(CiRunSetup, GoesOnWhereItStopped) {
  ASSERT_EQ(unlabel(small_run(data(), out("straight")) + Arguments{"--max-steps", "13"}).exit_code, 0);
  for (const char* stop : {"3", "9"}) {
    const std::string name = out(std::string("resumed-") + stop);
    ASSERT_EQ(unlabel(small_run(data(), name) + Arguments{"--max-steps", stop}).exit_code, 0);
    const auto outcome = unlabel(small_run(data(), name) + Arguments{"--max-steps", "13"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_NE(outcome.err.find("resuming from step " + std::string(stop)), std::string::npos);
    EXPECT_EQ(read_bytes(name + "/encoder.safetensors"), read_bytes(out("straight/encoder.safetensors"))) << stop;
    ASSERT_EQ(read_lines(name + "/metrics.jsonl").size(), 13u);
  }
}

TEST_F(CiRunSetup, SaysThatARunBeginsAnewWithoutACheckpoint) {
  const auto run = small_run(data(), out("anew")) + Arguments{"--max-steps", "2"};
  ASSERT_EQ(unlabel(run).exit_code, 0);
  fs::remove_all(out("anew/checkpoints"));  // as if it had been killed before the first one
  fs::remove(out("anew/encoder.safetensors"));
  const auto outcome = unlabel(run);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("was stopped before its first checkpoint: it starts over"), std::string::npos)
      << outcome.err;
}

TEST_F(CiRunSetup, AFolderOfCheckpointsThatCannotBeReadIsNoFreshStart) {
  const std::string run = out("unreadable");
  ASSERT_EQ(unlabel(small_run(data(), run) + Arguments{"--max-steps", "2"}).exit_code, 0);
  fs::rename(run + "/checkpoints", run + "/elsewhere");
  std::ofstream(run + "/checkpoints") << "a file";
  const auto metrics = read_bytes(run + "/metrics.jsonl");
  const auto outcome = unlabel(small_run(data(), run) + Arguments{"--max-steps", "4"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("cannot read " + run + "/checkpoints"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_bytes(run + "/metrics.jsonl"), metrics);
}

TEST_F(CiRunSetup, DoesNotStartAFinishedRunOver) {
  const std::string run = out("pruned");
  const auto arguments = small_run(data(), run) + Arguments{"--max-steps", "2"};
  ASSERT_EQ(unlabel(arguments).exit_code, 0);
  const auto encoder = read_bytes(run + "/encoder.safetensors"), log = read_bytes(run + "/metrics.jsonl");
  fs::remove_all(run + "/checkpoints");
  const auto outcome = unlabel(arguments);
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("no checkpoint shows that this run wrote it"), std::string::npos) << outcome.err;
  EXPECT_EQ(read_bytes(run + "/encoder.safetensors"), encoder);
  EXPECT_EQ(read_bytes(run + "/metrics.jsonl"), log);
}

TEST_F(CiRunSetup, SetsADamagedCheckpointAside) {
  const std::string run = out("damaged");
  const auto arguments = small_run(data(), run) + Arguments{"--checkpoint.every", "2"};
  ASSERT_EQ(unlabel(arguments + Arguments{"--max-steps", "4"}).exit_code, 0);
  const auto encoder = read_bytes(run + "/encoder.safetensors");
  fs::resize_file(run + "/checkpoints/step-00000004/state.safetensors", 1000);
  const auto outcome = unlabel(arguments + Arguments{"--max-steps", "5"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("a checkpoint was skipped"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("resuming from step 2"), std::string::npos) << outcome.err;
  for (const char* name : {"damaged-step-00000004", "step-00000004", "step-00000005"})
    EXPECT_TRUE(fs::exists(run + "/checkpoints/" + name)) << name;
  // What the damaged checkpoint's step had learned is not lost.
  EXPECT_EQ(read_bytes(run + "/encoder-1.safetensors"), encoder);
  EXPECT_NE(outcome.err.find("it is kept as " + run + "/encoder-1.safetensors"), std::string::npos) << outcome.err;
}

TEST_F(CiRunSetup, AnEncoderOfAShorterRunIsNotMistakenForTheNewest) {
  const std::string run = out("longer");
  const auto stopped = with(small_run(data(), run), {{"--epochs", "3000"}});
  ASSERT_EQ(unlabel(stopped + Arguments{"--max-steps", "1"}).exit_code, 0);
  ASSERT_TRUE(fs::exists(run + "/encoder.safetensors"));
  fs::remove(run + "/metrics.jsonl");
  Program second(Arguments{UNLABEL_BINARY_DIR "/unlabel"} + stopped);
  wait_for_steps(run + "/metrics.jsonl");
  second.signal(SIGTERM);
  EXPECT_EQ(second.wait().exit_code, 75);
  EXPECT_FALSE(fs::exists(run + "/encoder.safetensors"));
}

TEST_F(CiRunSetup, PathsNeedNotBeUtf8) {
  const auto odd = out("caf\xe9");
  const auto outcome = unlabel(small_run(data(), odd) + Arguments{"--max-steps", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(fs::exists(odd + "/checkpoints/latest/manifest.json"));
}

TEST_F(CiRunSetup, RefusesAFolderInUse) {
  const RunFolder held(out("held"), 0);
  const auto outcome = unlabel(small_run(data(), out("held")) + Arguments{"--max-steps", "1"});
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("in use by another run"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;
  EXPECT_FALSE(fs::exists(out("held/metrics.jsonl")));
}

TEST_F(CiRunSetup, RefusesADiskThatIsFull) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small disk";
  const std::string disk = out("disk");
  fs::create_directories(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=128k") != 0) GTEST_SKIP() << "cannot mount a small disk here";
  const auto outcome = unlabel(small_run(data(), disk + "/run"));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
  EXPECT_NE(outcome.err.find("MB free"), std::string::npos) << outcome.err;
  EXPECT_TRUE(outcome.one_line()) << outcome.err;
  EXPECT_FALSE(fs::exists(disk + "/run"));
  ::umount(disk.c_str());
}

}  // namespace
}  // namespace unlabel::launch
