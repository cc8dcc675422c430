#include <unlabel/augment/error.h>
#include <unlabel/data/check.h>

#include "temp_folder.h"
#include <gtest/gtest.h>

#include <cstdlib>
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
    EXPECT_EQ(report.ok, 22);
    const auto broken = by_path(report.broken), refused = by_path(report.refused);
    ASSERT_EQ(broken.size(), 4u);
    EXPECT_NE(broken.at("dog/cut.jpg").find("truncated"), std::string::npos);
    EXPECT_NE(broken.at("dog/text.png").find("not an image"), std::string::npos);
    EXPECT_NE(broken.at("dog/empty.png").find("empty"), std::string::npos);
    EXPECT_NE(broken.at("dead.png").find("No such file"), std::string::npos);
    ASSERT_EQ(refused.size(), 3u);
    EXPECT_NE(refused.at("large.png").find("40 x 30 pixels, more than 1000"), std::string::npos);
    EXPECT_NE(refused.at("notes.txt").find("not an image"), std::string::npos);
    EXPECT_NE(refused.at("empty.txt").find("empty"), std::string::npos);
    for (std::size_t i = 1; i < report.broken.size(); ++i) EXPECT_LT(report.broken[i - 1].path, report.broken[i].path);
  }
  EXPECT_THROWS_WITH(check_data(folder / "nowhere"), UsageError, "there is no folder");
  EXPECT_THROWS_WITH(check_data(folder.path(), {.threads = 0}), UsageError, "at least 1");
}

TEST(Check, RefusesAHugeFileUnread) {
  const TempFolder folder;
  folder.write_image("a.png");
  folder.write("huge.jpg", std::string_view("\xff\xd8\xff"));
  fs::resize_file(folder / "huge.jpg", (std::uintmax_t{1} << 40));  // sparse
  const auto report = check_data(folder.path());
  EXPECT_EQ(report.ok, 1);
  ASSERT_EQ(report.refused.size(), 1u);
  EXPECT_EQ(report.refused[0].path, "huge.jpg");
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

// Real odd and broken files with Pillow's verdict: $UNLABEL_DATA/robust. Single exceptions are listed with the decoder's test.
TEST(CiCheckRobust, EveryFileGetsAVerdict) {
  const char* data = std::getenv("UNLABEL_DATA");
  const std::string folder = std::string(data ? data : "") + "/robust";
  std::ifstream manifest(folder + "/manifest.tsv");
  if (!data || !manifest) GTEST_SKIP() << "set UNLABEL_DATA to a folder that holds robust/manifest.tsv";
  std::set<std::string> decodable;
  std::string line;
  std::int64_t files = 1 + fs::exists(folder + "/.done");  // the manifest, and what unpacking may leave
  std::getline(manifest, line);
  while (std::getline(manifest, line)) {
    std::vector<std::string> columns;
    std::istringstream fields(line);
    for (std::string field; std::getline(fields, field, '\t');) columns.push_back(field);
    if (!fs::is_regular_file(folder + "/" + columns[0])) continue;
    ++files;
    if (columns[3] == "ok") decodable.insert(columns[0]);
  }
  const auto report = check_data(folder, {.threads = 3});
  EXPECT_EQ(report.files, files);
  EXPECT_EQ(report.ok + static_cast<std::int64_t>(report.broken.size() + report.refused.size()), files);
  EXPECT_NEAR(static_cast<double>(report.ok), static_cast<double>(decodable.size()), 17);
}

}  // namespace
}  // namespace unlabel::data
