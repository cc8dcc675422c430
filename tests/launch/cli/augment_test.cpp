#include <unlabel/augment/codec/decode.h>
#include <unlabel/augment/preview/contact_sheet.h>
#include <unlabel/augment/transforms/presets.h>

#include "launch/program.h"
#include <gtest/gtest.h>
#include <opencv2/core.hpp>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <thread>

namespace unlabel::launch {
namespace {

using augment::ImageSource;

ImageSource source_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  ImageSource source;
  source.bytes.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  return source;
}

cv::Mat picture(const std::string& path) { return augment::decode(source_of(path)); }

TEST(CiAugment, PreviewsAndReplays) {
  const TemporaryFolder folder;
  make_images(folder / "photos", 8, 40, 1);
  const std::string photo = folder / "photos/class0/00000.png";
  auto outcome = unlabel({"augment", "preview", photo, "--preset", "swav", "--out", folder / "sheet.png", "--sample",
                          "3", "--json", folder / "drawn.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "8 views: " + (folder / "sheet.png") + "\n");
  EXPECT_GT(picture(folder / "sheet.png").cols, 1000);

  // The same view three ways: by the key, by what was written down, and by the library.
  outcome = unlabel(
      {"augment", "replay", photo, "--preset", "swav", "--sample", "3", "--view", "2", "--out", folder / "key.png"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.rfind("crop ", 0), 0u) << outcome.out;
  outcome = unlabel(
      {"augment", "replay", photo, "--drawn", folder / "drawn.json", "--view", "2", "--out", folder / "drawn.png"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto crops = augment::preset("swav");
  std::vector<float> view(crops.shape(2).size());
  crops.replay(source_of(photo), 2, crops.pipeline(2).make_params({40, 40}, {0, 0, 3, 2}), view.data());
  const cv::Mat expected = augment::picture_of(crops.pipeline(2), view.data());
  for (const auto* name : {"key.png", "drawn.png"})
    EXPECT_EQ(cv::norm(picture(folder / name), expected, cv::NORM_INF), 0) << name;

  // As a run has it.
  outcome = unlabel({"pretrain",
                     "swav",
                     "--data",
                     folder / "photos",
                     "--out",
                     folder / "run",
                     "--max-steps",
                     "1",
                     "--batch-size",
                     "8",
                     "--seed",
                     "5",
                     "--encoder.width",
                     "4",
                     "--threads",
                     "1",
                     "--augment.global-size",
                     "24",
                     "--augment.local-count",
                     "0"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  outcome = unlabel({"augment", "replay", photo, "--run", folder / "run", "--view", "1", "--epoch", "2", "--sample",
                     "7", "--out", folder / "run.png"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto config = nlohmann::json::parse(std::ifstream(folder / "run/config.json"));
  augment::PresetOptions options;
  auto known = config.at("augment");
  const auto preset = known.at("preset").get<std::string>();
  known.erase("preset");
  augment::table(options).from_json(known, "config");
  const auto trained = augment::preset(preset, options);
  ASSERT_EQ(trained.shape(1).width, 24);
  std::vector<float> seen(trained.shape(1).size());
  trained.replay(source_of(photo), 1, trained.pipeline(1).make_params({40, 40}, {5, 2, 7, 1}), seen.data());
  EXPECT_EQ(cv::norm(picture(folder / "run.png"), augment::picture_of(trained.pipeline(1), seen.data()), cv::NORM_INF),
            0);

  // Views of one's own.
  outcome = unlabel({"augment", "preview", photo, "--views", folder / "drawn.json", "--out", folder / "again.PNG"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "8 views: " + (folder / "again.PNG") + "\n");

  std::ofstream(folder / "views.json") << augment::preset("byol", {.global_size = 32}).to_json();
  outcome = unlabel({"augment", "preview", photo, "--views", folder / "views.json", "--out", folder / "own.png"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "2 views: " + (folder / "own.png") + "\n");
}

TEST(CiAugment, MeasuresAFolder) {
  const TemporaryFolder folder;
  make_images(folder / "photos", 6, 40, 1);
  std::ofstream(folder / "photos/notes.txt") << "no image";
  auto outcome = unlabel({"augment", "bench", folder / "photos", "--preset", "swav", "--threads", "2", "--seconds",
                          "0.05", "--json", folder / "bench.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto result = nlohmann::json::parse(std::ifstream(folder / "bench.json"));
  EXPECT_GT(result.at("images_per_second").get<double>(), 0);
  EXPECT_EQ(result.at("images"), 6);
  EXPECT_EQ(result.at("unreadable"), 1);
  EXPECT_EQ(result.at("threads"), 2);
  EXPECT_EQ(result.at("steps").size(), 5u) << "crop, flip, jitter, gray, blur";
  EXPECT_NE(outcome.out.find(" images a second"), std::string::npos) << outcome.out;
}

// More threads than processors wait for each other by turns, which costs wall time and no CPU time.
TEST(CiAugment, MeasuresCpuTimeWhereProcessorsAreShared) {
  const TemporaryFolder folder;
  make_images(folder / "photos", 6, 40, 1);
  const auto threads = 4 * std::max(1u, std::thread::hardware_concurrency());
  const auto outcome = unlabel({"augment", "bench", folder / "photos", "--preset", "swav", "--threads",
                                std::to_string(threads), "--seconds", "0.3", "--json", folder / "bench.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto result = nlohmann::json::parse(std::ifstream(folder / "bench.json"));
  const double cpu = result.at("cpu_milliseconds"), wall = result.at("wall_milliseconds");
  EXPECT_GT(cpu, 0);
  EXPECT_LT(cpu, 0.6 * wall) << "of " << threads << " threads";
  EXPECT_NEAR(result.at("images_per_second").get<double>(), 1000 * threads / wall, 1e-6 * 1000 * threads / wall);
  EXPECT_NE(outcome.out.find(" ms of CPU time, "), std::string::npos) << outcome.out;
}

TEST(CiAugment, MeasuresEveryPresetStepByStep) {
  const TemporaryFolder folder;
  make_images(folder / "photos", 2, 40, 1);
  std::ofstream(folder / "own.json") << R"({"views": [{"count": 1, "pipeline": [{"op": "RandomResizedCrop", "size": 8},
      {"op": "Grayscale"}, {"op": "Normalize", "mean": [0.5], "std": [0.5]}]}]})";
  const auto steps = [&](const std::string& option, const std::string& value) {
    const auto outcome = unlabel(
        {"augment", "bench", folder / "photos", option, value, "--seconds", "0.01", "--json", folder / "bench.json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    std::string names;
    const auto result = nlohmann::json::parse(std::ifstream(folder / "bench.json"));
    for (const auto& step : result.at("steps")) names += step.at("step").get<std::string>() + "; ";
    return names;
  };
  for (const auto& preset : augment::preset_names()) EXPECT_NE(steps("--preset", preset), "");
  EXPECT_EQ(steps("--preset", "eval"), "decode, Resize, CenterCrop, to floats; ");
  EXPECT_NE(steps("--preset", "byol").find("RandomSolarize"), std::string::npos) << "the second view's";
  EXPECT_EQ(steps("--views", folder / "own.json"), "decode, RandomResizedCrop, Grayscale, to floats; ");
}

TEST(CiAugment, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  make_images(folder / "photos", 1, 40, 1);
  const std::string photo = folder / "photos/class0/00000.png", out = folder / "out.png";
  const auto said = [](const std::vector<std::string>& arguments) {
    const auto outcome = unlabel(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.err;
    return outcome.err;
  };
  EXPECT_EQ(said({"augment", "previw"}),
            "unlabel: no command 'augment previw' (did you mean 'preview'?); see unlabel augment --help\n");
  EXPECT_NE(said({"augment"}).find("usage: unlabel augment"), std::string::npos);
  said({"augment", "preview", photo});
  EXPECT_EQ(said({"augment", "replay", photo, "--view", "8", "--out", out}), "unlabel: --view must be 0 to 7, not 8\n");
  said({"augment", "preview", photo, "--views", folder / "none.json", "--preset", "swav", "--out", out});
  EXPECT_NE(said({"augment", "preview", photo, "--out", folder / "out.jpg"}).find(".png"), std::string::npos);
  said({"augment", "preview", photo, "--out", folder / "nowhere/out.png"});
  said({"augment", "replay", photo, "--run", folder.path(), "--out", out});
  said({"augment", "bench", folder / "nowhere"});
  said({"augment", "bench", folder / "photos", "--threads", "0"});
  EXPECT_EQ(unlabel({"augment", "preview", folder / "nowhere.jpg", "--out", out}).exit_code, 1);
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_EQ(unlabel({"augment", "--help"}).exit_code, 0);
  EXPECT_NE(unlabel({"augment", "replay", "--help"}).out.find("--view"), std::string::npos);
}

}  // namespace
}  // namespace unlabel::launch
