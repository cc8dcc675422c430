#include <unlabel/augment/error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/shards.h>
#include <unlabel/data/tar.h>

#include "temp_folder.h"
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::data {
namespace {

namespace fs = std::filesystem;

std::string archive_of(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string bytes;
  for (const auto& [name, contents] : members)
    bytes.append(tar_header(name, contents.size())).append(contents).append(tar_padding(contents.size()));
  return bytes.append(tar_end());
}

std::string bytes_at(const Dataset& dataset, std::int64_t index) {
  augment::Source source;
  dataset.read(index, source);
  return {source.bytes.begin(), source.bytes.end()};
}

TEST(Shards, FollowWebDatasetsConvention) {
  const TempFolder folder;
  folder.write("set-train-000001.tar", archive_of({{"c/30.json", "{}"}, {"c/30.PNG", "thirty"}, {"c/30.cls", "2"}}));
  folder.write("set-train-000000.tar", archive_of({{"a/1.cls", "0\n"},
                                                   {"a/1.jpg", "one"},
                                                   {"a/1.seg.png", "a mask"},
                                                   {"a/1.txt", "words"},
                                                   {"a/2.txt", "no image"},
                                                   {"b.d/3.webp", "three"},
                                                   {"b.d/3.cls", "1"}}));
  folder.write("set-val-000000.tar", archive_of({{"x.jpg", "x"}, {"x.cls", "1"}}));
  const auto train = open_dataset("shards:" + folder.path(), Split::kTrain);
  ASSERT_EQ(train->size(), 3);
  EXPECT_EQ(bytes_at(*train, 2), "thirty");
  EXPECT_EQ(bytes_at(*train, 0), "one");
  EXPECT_EQ(bytes_at(*train, 1), "three");
  EXPECT_EQ(train->label(0), 0);
  EXPECT_EQ(train->label(1), 1);
  EXPECT_EQ(train->label(2), 2);
  EXPECT_EQ(train->class_names(), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(train->name(1), "set-train-000000.tar:b.d/3.webp");
  EXPECT_NE(train->description().find("2 shards in "), std::string::npos) << train->description();
  augment::Source source;
  train->read_start(0, 2, source);
  EXPECT_EQ(source.bytes.size(), 2u);
  EXPECT_THROW(train->read(3, source), UsageError);

  const auto test = open_dataset("shards:" + folder.path(), Split::kTest);
  EXPECT_EQ(test->size(), 1);
  EXPECT_TRUE(has_test_images("shards:" + folder.path()));
  EXPECT_NE(test->fingerprint(), train->fingerprint());
  folder.write("classes.txt", std::string_view("cat\ndog\nfish\n"));
  EXPECT_EQ(open_shards(folder.path(), Split::kTrain)->class_names(), (std::vector<std::string>{"cat", "dog", "fish"}));
  folder.write("classes.txt", std::string_view("cat\n"));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "a sample is of 2");
}

TEST(Shards, WithoutAClassForEachThereAreNoLabels) {
  const TempFolder folder;
  folder.write("train/0.tar", archive_of({{"a.jpg", "a"}, {"a.cls", "1"}, {"b.jpg", "b"}}));
  const auto images = open_shards(folder.path(), Split::kTrain);
  EXPECT_EQ(images->size(), 2);
  EXPECT_EQ(images->label(0), -1);
  EXPECT_TRUE(images->class_names().empty());
  EXPECT_FALSE(has_test_images("shards:" + folder.path()));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTest), UsageError, "no test archives in");
}

TEST(Shards, DamageIsNamed) {
  const TempFolder folder;
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "unlabel pack makes some");
  const auto good = archive_of({{"a.jpg", "a"}, {"b.jpg", std::string(5000, 'b')}});
  folder.write("0.tar", std::string_view(good).substr(0, 3000));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError,
                     "0.tar: a file is longer than what is left");
  for (const char* wrong : {"x", "-1", "1.5", "99999999999", "1000000", ""}) {
    folder.write("0.tar", archive_of({{"a.jpg", "a"}, {"a.cls", wrong}}));
    EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "which is no class");
  }
  folder.write("0.tar", archive_of({{"a.txt", "a"}}));
  EXPECT_THROWS_WITH(open_shards(folder.path(), Split::kTrain), UsageError, "no images in the archives");
  // An archive that shrinks while it is used.
  folder.write("0.tar", std::string_view(good));
  const auto images = open_shards(folder.path(), Split::kTrain);
  fs::resize_file(folder / "0.tar", 2000);
  augment::Source source;
  EXPECT_THROWS_WITH(images->read(1, source), Error, "the archive has changed");
}

TEST(Shards, PackedImagesAreTheSame) {
  const TempFolder folder;
  std::map<std::string, std::string> packed;  // contents to class
  for (int i = 0; i < 30; ++i) {
    const std::string name = std::string(i % 3 == 0 ? "cat" : "dog") + "/odd name " + std::to_string(i) + ".x.png";
    folder.write_image("in/train/" + name, 12, 10, static_cast<std::uint64_t>(i));
  }
  const auto images = open_dataset(folder / "in", Split::kTrain);
  const auto paths = write_shards(*images, folder / "out", "train", {.shard_bytes = 20000, .shuffle = true, .seed = 4});
  EXPECT_GT(paths.size(), 2u);
  for (const auto& path : paths) EXPECT_LE(fs::file_size(path), 20000u);
  const auto shards = open_dataset("shards:" + (folder / "out"), Split::kTrain);
  ASSERT_EQ(shards->size(), images->size());
  EXPECT_EQ(shards->class_names(), images->class_names());
  const auto pairs = [](const Dataset& dataset) {
    std::vector<std::pair<std::string, std::int64_t>> all;
    for (std::int64_t i = 0; i < dataset.size(); ++i) all.emplace_back(bytes_at(dataset, i), dataset.label(i));
    return all;
  };
  auto before = pairs(*images), after = pairs(*shards);
  EXPECT_NE(before, after) << "shuffled";
  std::ranges::sort(before);
  std::ranges::sort(after);
  EXPECT_EQ(before, after);
  write_shards(*images, folder / "again", "train", {.shard_bytes = 20000, .shuffle = true, .seed = 4});
  const auto read_back = [](const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  EXPECT_EQ(read_back(folder / "again/train-000001.tar"), read_back(folder / "out/train-000001.tar"));
  write_shards(*images, folder / "plain", "train", {.shuffle = false});
  EXPECT_EQ(pairs(*open_shards(folder / "plain", Split::kTrain)), pairs(*images));

  auto report = check_data("shards:" + (folder / "out"), {.threads = 3});
  EXPECT_EQ(report.files, 30);
  EXPECT_EQ(report.ok, 30);
  folder.write("bad/train-0.tar",
               archive_of({{"a.jpg", "none"}, {"b.png", read_back(folder / "in/train/cat/odd name 0.x.png")}}));
  report = check_data("shards:" + (folder / "bad"));
  EXPECT_EQ(report.ok, 1);
  EXPECT_EQ(report.refused.size() + report.broken.size(), 1u);
}

TEST(Shards, PixelsArePackedAsPng) {
  const TempFolder folder;
  std::string records;
  for (int i = 0; i < 4; ++i)
    records += std::string(1, static_cast<char>(i)) + std::string(3072, static_cast<char>(40 * i));
  folder.write("data_batch_1.bin", records);
  const auto cifar = open_dataset("cifar10:" + folder.path(), Split::kTrain);
  write_shards(*cifar, folder / "out", "train", {.shuffle = false});
  const auto shards = open_shards(folder / "out", Split::kTrain);
  ASSERT_EQ(shards->size(), 4);
  augment::Source from_cifar, from_shards;
  for (std::int64_t i = 0; i < 4; ++i) {
    cifar->read(i, from_cifar);
    shards->read(i, from_shards);
    EXPECT_EQ(cv::norm(augment::decode(from_shards), from_cifar.pixels, cv::NORM_INF), 0);
    EXPECT_EQ(shards->label(i), i);
  }
  EXPECT_EQ(shards->class_names(), cifar->class_names());
}

}  // namespace
}  // namespace unlabel::data
