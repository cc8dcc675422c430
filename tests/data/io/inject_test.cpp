#include "data/temp_folder.h"
#include "inject/faults.h"
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace unlabel::inject {
namespace {

namespace fs = std::filesystem;

TEST(Inject, FailsTheCallsThatARuleNames) {
  const data::TempFolder folder;
  folder.write("a", "one");
  folder.write("b", "two");
  const Faults faults({{"open", "/a", EIO, 1, 1}, {"rename", "/c", EXDEV}, {"readdir", folder.path(), ESTALE}});
  const auto opens = [&](const char* name) { return std::ifstream(folder / name).good(); };
  EXPECT_TRUE(opens("a")) << "the first call passes";
  EXPECT_FALSE(opens("a"));
  EXPECT_TRUE(opens("a")) << "only one fails";
  EXPECT_TRUE(opens("b"));
  EXPECT_EQ(faults.injected(0), 1);
  std::error_code error;
  fs::rename(folder / "b", folder / "c", error);
  EXPECT_EQ(error.value(), EXDEV);
  fs::rename(folder / "b", folder / "d", error);
  EXPECT_FALSE(error) << error.message();
  const fs::directory_iterator entries(folder.path(), error);
  EXPECT_EQ(error.value(), ESTALE);
}

TEST(Inject, KnowsTheFileOfADescriptorAndOfAFolder) {
  const data::TempFolder folder;
  folder.write("a", "one");
  std::string flag = folder / "flag";
  const Faults faults({{"read", "/a", EIO, 0, -1, 0, flag}, {"open", folder / "a", ENODEV, 1}});
  const int below = ::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY);
  const int file = ::openat(below, "a", O_RDONLY);
  ASSERT_GE(file, 0);
  char bytes[8];
  EXPECT_EQ(::pread(file, bytes, 3, 0), 3) << "without the flag";
  folder.write("flag", "");
  EXPECT_EQ(::read(file, bytes, 3), -1);
  EXPECT_EQ(errno, EIO);
  EXPECT_EQ(::openat(below, "a", O_RDONLY), -1);
  EXPECT_EQ(errno, ENODEV);
  ::close(file);
  ::close(below);
}

TEST(Inject, ReachesAProgramThatIsStarted) {
  const data::TempFolder folder;
  folder.write("a", "one");
  std::string command;
  for (const auto& [name, value] : variables({{"open", folder / "a", EIO, 1}, {"rename", "killed", kKill}}))
    command += name + "='" + value + "' ";
  const auto ends_with = [&](const std::string& arguments) { return std::system((command + arguments).c_str()); };
  EXPECT_EQ(ends_with("cat " + folder / "a" + " >/dev/null"), 0);
  EXPECT_EQ(ends_with("cat " + folder / "a" + " " + folder / "a" + " >/dev/null 2>&1") / 256, 1);
  EXPECT_EQ(ends_with("sh -c 'mv " + folder / "a" + " " + folder / "killed" + "; exit $?' 2>/dev/null") / 256,
            128 + SIGKILL);
}

}  // namespace
}  // namespace unlabel::inject
