#include <unlabel/augment/error.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>

#include "data/temp_folder.h"
#include "inject/faults.h"
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

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

mode_t permissions_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_mode & 0777;
}

TEST(AtomicFile, HasThePermissionsOfAPlainNewFile) {
  const TempFolder folder;
  for (const mode_t mask : {0022, 0077, 0002}) {
    const mode_t before = umask(mask);
    write_file(folder / "a.txt", "x");
    umask(before);
    EXPECT_EQ(permissions_of(folder / "a.txt"), 0666 & ~mask);
    std::filesystem::remove(folder / "a.txt");
  }
}

TEST(AtomicFile, KeepsThePermissionsOfWhatItReplaces) {
  const TempFolder folder;
  for (const mode_t mode : {0600, 0640, 0666}) {
    folder.write("a.txt", "old");
    ASSERT_EQ(chmod((folder / "a.txt").c_str(), mode), 0);
    write_file(folder / "a.txt", "new");
    EXPECT_EQ(permissions_of(folder / "a.txt"), mode);
    EXPECT_EQ(read_text_file(folder / "a.txt"), "new");
  }
}

/// The permissions of the temporary file beside `path`.
mode_t permissions_while_written(const std::string& path) {
  const AtomicFile file(path);
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(path).parent_path()))
    if (entry.path().string().find(".tmp-") != std::string::npos) return permissions_of(entry.path());
  return 07777;
}

TEST(AtomicFile, WhatReplacesAPrivateFileIsNeverOpenToOthers) {
  const TempFolder folder;
  const auto path = folder / "a.txt";
  write_file(path, "old");
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  const mode_t before = umask(0);
  {
    const inject::Faults faults({{"chmod", ".tmp-", EPERM}});  // as before that call, and where it fails
    EXPECT_EQ(permissions_while_written(path), 0600);
    EXPECT_EQ(faults.injected(), 1);
  }
  umask(before);
}

gid_t group_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(stat(path.c_str(), &status), 0) << path;
  return status.st_gid;
}

TEST(AtomicFile, KeepsTheGroupOrGivesItsMembersNoMoreThanOthers) {
  const TempFolder folder;
  const auto path = folder / "a.txt";
  for (const auto& [mode, cut] : {std::pair(0640, 0600), std::pair(0664, 0644), std::pair(0660, 0600)}) {
    folder.write("a.txt", "old");
    if (::chown(path.c_str(), static_cast<uid_t>(-1), ::getegid() + 1) != 0)
      GTEST_SKIP() << "files cannot be given to another group here";
    ASSERT_EQ(chmod(path.c_str(), static_cast<mode_t>(mode)), 0);
    write_file(path, "new");
    EXPECT_EQ(permissions_of(path), static_cast<mode_t>(mode));
    EXPECT_EQ(group_of(path), ::getegid() + 1);
    const inject::Faults faults({{"chown", ".tmp-", EPERM}});
    write_file(path, "newer");
    EXPECT_EQ(faults.injected(), 1);
    EXPECT_EQ(group_of(path), ::getegid());
    EXPECT_EQ(permissions_of(path), static_cast<mode_t>(cut));
    std::filesystem::remove(path);
  }
}

/// Entries of a POSIX access control list as its attribute holds them: the owner and user 12345 read and write, the owning group and others
/// do not, so that the group's bits of the mode (the mask) say more than the group may.
std::string access_list() {
  std::string bytes{2, 0, 0, 0};
  const auto add = [&](char tag, char rights, std::uint32_t id) {
    bytes += {tag, 0, rights, 0};
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(id >> shift);
  };
  constexpr std::uint32_t kNobody = 0xffffffff;
  add(0x01, 6, kNobody);
  add(0x02, 6, 12345);
  add(0x04, 0, kNobody);
  add(0x10, 6, kNobody);
  add(0x20, 0, kNobody);
  return bytes;
}

std::string access_list_of(const std::string& path) {
  std::array<char, 1024> list{};
  const auto size = ::getxattr(path.c_str(), "system.posix_acl_access", list.data(), list.size());
  return size < 0 ? "" : std::string(list.data(), static_cast<std::size_t>(size));
}

TEST(AtomicFile, KeepsTheAccessListAndTakesNoneOfTheFolder) {
  const TempFolder folder;
  const auto path = folder / "a.txt";
  const auto list = access_list();
  write_file(path, "old");
  if (::setxattr(path.c_str(), "system.posix_acl_access", list.data(), list.size(), 0) != 0)
    GTEST_SKIP() << "there are no access control lists here: " << reason_of(errno);
  EXPECT_EQ(permissions_of(path), 0660) << "the mask";
  write_file(path, "new");
  EXPECT_EQ(access_list_of(path), list);
  if (::chown(path.c_str(), static_cast<uid_t>(-1), ::getegid() + 1) == 0) {
    const inject::Faults faults({{"chown", ".tmp-", EPERM}});  // where it cannot have the group
    write_file(path, "newer");
    EXPECT_EQ(faults.injected(), 1);
    EXPECT_EQ(access_list_of(path), "");
    EXPECT_EQ(permissions_of(path), 0600);
  }
  // New files of the folder would grant user 12345 what their mode grants the group.
  const auto plain = folder / "plain.txt";
  write_file(plain, "old");
  ASSERT_EQ(chmod(plain.c_str(), 0660), 0);
  ASSERT_EQ(::setxattr(folder.path().c_str(), "system.posix_acl_default", list.data(), list.size(), 0), 0);
  write_file(plain, "new");
  EXPECT_EQ(access_list_of(plain), "");
  EXPECT_EQ(permissions_of(plain), 0660);
  write_file(folder / "b.txt", "as any new file");
  EXPECT_NE(access_list_of(folder / "b.txt"), "");
}

TEST(AtomicFile, SaysWhatCannotBeWritten) {
  const TempFolder folder;
  EXPECT_THROWS_WITH(write_file(folder / "none/a.txt", "x"), Error, "a.txt: No such file");
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

TEST(AtomicFile, WritesIntoWhatIsNoRegularFile) {
  const TempFolder folder;
  const auto pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  std::string arrived;
  std::thread reader([&] { arrived = read_text_file(pipe); });
  require_writable(folder / "pipe");
  write_file(pipe, "through it");
  reader.join();
  EXPECT_EQ(arrived, "through it");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"pipe"});
}

TEST(AtomicFile, LeavesADeviceADevice) {
  const TempFolder folder;
  const auto null = folder / "null";
  if (mknod(null.c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) GTEST_SKIP() << "cannot make a device node here";
  if (FileDescriptor(::open(null.c_str(), O_WRONLY | O_CLOEXEC)).get() < 0)
    GTEST_SKIP() << "devices cannot be opened here: " << std::strerror(errno);
  require_writable(null);
  write_file(null, "x");
  EXPECT_TRUE(std::filesystem::is_character_file(null));
}

TEST(AtomicFile, WritesIntoAnOpenFileOfTheProcessAtItsPlace) {
  const TempFolder folder;
  const FileDescriptor open_file(::open((folder / "out").c_str(), O_WRONLY | O_CREAT, 0600));
  ASSERT_EQ(::write(open_file.get(), "before ", 7), 7);
  for (const auto* parent : {"/dev/fd/", "/proc/self/fd/"}) {
    const auto path = parent + std::to_string(open_file.get());
    require_writable(path);
    write_file(path, "this ");
  }
  std::filesystem::create_symlink("/dev/fd/" + std::to_string(open_file.get()), folder / "link");
  write_file(folder / "link", "and that ");
  ASSERT_EQ(::write(open_file.get(), "after", 5), 5);
  EXPECT_EQ(read_text_file(folder / "out"), "before this this and that after");
  EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"link", "out"}));
  EXPECT_THROWS_WITH(require_writable("/dev/fd/987"), Error, "No such file");
  const FileDescriptor only_read(::open((folder / "out").c_str(), O_RDONLY));
  EXPECT_THROWS_WITH(require_writable("/dev/fd/" + std::to_string(only_read.get())), Error, "Bad file descriptor");
}

TEST(AtomicFile, WaitsForAPipeThatIsOpenedNotToWait) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
  const FileDescriptor out(ends[0]);
  FileDescriptor in(ends[1]);
  std::size_t arrived = 0;
  std::thread reader([&] {
    std::vector<char> piece(4096);
    while (true) {
      const auto count = ::read(out.get(), piece.data(), piece.size());
      if (count == 0) break;
      if (count > 0) arrived += static_cast<std::size_t>(count);
      if (count < 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const std::string text(300'000, 'x');
  EXPECT_NO_THROW(write_file("/dev/fd/" + std::to_string(in.get()), text));
  in = FileDescriptor();
  reader.join();
  EXPECT_EQ(arrived, text.size());
}

TEST(AtomicFile, FollowsALinkAndKeepsIt) {
  const TempFolder folder;
  folder.write("real/a", "old");
  std::filesystem::create_symlink("real/a", folder / "one");
  std::filesystem::create_symlink(folder / "one", folder / "two");
  std::filesystem::create_symlink("real/new", folder / "dangling");
  std::filesystem::create_symlink("loop", folder / "loop");
  write_file(folder / "two", "new");
  write_file(folder / "dangling", "made");
  EXPECT_EQ(read_text_file(folder / "real/a"), "new");
  EXPECT_EQ(read_text_file(folder / "real/new"), "made");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "one"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "two"));
  EXPECT_EQ(names_in(folder / "real"), (std::vector<std::string>{"a", "new"}));
  EXPECT_THROWS_WITH(write_file(folder / "loop", "x"), Error, "symbolic links");
}

TEST(AtomicFile, TakesTheLongestNames) {
  const TempFolder folder;
  const auto path = folder / std::string(255, 'n');
  require_writable(path);
  write_file(path, "x");
  EXPECT_EQ(read_text_file(path), "x");
  EXPECT_THROWS_WITH(require_writable(folder / std::string(256, 'n')), Error, "too long");
}

TEST(AtomicFile, SaysAtOnceWhatCannotBeWritten) {
  const TempFolder folder;
  folder.write("file", "x");
  EXPECT_THROWS_WITH(require_writable(folder.path()), Error, "directory");
  EXPECT_THROWS_WITH(require_writable(folder / "none/a"), Error, "No such file");
  EXPECT_THROWS_WITH(require_writable(folder / "file/a"), Error, "Not a directory");
  require_writable(folder / "file");
  require_writable(folder / "new");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"file"});
  const inject::Faults faults({{"open", folder / "new", EROFS}, {"open", folder / "file", EIO}});
  EXPECT_THROWS_WITH(require_writable(folder / "new"), Error, "Read-only");
  EXPECT_THROW(require_writable(folder / "file"), IoError);
}

/// Does `act` in a process of its own, in which a file is mounted over `path`. Returns why that cannot be done here; empty: it was.
std::string with_a_mount(const std::string& path, const std::string& source, const std::function<void()>& act) {
  constexpr int kCannot = 77;
  const pid_t child = ::fork();
  if (child == 0) {
    if ((::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(source.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0)
      ::_exit(kCannot);
    try {
      act();
    } catch (...) {  // would run all other tests here too
      ::_exit(1);
    }
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kCannot) return "no file can be mounted in a namespace here";
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  return "";
}

TEST(AtomicFile, AFileThatIsMountedIsWrittenInto) {
  const TempFolder folder;
  folder.write("source", "old and longer");
  folder.write("in/mounted", "below");
  const auto mounted = folder / "in/mounted";
  const auto cannot = with_a_mount(mounted, folder / "source", [&] {
    const inject::Faults faults({{"fsync", mounted, 0}});
    write_file(mounted, "new");
    EXPECT_EQ(faults.injected(), 2) << "of the temporary file and of the copy";
    EXPECT_EQ(read_text_file(mounted), "new");
  });
  if (!cannot.empty()) GTEST_SKIP() << cannot;
  EXPECT_EQ(read_text_file(folder / "source"), "new");
  EXPECT_EQ(names_in(folder / "in"), std::vector<std::string>{"mounted"});
}

TEST(AtomicFile, ACopyIntoAMountThatFailsLeavesTheWholeFile) {
  for (const char* call : {"write", "fsync"}) {
    const TempFolder folder;
    folder.write("source", "old");
    folder.write("in/mounted", "below");
    const auto mounted = folder / "in/mounted";
    const auto cannot = with_a_mount(mounted, folder / "source", [&] {
      const inject::Faults faults({{call, mounted, ENOSPC, 1}});  // the first is of the temporary file
      EXPECT_THROWS_WITH(write_file(mounted, "new"), Error,
                         "No space left on device; the whole file is " + mounted + ".tmp-");
    });
    if (!cannot.empty()) GTEST_SKIP() << cannot;
    const auto names = names_in(folder / "in");
    ASSERT_EQ(names.size(), 2u) << call;
    EXPECT_EQ(read_text_file(folder / ("in/" + names[1])), "new") << call;
  }
}

TEST(AtomicFile, ACopyIntoAMountThatCannotBeginLeavesTheOldFile) {
  const TempFolder folder;
  folder.write("source", "old");
  folder.write("in/mounted", "below");
  const auto mounted = folder / "in/mounted";
  const auto cannot = with_a_mount(mounted, folder / "source", [&] {
    const inject::Faults faults({{"open", ".tmp-", EMFILE, 1}});  // the first makes the temporary file
    EXPECT_THROWS_WITH(write_file(mounted, "new"), LimitError, "; the whole file is " + mounted + ".tmp-");
    EXPECT_EQ(faults.injected(), 1);
  });
  if (!cannot.empty()) GTEST_SKIP() << cannot;
  EXPECT_EQ(read_text_file(folder / "source"), "old");
  const auto names = names_in(folder / "in");
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(read_text_file(folder / ("in/" + names[1])), "new");
}

TEST(AtomicFile, AFileInUseIsNotWrittenInto) {
  const TempFolder folder;
  folder.write("used", "old");
  {
    const inject::Faults faults({{"rename", folder / "used", EBUSY}});
    EXPECT_THROWS_WITH(write_file(folder / "used", "new"), Error, "busy");
  }
  EXPECT_EQ(read_text_file(folder / "used"), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"used"});
}

TEST(AtomicFile, AFolderThatCannotBeFlushedLeavesNoSecondNames) {
  const TempFolder folder;
  for (const char* name : {"1/a", "2/b"}) folder.write(name, "old");
  {
    AtomicFile a(folder / "1/a"), b(folder / "2/b");
    for (auto* file : {&a, &b}) {
      file->write("new");
      file->flush();
    }
    const inject::Faults faults({{"fsync", folder / "1", EIO}});
    EXPECT_THROW(commit_all({&a, &b}), IoError);
    EXPECT_EQ(faults.injected(), 1);
  }
  for (const char* name : {"1/a", "2/b"}) EXPECT_EQ(read_text_file(folder / name), "new");
  EXPECT_EQ(names_in(folder / "1"), std::vector<std::string>{"a"});
  EXPECT_EQ(names_in(folder / "2"), std::vector<std::string>{"b"});
}

TEST(AtomicFile, AFailedWriteLeavesWhatWasThere) {
  for (const char* call : {"open", "write", "fsync", "rename"}) {
    const TempFolder folder;
    folder.write("a", "old");
    {
      const inject::Faults faults({{call, folder.path(), ENOSPC, 0, 1}});
      EXPECT_THROW(write_file(folder / "a", "new"), Error) << call;
      EXPECT_EQ(faults.injected(), 1) << call;
    }
    EXPECT_EQ(read_text_file(folder / "a"), "old") << call;
    EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"a"}) << call;
  }
}

TEST(AtomicFile, FilesThatBelongTogetherAreReplacedTogether) {
  for (const char* fails : {"a", "b", "c"}) {
    const TempFolder folder;
    folder.write("a", "old a");
    folder.write("c", "old c");
    const auto write_all = [&] {
      AtomicFile a(folder / "a"), b(folder / "b"), c(folder / "c");
      for (auto* file : {&a, &b, &c}) file->write("new");
      commit_all({&a, &b, &c});
    };
    {
      const inject::Faults faults({{"rename", folder / fails, EIO, 0, 1}});
      EXPECT_THROW(write_all(), IoError) << fails;
    }
    EXPECT_EQ(read_text_file(folder / "a"), "old a") << fails;
    EXPECT_EQ(read_text_file(folder / "c"), "old c") << fails;
    EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"a", "c"})) << fails;
    write_all();
    for (const char* name : {"a", "b", "c"}) EXPECT_EQ(read_text_file(folder / name), "new");
    EXPECT_EQ(names_in(folder.path()), (std::vector<std::string>{"a", "b", "c"}));
  }
}

}  // namespace
}  // namespace unlabel::data
