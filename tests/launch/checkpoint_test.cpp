#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/launch/checkpoint.h>
#include <unlabel/launch/precision.h>
#include <unlabel/launch/run_folder.h>
#include <unlabel/ssl/autocast.h>

#include "program.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <limits>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

Checkpoint checkpoint_at(std::int64_t iteration) {
  Checkpoint checkpoint;
  checkpoint.iteration = iteration;
  checkpoint.tensors = {{"method.weight", torch::full({3, 2}, static_cast<double>(iteration), torch::kFloat64)},
                        {"optimizer.step", torch::tensor({iteration})}};
  checkpoint.training = {{"seed", 7}};
  return checkpoint;
}

TEST(Checkpoint, ComesBackAsItWas) {
  TemporaryFolder folder;
  const std::string place = folder / "checkpoints";
  EXPECT_FALSE(newest_checkpoint(place).has_value());
  write_checkpoint(place, checkpoint_at(12), 2);
  EXPECT_EQ(newest_checkpoint(place), 12);
  for (const std::string& path : {place, place + "/step-00000012", place + "/latest"}) {
    const auto back = read_checkpoint(path);
    EXPECT_EQ(back.iteration, 12);
    EXPECT_EQ(back.training.at("seed"), 7);
    ASSERT_EQ(back.tensors.size(), 2u);
    for (const auto& [name, tensor] : back.tensors)
      EXPECT_TRUE(torch::equal(tensor, name == "method.weight" ? torch::full({3, 2}, 12., torch::kFloat64)
                                                               : torch::tensor({std::int64_t{12}})))
          << name;
  }
}

TEST(Checkpoint, KeepsTheLastOnesAndLeavesNothingElse) {
  TemporaryFolder folder;
  for (int i = 1; i <= 5; ++i) write_checkpoint(folder.path().string(), checkpoint_at(i), 2);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path())) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"latest", "step-00000004", "step-00000005"}));
  EXPECT_EQ(fs::read_symlink(folder.path() / "latest"), "step-00000005");
}

TEST(Checkpoint, PassesOverADamagedOneAndSaysWhy) {
  TemporaryFolder folder;
  const std::string place = folder.path().string();
  for (int i = 1; i <= 3; ++i) write_checkpoint(place, checkpoint_at(i), 3);
  // One flipped bit in the newest, a lost file in the next.
  auto bytes = read_bytes(place + "/step-00000003/state.safetensors");
  bytes.back() ^= 1;
  data::write_file(place + "/step-00000003/state.safetensors", bytes);
  fs::remove(place + "/step-00000002/training.json");
  std::vector<std::string> skipped;
  EXPECT_EQ(read_checkpoint(place, &skipped).iteration, 1);
  ASSERT_EQ(skipped.size(), 2u);
  EXPECT_NE(skipped[0].find("damaged"), std::string::npos) << skipped[0];
  EXPECT_NE(skipped[1].find("training.json"), std::string::npos) << skipped[1];
  fs::resize_file(place + "/step-00000001/manifest.json", 5);
  EXPECT_THROW(read_checkpoint(place), MismatchError);
}

TEST(Checkpoint, NeverRemovesTheOneJustWritten) {
  TemporaryFolder folder;
  const std::string place = folder.path().string();
  for (const int step : {4, 9}) write_checkpoint(place, checkpoint_at(step), 2);
  fs::resize_file(place + "/step-00000009/state.safetensors", 5);  // damaged: the run goes on from 4
  EXPECT_EQ(read_checkpoint(place).iteration, 4);
  write_checkpoint(place, checkpoint_at(5), 1);
  EXPECT_EQ(read_checkpoint(place).iteration, 5);
  EXPECT_FALSE(fs::exists(place + "/step-00000004"));
  EXPECT_TRUE(fs::exists(fs::path(place) / "latest" / "manifest.json"));
  write_checkpoint(place, checkpoint_at(9), 1);
  EXPECT_EQ(read_checkpoint(place).iteration, 9);
}

TEST(Checkpoint, WhatAKilledWriteLeftIsRemoved) {
  TemporaryFolder folder;
  const std::string place = folder.path().string();
  write_checkpoint(place, checkpoint_at(1), 2);
  fs::create_directories(place + "/.step-00000002.tmp-123");
  data::write_file(place + "/.step-00000002.tmp-123/state.safetensors", "half");
  fs::create_symlink("step-00000002", place + "/.latest.tmp-123");
  remove_unfinished_checkpoints(place);
  EXPECT_EQ(std::distance(fs::directory_iterator(place), fs::directory_iterator()), 2);  // step-00000001 and latest
  remove_unfinished_checkpoints(place + "/nowhere");
}

TEST(Checkpoint, AFailedWriteLeavesWhatWasThere) {
  TemporaryFolder folder;
  const std::string place = folder.path().string();
  write_checkpoint(place, checkpoint_at(1), 2);
  auto twice = checkpoint_at(2);
  twice.tensors.push_back(twice.tensors.front());  // two tensors of one name cannot be written
  EXPECT_THROW(write_checkpoint(place, twice, 2), Error);
  EXPECT_EQ(newest_checkpoint(place), 1);
  EXPECT_EQ(std::distance(fs::directory_iterator(place), fs::directory_iterator()), 2);  // step-00000001 and latest
}

TEST(RunFolder, IsHeldByOneProcess) {
  TemporaryFolder folder;
  {
    RunFolder first(folder / "run", 0);
    try {
      RunFolder second(folder / "run", 0);
      ADD_FAILURE() << "taken twice";
    } catch (const UsageError& error) {
      EXPECT_NE(std::string(error.what()).find("in use by another run (process "), std::string::npos) << error.what();
    }
  }
  RunFolder again(folder / "run", 0);
  EXPECT_THROW(RunFolder(folder / "huge", std::numeric_limits<std::int64_t>::max()), UsageError);
  EXPECT_FALSE(fs::exists(folder / "huge"));
  data::write_file(folder / "file", "x");
  EXPECT_THROW(RunFolder(folder / "file/run", 0), UsageError);
}

TEST(JsonLines, CutsWhatCameAfterACheckpoint) {
  TemporaryFolder folder;
  const std::string path = folder / "metrics.jsonl";
  JsonLines::cut(path, "step", 3);  // nothing there: nothing to do
  EXPECT_TRUE(JsonLines::last(path).is_null());
  {
    JsonLines lines(path);
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(lines.append({{"step", i}, {"loss", 0.5}}));
  }
  data::write_file(path, read_bytes(path) + R"({"step": 6, "lo)");  // killed while it wrote
  EXPECT_TRUE(JsonLines::last(path).is_null());
  JsonLines::cut(path, "step", 4);
  EXPECT_EQ(JsonLines::last(path), (nlohmann::json{{"step", 3}, {"loss", 0.5}}));
  EXPECT_EQ(read_lines(path).size(), 4u);
  JsonLines lines(path);
  ASSERT_TRUE(lines.append({{"step", 4}}));
  EXPECT_EQ(read_lines(path).back().at("step"), 4);
}

TEST(LossScaler, HalvesAfterAnOverflowAndSkipsThatStep) {
  auto weight = torch::ones({2}, torch::requires_grad());
  LossScaler scaler(true, torch::kCPU);
  scaler.scale((weight * 3).sum()).backward();
  EXPECT_EQ(weight.grad()[0].item<float>(), 3 * 65536.f);
  EXPECT_TRUE(scaler.unscale({weight}));
  EXPECT_EQ(weight.grad()[0].item<float>(), 3);
  weight.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  EXPECT_FALSE(scaler.unscale({weight}));
  EXPECT_EQ(scaler.state().front().second.item<float>(), 32768.f);

  LossScaler other(true, torch::kCPU);
  other.load_state(scaler.state());
  EXPECT_EQ(other.state().front().second.item<float>(), 32768.f);
  LossScaler off(false, torch::kCPU);
  weight.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  EXPECT_TRUE(off.unscale({weight}));
}

TEST(Precision, ScopesAutocastAndGivesItBack) {
  const auto a = torch::ones({4, 4});
  {
    const ssl::Autocast scope(torch::kCPU, Precision("bf16").autocast());
    EXPECT_EQ(torch::mm(a, a).scalar_type(), torch::kBFloat16);
  }
  EXPECT_EQ(torch::mm(a, a).scalar_type(), torch::kFloat32);
  EXPECT_EQ(Precision("float64").weights(), torch::kFloat64);
  EXPECT_TRUE(Precision("fp16").scales_loss());
  EXPECT_THROW(Precision("int8"), UsageError);
}

}  // namespace
}  // namespace unlabel::launch
