#include <unlabel/data/io/atomic_file.h>

#include "inject/faults.h"
#include "launch/program.h"
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <thread>

namespace unlabel::launch {
namespace {

TEST(CiCheck, ListsWhatIsBrokenAndEndsWithOne) {
  const TemporaryFolder folder;
  make_images(folder / "images", 12, 10, 2);
  auto outcome = unlabel({"check", folder / "images", "--json", folder / "check.json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "12 files: 12 can be used, 0 are broken, 0 not used\n");
  std::filesystem::resize_file(folder / "images/class1/00003.png", 70);
  outcome = unlabel({"check", folder / "images", "--json", "-"});
  EXPECT_EQ(outcome.exit_code, 1);
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(json.at("files"), 12);
  EXPECT_EQ(json.at("ok"), 11);
  EXPECT_EQ(json.at("refused"), 0);
  ASSERT_EQ(json.at("broken").size(), 1u);
  EXPECT_EQ(json.at("broken")[0].at("path"), "class1/00003.png");
  EXPECT_FALSE(json.at("broken")[0].at("reason").get<std::string>().empty());
  EXPECT_NE(outcome.err.find("broken   class1/00003.png: "), std::string::npos) << outcome.err;
  std::filesystem::create_directory(folder / "empty");
  EXPECT_EQ(unlabel({"check", folder / "empty"}).exit_code, 1);
  EXPECT_EQ(unlabel({"check"}).exit_code, 2);
  EXPECT_EQ(unlabel({"check", folder / "nowhere"}).exit_code, 2);
}

TEST(CiPack, PackedImagesTrainAndMeasure) {
  const TemporaryFolder folder;
  make_images(folder / "photos/train", 40, 16, 4);
  make_images(folder / "photos/test", 20, 16, 4, 1);
  auto outcome = unlabel({"pack", folder / "photos", "--out", folder / "packed", "--json", folder / "pack.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "60 images in 2 archives; --data shards:" + (folder / "packed") + " reads them\n");
  const std::string data = "shards:" + (folder / "packed");
  outcome = unlabel({"check", data});
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "60 files: 60 can be used (40 to train on, 20 to test), 0 are broken, 0 not used\n");
  outcome = unlabel({"pretrain", "swav", "--data", data, "--out", folder / "run", "--epochs", "2", "--batch-size", "20",
                     "--encoder.width", "4", "--threads", "1"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("1 shard in "), std::string::npos) << outcome.err;
  outcome = unlabel({"knn", "--checkpoint", folder / "run", "--data", data, "--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const auto packed = nlohmann::json::parse(outcome.out).at("value");
  outcome = unlabel({"knn", "--checkpoint", folder / "run", "--data", folder / "photos", "--json", "-"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out).at("value"), packed) << "the same images and classes";
  EXPECT_EQ(unlabel({"pack", folder / "photos", "--out", folder / "packed"}).exit_code, 2) << "not an empty folder";
  EXPECT_EQ(unlabel({"pack", folder / "photos"}).exit_code, 2);

  // What is not whole does not stand under the name that was asked for.
  std::filesystem::resize_file(folder / "photos/train/class0/00000.png", 0);
  std::filesystem::remove(folder / "photos/train/class1/00001.png");
  std::filesystem::create_symlink("nowhere", folder / "photos/train/class1/00001.png");
  outcome = unlabel({"pack", folder / "photos", "--out", folder / "half/"});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.err;
  EXPECT_FALSE(std::filesystem::exists(folder / "half"));
  EXPECT_FALSE(std::filesystem::exists(folder / "half.unfinished"));
  // A folder that was there stays as it was.
  std::filesystem::create_directory(folder / "private");
  std::filesystem::permissions(folder / "private", std::filesystem::perms::owner_all);
  EXPECT_EQ(unlabel({"pack", folder / "photos", "--out", folder / "private"}).exit_code, 1);
  EXPECT_EQ(std::filesystem::status(folder / "private").permissions(), std::filesystem::perms::owner_all);
  EXPECT_TRUE(std::filesystem::is_empty(folder / "private"));
  // And what others put into it meanwhile stays.
  Program packs({UNLABEL_BINARY_DIR "/unlabel", "pack", folder / "photos", "--out", folder / "private"},
                inject::variables({{.call = "read", .path = "class0/00000.png", .delay_milliseconds = 1500},
                                   {.call = "open", .path = "class0/00000.png", .delay_milliseconds = 1500}}));
  for (int i = 0; i < 200 && !std::filesystem::exists(folder / "private.unfinished"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  data::write_file(folder / "private.unfinished/mine.txt", "precious");
  EXPECT_EQ(packs.wait().exit_code, 1);
  EXPECT_EQ(read_bytes(folder / "private/mine.txt"), "precious");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "private"), {}), 1);
}

}  // namespace
}  // namespace unlabel::launch
