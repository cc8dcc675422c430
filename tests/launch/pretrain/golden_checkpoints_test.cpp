#include <unlabel/ssl/methods.h>
#include <unlabel/ssl/weights/safetensors.h>

#include "launch/program.h"
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>

// Checkpoints of an older program (tests/golden/checkpoints.py) resume to what that program came to itself.

namespace unlabel::launch::golden_checkpoints_test {
namespace {

namespace fs = std::filesystem;

/// The images of tests/golden/checkpoints.py, to the byte: a checkpoint knows the names and sizes of its data.
void draw_images(const fs::path& folder) {
  constexpr int kImages = 32, kSide = 16;
  for (int number = 0; number < kImages; ++number) {
    std::string pixels;
    std::uint32_t state = number + 1;
    for (int i = 0; i < 3 * kSide * kSide; ++i) {
      state = (state * 1103515245u + 12345u) % (1u << 31);
      pixels += static_cast<char>(state >> 16 & 255);
    }
    const auto label = folder / ("class" + std::to_string(number % 2));
    fs::create_directories(label);
    const std::string name = (number < 10 ? "0" : "") + std::to_string(number) + ".ppm";
    std::ofstream(label / name, std::ios::binary) << "P6 " << kSide << " " << kSide << " 255\n" << pixels;
  }
}

class CiGoldenCheckpoints : public testing::TestWithParam<std::string> {};

TEST_P(CiGoldenCheckpoints, ResumeToWhatTheirProgramCameTo) {
  const auto golden = fs::path(UNLABEL_SOURCE_DIR) / "tests/golden/checkpoints" / GetParam();
  const TemporaryFolder folder;
  draw_images(folder / "images");
  const std::string run = folder / "run", checkpoint = run + "/checkpoints/step-00000003";
  fs::create_directories(checkpoint);
  for (const char* name : {"manifest.json", "training.json", "state.safetensors"})
    fs::copy_file(golden / name, checkpoint + "/" + name);

  // With the options that the run began with: they are in the checkpoint.
  const auto outcome = unlabel({"pretrain", GetParam(), "--data", folder / "images", "--out", run, "--max-steps", "6"},
                               {{"OMP_NUM_THREADS", "1"}});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("resuming from step 3"), std::string::npos) << outcome.err;

  const auto expected = ssl::read_safetensors((golden / "encoder.safetensors").string());
  const auto encoder = ssl::read_safetensors(run + "/encoder.safetensors");
  EXPECT_EQ(encoder.metadata, expected.metadata);
  const std::map<std::string, at::Tensor> tensors(encoder.tensors.begin(), encoder.tensors.end());
  ASSERT_EQ(tensors.size(), expected.tensors.size());
  // In float64, where processors differ by rounding: by far less than the three steps move a weight, 6e-6 and more.
  for (const auto& [name, tensor] : expected.tensors) {
    ASSERT_TRUE(tensors.contains(name)) << name;
    EXPECT_EQ(tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_LT((tensors.at(name) - tensor).abs().max().item<double>(), 1e-9) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, CiGoldenCheckpoints, testing::ValuesIn(ssl::method_names()),
                         [](const auto& method) { return method.param; });

}  // namespace
}  // namespace unlabel::launch::golden_checkpoints_test
