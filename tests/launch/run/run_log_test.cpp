#include <unlabel/augment/error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/launch/checkpoint/save_interval.h>
#include <unlabel/launch/run/event_file.h>
#include <unlabel/launch/run/run_folder.h>
#include <unlabel/launch/run/run_log.h>

#include "data/temp_folder.h"
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

namespace unlabel::launch {
namespace {

namespace fs = std::filesystem;
using data::TempFolder;

std::vector<nlohmann::json> lines_of(const std::string& path) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(data::read_text_file(path));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

TEST(RunFolder, IsHeldByOneProcess) {
  const TempFolder folder;
  {
    RunFolder first(folder / "run", 0);
    EXPECT_THROWS_WITH(RunFolder(folder / "run", 0), UsageError, "in use by another run (process ");
  }
  RunFolder again(folder / "run", 0);
  EXPECT_THROW(RunFolder(folder / "huge", std::numeric_limits<std::int64_t>::max()), UsageError);
  EXPECT_FALSE(fs::exists(folder / "huge"));
  data::write_file(folder / "file", "x");
  EXPECT_THROW(RunFolder(folder / "file/run", 0), UsageError);
}

TEST(JsonLines, CutsWhatCameAfterACheckpoint) {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  JsonLines::cut(path, "step", 3);  // nothing there: nothing to do
  EXPECT_TRUE(JsonLines::last(path).is_null());
  {
    JsonLines lines(path);
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(lines.append({{"step", i}, {"loss", 0.5}}));
  }
  data::write_file(path, data::read_text_file(path) + R"({"step": 6, "lo)");  // killed while it wrote
  EXPECT_EQ(JsonLines::last(path), (nlohmann::json{{"step", 5}, {"loss", 0.5}})) << "the last that is whole";
  JsonLines::cut(path, "step", 4);
  EXPECT_EQ(JsonLines::last(path), (nlohmann::json{{"step", 3}, {"loss", 0.5}}));
  EXPECT_EQ(lines_of(path).size(), 4u);
  JsonLines lines(path);
  ASSERT_TRUE(lines.append({{"step", 4}}));
  EXPECT_EQ(lines_of(path).back().at("step"), 4);
}

TEST(JsonLines, CutsALongLogFromItsEnd) {
  const TempFolder folder;
  const std::string path = folder / "metrics.jsonl";
  {
    JsonLines lines(path);
    // Lines of all lengths up to two pieces of those in which the file is read.
    for (int i = 0; i < 40; ++i)
      ASSERT_TRUE(lines.append({{"step", i}, {"text", std::string(static_cast<std::size_t>(i) * 3400, 'x')}}));
  }
  for (const int limit : {40, 39, 20, 3, 1}) {
    JsonLines::cut(path, "step", limit);
    const auto lines = lines_of(path);
    ASSERT_EQ(lines.size(), static_cast<std::size_t>(limit));
    EXPECT_EQ(lines.back().at("step"), limit - 1);
  }
  // What is damaged long before the end costs nothing but itself.
  data::write_file(path, "{\"step\": 0}\ngarbage\n{\"step\": 2}\n{\"step\": 3}\n\n");
  JsonLines::cut(path, "step", 3);
  EXPECT_EQ(JsonLines::last(path).at("step"), 2);
  JsonLines::cut(path, "step", 0);
  EXPECT_EQ(fs::file_size(path), 0u);
}

TEST(RunLog, GoesOnFromAnIteration) {
  const TempFolder folder;
  const RunFolder run(folder / "run", 0);
  {
    RunLog log(run, 0);
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(log.step({{"step", i}, {"loss", 1.0 / (i + 1)}}));
      ASSERT_TRUE(log.replaced({{"step", i}, {"index", 7}}));
    }
    ASSERT_TRUE(log.nonfinite({{"step", 4}}));
    log.flush();
  }
  RunLog log(run, 3);
  ASSERT_TRUE(log.step({{"step", 3}, {"loss", 9}}));
  EXPECT_EQ(lines_of(run.file("metrics.jsonl")).size(), 4u);
  EXPECT_EQ(lines_of(run.file("metrics.jsonl")).back().at("loss"), 9);
  EXPECT_EQ(lines_of(run.file("replaced.jsonl")).size(), 3u);
  EXPECT_EQ(lines_of(run.file("nonfinite.jsonl")).size(), 0u);
}

TEST(EventFile, ChecksumIsThatOfTheRfc) {
  // RFC 3720, appendix B.4.
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string rising;
  for (int i = 0; i < 32; ++i) rising.push_back(static_cast<char>(i));
  EXPECT_EQ(crc32c(rising), 0x46dd794eu);
}

TEST(EventFile, AFullDiskLeavesWholeRecords) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a small disk";
  const TempFolder folder;
  fs::create_directories(folder / "disk");
  if (::mount("tmpfs", (folder / "disk").c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "cannot mount a small disk here";
  {
    EventFile events(folder / "disk", 0);
    const auto path = fs::directory_iterator(folder / "disk")->path();
    const auto empty = fs::file_size(path);
    ASSERT_TRUE(events.append(0, {{"loss", 0.25}}));
    const auto record = fs::file_size(path) - empty;
    std::int64_t step = 1;
    while (step < 10000 && events.append(step, {{"loss", 0.25}})) ++step;
    ASSERT_LT(step, 10000) << "the disk was full";
    // Steps above 127 take a byte more.
    EXPECT_GE(fs::file_size(path), empty + record * static_cast<std::uintmax_t>(step));
    const auto before = fs::file_size(path);
    EXPECT_FALSE(events.append(step, {{"loss", 0.25}}));
    EXPECT_EQ(fs::file_size(path), before) << "no part of it";
  }
  ::umount((folder / "disk").c_str());
}

TEST(EventFile, HoldsScalarsByName) {
  EXPECT_THROW(EventFile("/nowhere/at/all", 0), Error);
  const TempFolder folder;
  EventFile events(folder.path(), 12);
  ASSERT_TRUE(events.append(12, {{"loss", 0.25}, {"lr", 1e-3}}));
  const auto path = fs::directory_iterator(folder.path())->path();
  EXPECT_TRUE(path.filename().string().starts_with("events.out.tfevents.")) << path;
  const std::string bytes = data::read_text_file(path.string());
  EXPECT_NE(bytes.find("brain.Event:2"), std::string::npos);
  EXPECT_NE(bytes.find("loss"), std::string::npos);
}

TEST(SaveInterval, IsStepsOrMinutes) {
  const auto read = [](const nlohmann::json& json) { return read_save_interval(json); };
  EXPECT_EQ(read(500), (SaveInterval{500, 0}));
  EXPECT_EQ(read(0), (SaveInterval{0, 0}));
  EXPECT_EQ(read("20min"), (SaveInterval{0, 20}));
  EXPECT_EQ(read("0.5m"), (SaveInterval{0, 0.5}));
  for (const nlohmann::json& wrong :
       {nlohmann::json(-1), nlohmann::json("20"), nlohmann::json("min"), nlohmann::json("-3min"),
        nlohmann::json("0min"), nlohmann::json("xmin"), nlohmann::json("1e999min"), nlohmann::json(1.5),
        nlohmann::json(true), nlohmann::json(std::numeric_limits<std::uint64_t>::max())})
    EXPECT_EQ(read(wrong), std::nullopt) << wrong;
  for (const nlohmann::json& good : {nlohmann::json(500), nlohmann::json("20.0min"), nlohmann::json("0.5min")})
    EXPECT_EQ(nlohmann::json(good.get<SaveInterval>()), good);
}

}  // namespace
}  // namespace unlabel::launch
