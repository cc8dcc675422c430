#include <unlabel/augment/error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/data/image/tar.h>
#include <unlabel/data/io/files.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace unlabel::data {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> by_path(const std::vector<CheckedFile>& files) {
  std::map<std::string, std::string> reasons;
  for (const auto& file : files) reasons[file.path] = file.reason;
  return reasons;
}

TEST(Check, TellsWhatIsBrokenAndWhatIsNotTaken) {
  const TempFolder folder;
  for (int i = 0; i < 20; ++i)
    folder.write_image("cat/" + std::to_string(i) + ".png", 12, 10, static_cast<std::uint64_t>(i));
  folder.write_image("dog/no-extension.jpg");
  fs::rename(folder / "dog/no-extension.jpg", folder / "dog/no-extension");
  folder.write_image("dog/.hidden.jpg");
  folder.write_image("dog/cut.jpg");
  fs::resize_file(folder / "dog/cut.jpg", 200);
  folder.write("dog/text.png", std::string_view("not an image"));
  folder.write("dog/empty.png", std::string_view());
  folder.write("notes.txt", std::string_view("about these images"));
  folder.write("empty.txt", std::string_view());
  folder.write_image("large.png", 40, 30);
  fs::create_symlink("nowhere", folder / "dead.png");
  for (const int threads : {1, 4}) {
    const auto report = check_data(folder.path(), {.threads = threads, .decode = {.max_pixels = 1000}});
    EXPECT_EQ(report.files, 29);
    EXPECT_EQ(report.ok, 20);
    EXPECT_EQ(report.test, 0);
    const auto broken = by_path(report.broken), refused = by_path(report.refused);
    ASSERT_EQ(broken.size(), 5u);
    EXPECT_NE(broken.at("dog/cut.jpg").find("truncated"), std::string::npos);
    EXPECT_NE(broken.at("dog/text.png").find("not an image"), std::string::npos);
    EXPECT_NE(broken.at("dog/empty.png").find("empty"), std::string::npos);
    EXPECT_NE(broken.at("dead.png").find("No such file"), std::string::npos);
    EXPECT_NE(broken.at("large.png").find("40 x 30 pixels, more than max_pixels, 1000"), std::string::npos);
    ASSERT_EQ(refused.size(), 4u);
    EXPECT_EQ(refused.at("notes.txt"), "not an image, by its name");
    EXPECT_EQ(refused.at("empty.txt"), "not an image, by its name");
    EXPECT_NE(refused.at("dog/no-extension").find("a JPEG by its content"), std::string::npos);
    EXPECT_NE(refused.at("dog/.hidden.jpg").find("hidden"), std::string::npos);
    for (std::size_t i = 1; i < report.broken.size(); ++i) EXPECT_LT(report.broken[i - 1].path, report.broken[i].path);
  }
  EXPECT_THROWS_WITH(check_data(folder / "nowhere"), UsageError, "there is no folder");
  EXPECT_THROWS_WITH(check_data(folder.path(), {.threads = 0}), UsageError, "at least 1");
}

TEST(Check, TellsOfEveryFileWhereTestImagesCannotBeChosen) {
  const TempFolder folder;
  for (const char* image : {"train/a/0.png", "train/b/0.png", "test/bottle/train/0.png", "test/bottle/test/0.png"})
    folder.write_image(image);
  const auto report = check_data(folder.path(), {});
  EXPECT_EQ(report.files, 4);
  EXPECT_EQ(report.ok, 2);
  EXPECT_EQ(report.refused.size(), 2u);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("/test holds images for training and for testing further down, in 1 folder (bottle/)"),
            std::string::npos)
      << report.notes[0];
}

TEST(Check, TellsWhenSixteenBitImagesUseASmallPartOfTheirLevels) {
  const TempFolder folder;
  const auto write = [&](const std::string& name, std::uint8_t high) {
    const std::string bytes{static_cast<char>(high), 'x', 0, 0};
    folder.write(name, std::string_view("P5 2 1 65535\n" + bytes));
  };
  write("a/1.pgm", 9);
  write("a/2.pgm", 15);
  const auto said = [&](const CheckOptions& options) {
    const auto report = check_data(folder.path(), options);
    EXPECT_EQ(report.ok, report.files);
    return report.notes;
  };
  const auto notes = said({.threads = 2});
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("16-bit images use 1/16 of their levels or less"), std::string::npos) << notes[0];
  EXPECT_TRUE(said({.decode = {.range = {{0, 4095}}}}).empty());
  write("a/3.pgm", 200);  // one of them uses most of them
  EXPECT_TRUE(said({}).empty());
}

TEST(Check, AHugeFileIsBrokenUnread) {
  const TempFolder folder;
  folder.write_image("a.png");
  folder.write("huge.jpg", std::string_view("\xff\xd8\xff"));
  fs::resize_file(folder / "huge.jpg", (std::uintmax_t{1} << 40));  // sparse
  const auto report = check_data(folder.path());
  EXPECT_EQ(report.ok, 1);
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].path, "huge.jpg");
}

// What check counts as used is what the data set opens to, whatever the layout.
TEST(Check, AgreesWithWhatIsOpened) {
  const std::vector<std::vector<std::string>> layouts{
      {"alps/1.png", "alps/.2.png", "beach/3.jpe", "test/4.png", "val/5.png"},
      {"train/a/1.png", "train/b/2.jpg", "Valid/a/3.png", "unlabeled/4.png", "5.png"},
      {"bottle/train/1.png", "bottle/test/2.png", "bottle/mask/3.png", "@eaDir/4.png", "cable/5.png"},
      {"1.png", "2.jpe", "sub/3.jpg"},
      {"test/1.png", "test/2.png"},
      {"train/1.png", "train/Test/2.png", "val/train/3.png"}};
  for (const auto& files : layouts) {
    const TempFolder folder;
    for (const auto& name : files) {
      folder.write_image("image.png", 8, 8);
      fs::create_directories(fs::path(folder / name).parent_path());
      fs::rename(folder / "image.png", folder / name);
    }
    const auto report = check_data(folder.path());
    std::int64_t train = 0, test = 0;
    try {
      train = open_dataset(folder.path(), Split::kTrain)->size();
    } catch (const UsageError&) {  // none
    }
    if (has_test_images(folder.path())) test = open_dataset(folder.path(), Split::kTest)->size();
    EXPECT_EQ(report.files, static_cast<std::int64_t>(files.size())) << files[0];
    EXPECT_EQ(report.ok, train + test) << files[0];
    EXPECT_EQ(report.test, test) << files[0];
    EXPECT_EQ(report.ok + static_cast<std::int64_t>(report.refused.size()), report.files) << files[0];
    EXPECT_TRUE(report.broken.empty());
  }
}

TEST(Check, TheSameFileIsBrokenInAFolderAndInShards) {
  const TempFolder folder, shards;
  folder.write("a.jpg", "no image");
  folder.write("b.png", "");
  const auto of_folder = check_data(folder.path());
  std::string tar;
  for (const auto& [name, contents] : {std::pair("a.jpg", "no image"), std::pair("b.png", "")})
    tar.append(tar_header(name, std::strlen(contents))).append(contents).append(tar_padding(std::strlen(contents)));
  shards.write("0.tar", tar.append(tar_end()));
  const auto of_shards = check_data("shards:" + shards.path());
  for (const auto& report : {of_folder, of_shards}) {
    EXPECT_EQ(report.files, 2);
    EXPECT_EQ(report.ok, 0);
    EXPECT_EQ(report.broken.size(), 2u);
  }
}

TEST(Check, RefusesASpecWithoutSuchFiles) {
  const TempFolder folder;
  folder.write_image("a.png");
  for (const char* kind : {"cifar10:", "idx:", "shards:"})
    EXPECT_THROWS_WITH(check_data(kind + folder.path()), UsageError, folder.path());
}

TEST(Check, OpensTheFilesOfCifar) {
  const TempFolder folder;
  folder.write("data_batch_1.bin", std::string(3073 * 2, '\1'));
  folder.write("test_batch.bin", std::string(3073 * 2, '\1'));
  auto report = check_data("cifar10:" + folder.path());
  EXPECT_EQ(report.files, 2);
  EXPECT_EQ(report.ok, 2);
  folder.write("test_batch.bin", std::string(3000, '\1'));
  report = check_data("cifar10:" + folder.path());
  EXPECT_EQ(report.ok, 1);
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_NE(report.broken[0].reason.find("test_batch.bin has 3000 bytes"), std::string::npos);
}

TEST(Check, TellsAFolderThatMayNotBeReadWhereItIsNoneOfTheData) {
  const TempFolder folder;
  for (const char* name : {"train/a/1.png", "train/b/2.png", "val/a/3.png", "more/4.png", "lost+found/5.png",
                           ".Trash-0/6.png", "train/a/.cache/7.png"})
    folder.write_image(name);
  const std::vector<std::string> closed{".Trash-0/", "lost+found/", "more/", "train/a/.cache/"};
  {
    const inject::Faults faults({{"open", "/.Trash-0", EACCES},
                                 {"open", "/lost+found", EACCES},
                                 {"open", "/more", EACCES},
                                 {"open", "/.cache", EACCES}});
    const auto report = check_data(folder.path());
    EXPECT_EQ(report.ok, 3);
    EXPECT_EQ(report.files, 7);
    std::vector<std::string> refused;
    for (const auto& [path, reason] : report.refused) {
      refused.push_back(path);
      EXPECT_NE(reason.find("may not be read"), std::string::npos) << reason;
    }
    EXPECT_EQ(refused, closed);
  }
  const inject::Faults faults({{"open", "/train/a", EACCES}});
  EXPECT_THROWS_WITH(check_data(folder.path()), ForbiddenFolder, "train/a");
}

TEST(Check, NamesAFormatByItsContent) {
  const TempFolder folder;
  folder.write_image("1.png");
  folder.write("a.dat", std::string("\0\0\0\x1c"
                                    "ftypmsf1",
                                    12) +
                            std::string(300, 'x'));
  folder.write("b.dat", "GIF89a" + std::string(300, 'x'));
  folder.write("c.dat", "<!DOCTYPE html>" + std::string(300, 'x'));
  const auto refused = by_path(check_data(folder.path()).refused);
  EXPECT_EQ(refused.at("a.dat"),
            "not an image by its name, but a HEIF sequence by its content: its format is not read; convert it to JPEG "
            "or PNG");
  EXPECT_NE(refused.at("b.dat").find("a GIF by its content"), std::string::npos);
  EXPECT_EQ(refused.at("c.dat"), "not an image, by its name");
}

TEST(Check, ListsDamagedArchivesInTheOrderOfThePaths) {
  const TempFolder folder;
  folder.write("0.tar", "no archive");
  folder.write("1.tar", tar_header("1.png", 1) + "x" + std::string(tar_padding(1)) + std::string(tar_end()));
  const auto broken = check_data("shards:" + folder.path()).broken;
  ASSERT_EQ(broken.size(), 2u);
  EXPECT_EQ(broken[0].path, "0.tar");
  EXPECT_EQ(broken[1].path, "1.tar:1.png");
}

TEST(Check, GoesOnAfterADamagedArchive) {
  const TempFolder images, packed;
  for (int i = 0; i < 6; ++i) images.write_image(concat("img", i, ".png"), 20, 20, static_cast<std::uint64_t>(i));
  const auto paths =
      write_shards(*open_dataset(images.path(), Split::kTrain), packed.path(), "images", {.shard_bytes = 8192});
  ASSERT_GT(paths.size(), 2u);
  const auto whole = check_data("shards:" + packed.path());
  EXPECT_EQ(whole.files, 6);
  EXPECT_EQ(whole.ok, 6);
  fs::resize_file(paths[1], 700);
  const auto report = check_data("shards:" + packed.path());
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].path, fs::path(paths[1]).filename());
  EXPECT_LT(report.ok, 6);
  EXPECT_GT(report.ok, 0);
  EXPECT_EQ(report.files, report.ok + 1);
  for (const auto& path : paths) fs::resize_file(path, 700);
  EXPECT_EQ(check_data("shards:" + packed.path()).broken.size(), paths.size());
}

// Real odd and broken files with Pillow's verdict: $UNLABEL_DATA/robust. Single exceptions are listed with the decoder's test.
TEST(CiCheckRobust, EveryFileGetsItsVerdict) {
  const char* data = std::getenv("UNLABEL_DATA");
  const std::string folder = std::string(data ? data : "") + "/robust";
  std::ifstream manifest(folder + "/manifest.tsv");
  if (!data || !manifest) GTEST_SKIP() << "set UNLABEL_DATA to a folder that holds robust/manifest.tsv";
  const auto rows = [](std::istream& file) {
    std::vector<std::vector<std::string>> all;
    std::string line;
    std::getline(file, line);  // names of the columns
    while (std::getline(file, line)) {
      std::istringstream fields(line);
      auto& columns = all.emplace_back();
      for (std::string field; std::getline(fields, field, '\t');) columns.push_back(field);
    }
    return all;
  };
  std::set<std::string> expected{"manifest.tsv"};               // what cannot be used
  if (fs::exists(folder + "/.done")) expected.insert(".done");  // what unpacking may leave
  std::int64_t files = static_cast<std::int64_t>(expected.size());
  for (const auto& row : rows(manifest)) {
    if (!fs::is_regular_file(folder + "/" + row[0])) continue;
    ++files;
    if (row[3] != "ok") expected.insert(row[0]);
  }
  std::ifstream exceptions(UNLABEL_SOURCE_DIR "/tests/augment/codec/robust_exceptions.tsv");
  for (const auto& row : rows(exceptions)) {
    if (row[1] == "decoded") {
      expected.erase(row[0]);
    } else {
      expected.insert(row[0]);
    }
  }
  const auto report = check_data(folder, {.threads = 3});
  EXPECT_EQ(report.files, files);
  std::set<std::string> found;
  for (const auto* list : {&report.broken, &report.refused})
    for (const auto& file : *list) EXPECT_TRUE(found.insert(file.path).second) << file.path;
  EXPECT_EQ(report.ok + static_cast<std::int64_t>(found.size()), files);
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace unlabel::data
