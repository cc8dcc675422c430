#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>

#include "temp_folder.h"
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <string>

namespace unlabel::data {
namespace {

TEST(AtomicFile, ReplacesAFileOnCommitOnly) {
  const TempFolder folder;
  const auto path = folder / "a.txt";
  write_file(path, "old");
  {
    AtomicFile file(path), other(path);
    file.write("new");
    EXPECT_EQ(read_text_file(path), "old");
  }
  EXPECT_EQ(read_text_file(path), "old");
  write_file(path, std::string(200000, 'x'));
  EXPECT_EQ(read_text_file(path), std::string(200000, 'x'));
  write_file(path, "");
  EXPECT_EQ(read_text_file(path), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, HasThePermissionsOfAPlainNewFile) {
  const TempFolder folder;
  for (const mode_t mask : {0022, 0077, 0002}) {
    const mode_t before = umask(mask);
    write_file(folder / "a.txt", "x");
    umask(before);
    struct stat status {};
    ASSERT_EQ(stat((folder / "a.txt").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0666 & ~mask);
  }
}

TEST(AtomicFile, SaysWhatCannotBeReadOrWritten) {
  const TempFolder folder;
  EXPECT_THROWS_WITH(read_text_file(folder.path()), Error, "cannot read " + folder.path() + ": Is a directory");
  EXPECT_THROWS_WITH(read_text_file(folder / "none"), Error, "none: No such file");
  EXPECT_THROWS_WITH(write_file(folder / "none/a.txt", "x"), Error, "a.txt: No such file");
}

}  // namespace
}  // namespace unlabel::data
