#include <unlabel/data/formats.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/eval/protocols.h>
#include <unlabel/eval/protocols/online_knn.h>
#include <unlabel/eval/test_set.h>

#include "eval/images.h"
#include "eval/support.h"
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace unlabel::eval {
namespace {

using data::open_dataset;
using data::Split;

class TestSet : public ::testing::Test {
 protected:
  /// Images of noise, none like another.
  void write(const std::string& split, const std::vector<std::string>& classes, int count, std::uint64_t seed) {
    for (const auto& name : classes)
      for (int i = 0; i < count; ++i)
        folder_.write_image(split + "/" + name + "/" + std::to_string(i) + ".png", 12, 10, ++seed * 1000);
  }
  std::shared_ptr<const data::Dataset> open(const std::string& name) const {
    return open_dataset(folder_ / name, Split::kTrain);
  }
  SharedImages shared(const std::string& train, const std::string& test) const {
    return find_shared_images(*open(train), *open(test));
  }

  data::TempFolder folder_;
};

TEST_F(TestSet, OneClassFolderIsMatchedByTheTrainingClasses) {
  write("train", {"cat", "dog", "ship"}, 3, 0);
  write("defects", {"dog"}, 4, 100);
  const auto test = open("defects");
  ASSERT_TRUE(test->class_names().empty()) << "by itself one folder is no class";
  const auto labeled = labeled_by_folder(test, open("train")->class_names());
  EXPECT_EQ(labeled->class_names(), (std::vector<std::string>{"cat", "dog", "ship"}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(labeled->label(i), 1);
  EXPECT_EQ(labeled->name(2), "dog/2.png");
  EXPECT_EQ(labeled->fingerprint(), test->fingerprint());

  // An image beside the folders has no label, and is told.
  folder_.write_image("defects/stray.png");
  const auto stray = labeled_by_folder(open("defects"), open("train")->class_names());
  EXPECT_EQ(stray->label(3), 1);
  EXPECT_EQ(stray->label(4), -1);
}

TEST_F(TestSet, FoldersOfOtherNamesAreNoLabels) {
  write("train", {"cat", "dog"}, 3, 0);
  write("other", {"oct"}, 3, 100);
  const auto test = open("other");
  EXPECT_EQ(labeled_by_folder(test, open("train")->class_names()), test);
  EXPECT_EQ(labeled_by_folder(test, {}), test);
  const auto labeled = open("train");
  EXPECT_EQ(labeled_by_folder(labeled, {"cat", "horse"}), labeled) << "it has labels of its own";
}

TEST_F(TestSet, OtherImagesAreNotShared) {
  write("train", {"cat", "dog"}, 20, 0);
  write("test", {"cat", "dog"}, 10, 100);
  const auto found = shared("train", "test");
  EXPECT_EQ(found.compared, 20);
  EXPECT_EQ(found.shared, 0);
  EXPECT_EQ(found.sentence(), "");
}

TEST_F(TestSet, SharedImagesAreFoundWhateverTheyAreCalled) {
  write("train", {"cat", "dog"}, 20, 0);
  // The folder itself, through a link, and a folder inside of it or around it.
  EXPECT_EQ(shared("train", "train").shared, 40);
  std::filesystem::create_directory_symlink(folder_ / "train", folder_ / "link");
  EXPECT_EQ(shared("train", "link").shared, 40);
  EXPECT_EQ(shared("train", "train/cat").shared, 20);
  EXPECT_EQ(shared("train/cat", "train").shared, 20);
  // Some copies among others, of other names and in another class.
  write("test", {"cat", "dog"}, 10, 100);
  std::filesystem::copy(folder_ / "train/cat/7.png", folder_ / "test/dog/renamed.png");
  std::filesystem::copy(folder_ / "train/dog/3.png", folder_ / "test/dog/3.png",
                        std::filesystem::copy_options::overwrite_existing);
  const auto found = shared("train", "test");
  EXPECT_EQ(found.compared, 21);
  EXPECT_EQ(found.shared, 2);
  EXPECT_EQ(found.sentence(),
            "2 of 21 test images that were compared are training images too (dog/renamed.png is cat/7.png of the "
            "training images): the result says little about other images");
}

TEST_F(TestSet, AFewAreLookedForInManyImages) {
  write("train", {"cat", "dog"}, 300, 0);
  const auto found = find_shared_images(*open("train"), *open("train"), /*most=*/50);
  EXPECT_EQ(found.compared, 50);
  EXPECT_EQ(found.shared, 50);
}

TEST_F(TestSet, WhatWasNotReadIsNotCompared) {
  // Uncompressed: every file has the same size, and no more than 1024 of them are read. Two test images are among those.
  for (int i = 0; i < 1100; ++i) {
    folder_.write_image("train/" + std::to_string(10000 + i) + ".ppm", 2, 2, 1000 + i);
    if (i % 500 == 0) folder_.write_image("test/copy" + std::to_string(i) + ".ppm", 2, 2, 1000 + i);
  }
  folder_.write_image("test/copy1099.ppm", 2, 2, 1000 + 1099);
  folder_.write_image("test/larger.ppm", 3, 2, 1);
  const auto found = shared("train", "test");
  EXPECT_EQ(found.shared, 3);
  EXPECT_EQ(found.compared, 4) << "three that are found, one of a size of its own";
}

TEST_F(TestSet, EqualSizesAndNamesAreNotEnough) {
  // Uncompressed: every file has the same size, and both folders the same names.
  for (int i = 0; i < 10; ++i)
    for (const bool train : {true, false})
      folder_.write_image(
          std::string(train ? "train" : "test") + "/a" + std::to_string(i % 2) + "/" + std::to_string(i) + ".ppm", 12,
          10, 1000 * (train ? i + 1 : i + 101));
  ASSERT_EQ(open("train")->fingerprint(), open("test")->fingerprint());
  EXPECT_EQ(shared("train", "test").shared, 0);
  EXPECT_EQ(shared("train", "train").shared, 10);
}

TEST_F(TestSet, SharedImagesOfArchivesAreFound) {
  write("train", {"cat", "dog"}, 20, 0);
  write("test", {"cat", "dog"}, 10, 100);
  std::filesystem::copy(folder_ / "train/cat/7.png", folder_ / "test/dog/renamed.png");
  for (const char* name : {"train", "test"})
    data::write_shards(*open(name), folder_ / (std::string(name) + "-packed"), name, {.shard_bytes = 8000});
  const auto train = data::open_test_images("shards:" + (folder_ / "train-packed"));
  const auto test = data::open_test_images("shards:" + (folder_ / "test-packed"));
  ASSERT_EQ(train->notes().size(), 1u);
  EXPECT_NE(train->notes()[0].find("named as training images"), std::string::npos) << train->notes()[0];
  EXPECT_TRUE(test->notes().empty());
  for (const auto& [first, second] :
       {std::pair(train, test), std::pair(train, open("test")), std::pair(open("train"), test)}) {
    const auto found = find_shared_images(*first, *second);
    EXPECT_EQ(found.compared, 21);
    EXPECT_EQ(found.shared, 1);
  }
}

TEST_F(TestSet, SharedImagesOfArraysAreFound) {
  // IDX: ten images of 2 x 2, in the test file two of the training file's.
  const auto idx = [](int first, int count, const std::vector<int>& values) {
    std::string bytes("\0\0\x08\x03\0\0\0", 7);
    bytes += static_cast<char>(count);
    bytes += std::string("\0\0\0\x02\0\0\0\x02", 8);
    for (int i = 0; i < count; ++i)
      for (int pixel = 0; pixel < 4; ++pixel)
        bytes += static_cast<char>(values.empty() ? first + i + 20 * pixel
                                                  : values[static_cast<std::size_t>(i)] + 20 * pixel);
    return bytes;
  };
  const auto labels = [](int count) {
    std::string bytes("\0\0\x08\x01\0\0\0", 7);
    bytes += static_cast<char>(count);
    return bytes + std::string(static_cast<std::size_t>(count), '\1');
  };
  folder_.write("train-images-idx3-ubyte", idx(0, 10, {}));
  folder_.write("train-labels-idx1-ubyte", labels(10));
  folder_.write("t10k-images-idx3-ubyte", idx(0, 4, {3, 15, 9, 16}));
  folder_.write("t10k-labels-idx1-ubyte", labels(4));
  const auto found =
      find_shared_images(*open_dataset(folder_.path(), Split::kTrain), *open_dataset(folder_.path(), Split::kTest));
  EXPECT_EQ(found.compared, 4);
  EXPECT_EQ(found.shared, 2);
  // Arrays and files cannot be compared, and nothing says that they were.
  write("photos", {"cat"}, 5, 0);
  for (const bool arrays : {true, false}) {
    const auto array = open_dataset("idx:" + folder_.path(), arrays ? Split::kTrain : Split::kTest);
    const auto files = open("photos");
    const auto unknown = arrays ? find_shared_images(*array, *files) : find_shared_images(*files, *array);
    EXPECT_EQ(unknown.compared, 0);
    EXPECT_NE(unknown.sentence().find("is not known"), std::string::npos) << unknown.sentence();
  }
}

TEST_F(TestSet, WhatIsMeasuredWhileTrainingIsKnownBefore) {
  write("train", {"cat", "dog"}, 3, 0);
  write("numbers", {"1", "2"}, 3, 100);
  write("more", {"cat", "horse"}, 2, 200);
  write("one", {"dog"}, 2, 300);
  EXPECT_EQ(
      refusal([&] { OnlineKnn(open("train"), open("numbers"), testing::eval_view(), find_protocol("knn", "dino")); }),
      "none of the test classes 1, 2 is among the training classes cat, dog; classes are matched by name: give the "
      "folders "
      "of test images the names of the training folders");
  EXPECT_EQ(OnlineKnn(open("train"), open("more"), testing::eval_view(), find_protocol("knn", "dino")).warnings(),
            std::vector<std::string>{
                "2 of 4 test images belong to classes without training images (horse) and count as wrong"});
  EXPECT_TRUE(
      OnlineKnn(open("train"), open("one"), testing::eval_view(), find_protocol("knn", "dino")).warnings().empty());
  folder_.write_image("plain/1.png");
  EXPECT_NE(refusal([&] {
              OnlineKnn(open("train"), open("plain"), testing::eval_view(), find_protocol("knn", "dino"));
            }).find(folder_ / "plain"),
            std::string::npos)
      << "the folder is named";
}

}  // namespace
}  // namespace unlabel::eval
