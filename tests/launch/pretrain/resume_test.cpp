#include <unlabel/data/formats.h>
#include <unlabel/launch/checkpoint/checkpoint_files.h>

#include "launch/pretrain/killed_run.h"

// Runs that are killed, and go on as if they had not been; killed_runs_test.cpp has more of them.

namespace unlabel::launch {
namespace {

/// Where a killed run stands: the freeze ends after step 10, the queue fills from step 8 to 12 and is full from then on; 6 epochs of 4.
std::function<Arguments(const std::string&)> long_run(const std::string& data, const std::string& precision) {
  return [=](const std::string& out) {
    return with(small_run(data, out), {{"--precision", precision},
                                       {"--swav.freeze-prototypes-iterations", "10"},
                                       {"--swav.queue-start-epoch", "2"},
                                       {"--swav.queue-length", "64"},
                                       {"--checkpoint.every", "1"}});
  };
}

class CiResume : public testing::Test {
 protected:
  CiResume() { make_images(images, 64, 20, 4); }
  TemporaryFolder folder;
  std::string images = folder / "images";
};

TEST_F(CiResume, AKilledRunGoesOnAsIfItHadNotBeen) {
  KilledRun run(1, long_run(images, "float32"), 1);
  for (const std::size_t steps : {3, 9, 15}) run.kill_at(steps);  // frozen; the queue fills; full
  run.expect_equal_to_the_straight_run();
}

TEST_F(CiResume, SoDoFourRanksInBf16) {
  KilledRun run(4, long_run(images, "bf16"), 2);
  for (const std::size_t steps : {5, 13}) run.kill_at(steps);
  run.expect_equal_to_the_straight_run();
}

TEST_F(CiResume, CheckpointsOfOlderProgramsMeanWhatTheyMeantThen) {
  const std::string out = folder / "run", checkpoints = out + "/checkpoints", shards = folder / "shards";
  ASSERT_EQ(unlabel({"pack", images, "--out", shards}).exit_code, 0);
  const auto arguments = with(method_run("byol", "shards:" + shards, out), {{"--max-steps", "1"}});
  auto done = unlabel(arguments);
  ASSERT_EQ(done.exit_code, 0) << done.err;
  const auto edited = [&](const std::function<void(nlohmann::json&)>& edit) {
    const std::string newest = checkpoints + "/latest";
    const auto state = read_bytes(newest + "/state.safetensors"), text = read_bytes(newest + "/training.json");
    CheckpointFiles files{1, {state.begin(), state.end()}, parse_training(text, newest)};
    edit(files.training);
    std::filesystem::remove_all(checkpoints);
    write_checkpoint_files(checkpoints, files, {.last = 1});
    return unlabel(with(arguments, {{"--max-steps", "2"}}));
  };

  // Other contents.
  std::string fingerprint = "0123456789abcdef";
  done = edited(
      [&](nlohmann::json& training) { training["data"]["fingerprint"].get_ref<std::string&>().swap(fingerprint); });
  EXPECT_EQ(done.exit_code, 93) << done.err;
  EXPECT_NE(done.err.find("the data has changed"), std::string::npos) << done.err;

  // A program whose preset means other views.
  done = edited([&](nlohmann::json& training) {
    training["data"]["fingerprint"] = fingerprint;
    training["views"]["views"][0]["count"] = 7;
  });
  EXPECT_EQ(done.exit_code, 93) << done.err;
  EXPECT_NE(done.err.find("was started with other views, by another version of the program"), std::string::npos)
      << done.err;
  EXPECT_NE(done.err.find("views.0.count 7 and not 1"), std::string::npos) << done.err;

  // One of before there was a choice of crops: a plan keeps those of then. Nor was there a checksum of what is in the archives.
  const auto dataset = data::open_dataset("shards:" + shards, data::Split::kTrain);
  ASSERT_NE(dataset->fingerprint(), dataset->fingerprint_of_names());
  done = edited([&](nlohmann::json& training) {
    char names[17];
    std::snprintf(names, sizeof names, "%016llx", static_cast<unsigned long long>(dataset->fingerprint_of_names()));
    training["data"]["fingerprint"] = names;
    training.erase("views");
    training["options"]["augment"].erase("crop_family");
  });
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_EQ(newest_checkpoint(checkpoints), 2);
  EXPECT_EQ(checkpoint_options(checkpoints).value()["augment"]["crop_family"], "torchvision");
}

TEST_F(CiResume, AWriteThatIsKilledLeavesTheOneBefore) {
  KilledRun run(2, long_run(images, "float32"), 3);
  bool inside = false;
  for (int attempt = 0; attempt < 5 && !inside; ++attempt) inside = run.kill_inside_a_write();
  EXPECT_TRUE(inside) << "no attempt hit a write";
  run.expect_equal_to_the_straight_run();
}

}  // namespace
}  // namespace unlabel::launch
