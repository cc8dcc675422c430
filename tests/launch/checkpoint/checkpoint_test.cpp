#include <unlabel/augment/error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/checkpoint/checkpoint.h>
#include <unlabel/launch/training/precision.h>
#include <unlabel/ssl/optim/autocast.h>
#include <unlabel/ssl/weights/safetensors.h>

#include "launch/program.h"
#include <gtest/gtest.h>
#include <torch/types.h>
#include <zlib.h>

#include <limits>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;

void write_checkpoint(const std::string& folder, const Checkpoint& checkpoint) {
  CheckpointFiles files;
  pack(checkpoint, files);
  write_checkpoint_files(folder, files, {.last = 3});
}

Checkpoint checkpoint_at(std::int64_t iteration) {
  Checkpoint checkpoint;
  checkpoint.iteration = iteration;
  checkpoint.tensors = {{"method.weight", torch::full({3, 2}, static_cast<double>(iteration), torch::kFloat64)},
                        {"optimizer.step", torch::tensor({iteration})}};
  checkpoint.training = {{"seed", 7},
                         {"options", nlohmann::json::object()},
                         {"data", {{"description", "images"}, {"images", 10}, {"fingerprint", "00"}}},
                         {"health", {{"nonfinite", {1}}, {"broken", {4, 5}}, {"collapse", {{"loss", 2}}}}}};
  return checkpoint;
}

TEST(Checkpoint, ComesBackAsItWas) {
  TemporaryFolder folder;
  const std::string place = folder / "checkpoints";
  EXPECT_FALSE(newest_checkpoint(place).has_value());
  write_checkpoint(place, checkpoint_at(12));
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

TEST(Checkpoint, PassesOverADamagedOneAndSaysWhy) {
  TemporaryFolder folder;
  const std::string place = folder.path().string();
  for (int i = 1; i <= 3; ++i) write_checkpoint(place, checkpoint_at(i));
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

TEST(Checkpoint, WhoseTrainingIsWholeButWrongIsPassedOver) {
  struct Wrong {
    const char* change;  ///< a JSON merge patch
    const char* says;
  };
  for (const Wrong& wrong :
       {Wrong{R"({"data": null})", "it has no 'data'"}, Wrong{R"({"data": 3})", "'data' is no object but 3"},
        Wrong{R"({"data": {"images": "many"}})", "'images' is no integer but \"many\""},
        Wrong{R"({"options": []})", "'options' is no object but []"},
        Wrong{R"({"health": {"nonfinite": "x"}})", "'nonfinite' is no list of integers but \"x\""},
        Wrong{R"({"health": {"broken": [1.5]}})", "'broken' is no list of integers"},
        Wrong{R"({"health": {"collapse": {"loss": {}}}})", "'loss' is no integer"},
        Wrong{R"({"world_size": "two"})", "'world_size' is no integer"},
        Wrong{R"({"iteration": -1})", "'iteration' is -1"}, Wrong{R"({"iteration": 1e3})", "'iteration' is no integer"},
        Wrong{R"({"iteration": 7})", "belongs to step 7"}}) {
    TemporaryFolder folder;
    const std::string place = folder.path().string();
    write_checkpoint(place, checkpoint_at(1));
    write_checkpoint(place, checkpoint_at(2));
    // Its manifest agrees, so that it is no damage of bytes.
    const auto training_file = place + "/step-00000002/training.json",
               manifest_file = place + "/step-00000002/manifest.json";
    auto training = nlohmann::json::parse(read_bytes(training_file));
    training.merge_patch(nlohmann::json::parse(wrong.change));
    const auto text = training.dump();
    auto manifest = nlohmann::json::parse(read_bytes(manifest_file));
    manifest["files"]["training.json"] = {
        {"bytes", text.size()}, {"crc32", ::crc32(0, reinterpret_cast<const Bytef*>(text.data()), text.size())}};
    data::write_file(training_file, text);
    data::write_file(manifest_file, manifest.dump());
    std::vector<std::string> skipped;
    EXPECT_EQ(read_checkpoint(place, &skipped).iteration, 1) << wrong.change;
    ASSERT_EQ(skipped.size(), 1u) << wrong.change;
    EXPECT_NE(skipped[0].find(wrong.says), std::string::npos) << skipped[0];
    EXPECT_NE(skipped[0].find("damaged"), std::string::npos) << skipped[0];
    fs::remove_all(place + "/step-00000001");
    EXPECT_THROW(read_checkpoint(place), MismatchError) << wrong.change;
  }
}

TEST(Checkpoint, IsNotPassedOverWhenItCannotBeReadNow) {
  TemporaryFolder folder;
  const std::string place = folder.path().string();
  for (int i = 1; i <= 2; ++i) write_checkpoint(place, checkpoint_at(i));
  // A link to itself: what is behind it is not known.
  fs::remove(place + "/step-00000002/state.safetensors");
  fs::create_symlink("state.safetensors", place + "/step-00000002/state.safetensors");
  EXPECT_THROW(read_checkpoint(place), UnreadableCheckpoint);
}

TEST(Checkpoint, IsOfTheMomentWhenItWasPacked) {
  TemporaryFolder folder;
  auto checkpoint = checkpoint_at(5);
  CheckpointFiles files;
  pack(checkpoint, files);
  for (auto& [name, tensor] : checkpoint.tensors) tensor.zero_();
  write_checkpoint_files(folder.path().string(), files, {});
  for (const auto& [name, tensor] : read_checkpoint(folder.path().string()).tensors)
    EXPECT_TRUE((tensor == 5).all().item<bool>()) << name;
  // The same bytes as a file that is written from tensors, with strides and all.
  const auto odd = torch::arange(24, torch::kFloat32).view({2, 3, 2, 2}).to(at::MemoryFormat::ChannelsLast);
  const ssl::TensorFile file{{{"b", odd}, {"a", torch::ones({3}, torch::kInt64)}}, {}};
  ssl::write_safetensors(folder / "file", file);
  std::vector<char> bytes;
  ssl::format_safetensors(file, bytes);
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), read_bytes(folder / "file"));
  EXPECT_THROW(ssl::format_safetensors({{{"a", odd}, {"a", odd}}, {}}, bytes), Error);
}

TEST(LossScaler, HalvesAfterAnOverflowAndSkipsThatStep) {
  auto weight = torch::ones({2}, torch::requires_grad());
  LossScaler scaler(true, torch::kCPU);
  scaler.scale((weight * 3).sum()).backward();
  EXPECT_EQ(weight.grad()[0].item<float>(), 3 * 65536.f);
  EXPECT_TRUE(scaler.unscale({weight}).item<bool>());
  EXPECT_EQ(weight.grad()[0].item<float>(), 3);
  weight.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  EXPECT_FALSE(scaler.unscale({weight}).item<bool>());
  EXPECT_EQ(scaler.state().front().second.item<float>(), 32768.f);

  LossScaler other(true, torch::kCPU);
  other.load_state(scaler.state());
  EXPECT_EQ(other.state().front().second.item<float>(), 32768.f);
  LossScaler off(false, torch::kCPU);
  weight.mutable_grad().fill_(std::numeric_limits<float>::infinity());
  EXPECT_FALSE(off.unscale({weight}).item<bool>()) << "found without scaling too";
  weight.mutable_grad().fill_(3);
  EXPECT_TRUE(off.unscale({weight}).item<bool>());
  EXPECT_EQ(weight.grad()[0].item<float>(), 3);
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
