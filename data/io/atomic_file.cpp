#include <unlabel/augment/error.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/io/atomic_file.h>
#include <unlabel/data/io/files.h>

#include <fcntl.h>
#include <linux/limits.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <new>
#include <random>
#include <set>

namespace unlabel::data {

namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;                 // as the kernel follows
constexpr std::size_t kLongestNameKept = 100;  // of a temporary file's name, so that any name has room for the rest

[[noreturn]] void fail(const char* what, const std::string& path, int error = errno) {
  throw_system_error(concat("cannot ", what, " ", path), error);
}

/// What a path leads to, links followed.
struct Target {
  std::string path;
  std::optional<int> descriptor;          ///< this process's own, when it leads to one
  bool straight = false;                  ///< it is there and no regular file: written into, never replaced
  std::optional<struct stat> replaced{};  ///< a regular file that is there
};

std::string folder_of(const std::string& path) {
  const auto folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

/// The N of /proc/self/fd/N, under whichever name.
std::optional<int> own_descriptor(const std::string& path) {
  std::error_code error;
  const auto folder = fs::canonical(folder_of(path), error);
  if (error) return std::nullopt;
  const auto process = concat("/proc/", ::getpid(), "/");
  if (!folder.string().starts_with(process) || folder.filename() != "fd") return std::nullopt;
  const auto name = fs::path(path).filename().string();
  int number = -1;
  const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
  return wrong == std::errc() && end == name.data() + name.size() ? std::optional(number) : std::nullopt;
}

Target find_target(const std::string& path) {
  Target target{path, std::nullopt};
  struct stat status {};
  for (int links = 0;; ++links) {
    if (::lstat(target.path.c_str(), &status) != 0) {
      if (errno == ENOENT) return target;
      fail("write", path);
    }
    if (!S_ISLNK(status.st_mode)) break;
    // The target of a link in /proc need not be a path; its file is open in a process, and is written in place.
    struct statfs system {};
    if (::statfs(folder_of(target.path).c_str(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC) {
      target.descriptor = own_descriptor(target.path);
      target.straight = true;
      return target;
    }
    if (links == kMostLinks) fail("write", path, ELOOP);
    std::error_code error;
    const auto next = fs::read_symlink(target.path, error);
    if (error) fail("write", path, error.value());
    target.path = next.is_absolute() ? next.string() : (fs::path(folder_of(target.path)) / next).string();
  }
  if (S_ISDIR(status.st_mode)) fail("write", path, EISDIR);
  if (S_ISBLK(status.st_mode)) throw Error("cannot write ", path, ": it is a whole disk");
  // A rename would replace even a file without write permission.
  if (::access(target.path.c_str(), W_OK) != 0) fail("write", path);
  target.straight = !S_ISREG(status.st_mode);
  if (!target.straight) target.replaced = status;
  return target;
}

/// Opens a target that is written in place instead of being replaced.
int open_straight(const Target& target) {
  if (!target.descriptor) return open_at(AT_FDCWD, target.path.c_str(), O_WRONLY | O_APPEND | O_NOCTTY).release();
  const int mode = ::fcntl(*target.descriptor, F_GETFL);
  if (mode < 0) return -1;
  if ((mode & O_ACCMODE) == O_RDONLY) {
    errno = EBADF;
    return -1;
  }
  return ::fcntl(*target.descriptor, F_DUPFD_CLOEXEC, 3);
}

/// Writes all of it; `path` is what messages call the file.
void write_all(int descriptor, const char* bytes, std::size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t written = ::write(descriptor, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    // A pipe or a terminal that was opened non-blocking: wait until it takes more. For other files EAGAIN is an error.
    if (written < 0 && errno == EAGAIN && (::fcntl(descriptor, F_GETFL) & O_NONBLOCK) != 0) {
      pollfd ready{descriptor, POLLOUT, 0};
      if (::poll(&ready, 1, -1) < 0 && errno != EINTR) fail("write", path);
      continue;
    }
    if (written < 0) fail("write", path);
    if (written == 0) throw Error("cannot write ", path, ": nothing more is taken, and no reason given");
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

/// Whether a file is mounted there by itself, so that it can be written into but not replaced.
bool is_mounted(const std::string& path) {
  struct statx status {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW, 0, &status) == 0 &&
         (status.stx_attributes & status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0;
}

/// Gives the file at `to` the bytes of the one at `from`, and brings them to the disk.
void copy_into(const std::string& from, const std::string& to) {
  std::vector<char> piece(std::size_t{1} << 20);
  const auto source = open_at(AT_FDCWD, from.c_str(), O_RDONLY);
  if (source.get() < 0) fail("read", from);
  // From here on the old bytes are lost.
  const auto target = open_at(AT_FDCWD, to.c_str(), O_WRONLY | O_TRUNC);
  if (target.get() < 0) fail("write", to);
  while (true) {
    const ssize_t count = ::read(source.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("read", from);
    if (count == 0) break;
    write_all(target.get(), piece.data(), static_cast<std::size_t>(count), to);
  }
  if (::fsync(target.get()) != 0) fail("write", to);
}

constexpr const char* kAccessList = "system.posix_acl_access";

/// Gives a new file, which is open, the access control list of the one at `path`. False when it has one that cannot be given.
bool copy_access_list(const std::string& path, int descriptor) {
  std::vector<char> list(XATTR_SIZE_MAX);
  const ssize_t size = ::getxattr(path.c_str(), kAccessList, list.data(), list.size());
  if (size < 0) return errno == ENODATA || errno == ENOTSUP || errno == ENOSYS;
  return ::fsetxattr(descriptor, kAccessList, list.data(), static_cast<std::size_t>(size), 0) == 0;
}

/// Gives a new file, which is open, the group, the access control list and the permissions of the one at `path` that it will replace. Where
/// that fails, its group gets no more permissions than all others have. Some file systems have no permissions to set.
void keep_permissions(int descriptor, const std::string& path, const struct stat& replaced) {
  mode_t mode = replaced.st_mode & 0777;
  struct stat status {};
  const bool same_group = (::fstat(descriptor, &status) == 0 && status.st_gid == replaced.st_gid) ||
                          ::fchown(descriptor, static_cast<uid_t>(-1), replaced.st_gid) == 0;
  ::fremovexattr(descriptor, kAccessList);  // that of its folder
  // With a list, the group's bits limit what it grants to all but the owner and others.
  if (!same_group || !copy_access_list(path, descriptor)) mode &= ~S_IRWXG | ((mode & S_IRWXO) << 3);
  static_cast<void>(::fchmod(descriptor, mode));
}

/// A random name in the folder of `target`.
std::string temporary_name(const std::string& target) {
  static thread_local std::random_device random;
  const fs::path path(target);
  const auto name = path.filename().string().substr(0, kLongestNameKept);
  return (path.parent_path() / concat(name, ".tmp-", random())).string();
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const auto target = find_target(path_);
  target_ = target.path;
  if (target.straight) {
    descriptor_ = open_straight(target);
  } else {
    // Not mkostemp, as a new file should get the system's default permissions. One that replaces another is private at first, so that only
    // those who may read that one can open it.
    const mode_t mode = target.replaced ? 0600 : 0666;
    do {
      temporary_ = temporary_name(target_);
      descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    } while (descriptor_ < 0 && (errno == EEXIST || errno == EINTR));
    if (descriptor_ >= 0 && target.replaced) keep_permissions(descriptor_, target_, *target.replaced);
  }
  if (descriptor_ < 0) fail("write", path_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* bytes, std::size_t size) {
  UNLABEL_INVARIANT(!flushed_);
  write_all(descriptor_, static_cast<const char*>(bytes), size, path_);
}

void AtomicFile::flush() {
  if (flushed_) return;
  // A pipe or a terminal cannot be flushed.
  if (::fsync(descriptor_) != 0 && (!temporary_.empty() || (errno != EINVAL && errno != EROFS && errno != ENOTSUP)))
    fail("write", path_);
  flushed_ = true;
}

void AtomicFile::rename() {
  if (!temporary_.empty()) {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      // Network file systems say EBUSY too, of a file in use, which must stay whole.
      const int error = errno;
      if (error != EBUSY || !is_mounted(target_)) fail("write", path_, error);
      const auto whole = std::exchange(temporary_, {});  // kept from now on, until its bytes are elsewhere
      try {
        copy_into(whole, target_);
      } catch (const IoError& failed) {
        throw IoError(failed.what(), "; the whole file is ", whole);
      } catch (const LimitError& failed) {
        throw LimitError(failed.what(), "; the whole file is ", whole);
      } catch (const std::bad_alloc&) {
        throw LimitError("cannot write ", path_, ": there is too little memory; the whole file is ", whole);
      } catch (const std::exception& failed) {
        throw Error(failed.what(), "; the whole file is ", whole);
      }
      ::unlink(whole.c_str());
    }
    temporary_.clear();
  }
  ::close(std::exchange(descriptor_, -1));
}

void AtomicFile::commit() { commit_all({this}); }

void commit_all(const std::vector<AtomicFile*>& files) {
  for (auto* file : files) file->flush();
  // What a rename replaced, under a second name until all are in place.
  struct Replaced {
    std::string target, kept;
    bool was_there;
  };
  std::vector<Replaced> replaced;
  const auto take_back = [&] {
    for (const auto& [target, kept, was_there] : replaced) {
      if (!kept.empty()) ::rename(kept.c_str(), target.c_str());
      if (!was_there) ::unlink(target.c_str());
    }
  };
  for (auto* file : files) {
    if (file->temporary_.empty()) {
      file->rename();  // closes it
      continue;
    }
    struct stat status {};
    Replaced before{file->target_, {}, ::lstat(file->target_.c_str(), &status) == 0};
    if (before.was_there && files.size() > 1) {
      before.kept = temporary_name(file->target_);
      if (::link(file->target_.c_str(), before.kept.c_str()) != 0) before.kept.clear();
    }
    try {
      file->rename();
    } catch (...) {
      if (!before.kept.empty()) ::unlink(before.kept.c_str());
      take_back();
      throw;
    }
    replaced.push_back(std::move(before));
  }
  // No second name stays when a folder cannot be flushed.
  std::set<std::string> folders;
  for (const auto& [target, kept, was_there] : replaced) {
    if (!kept.empty()) ::unlink(kept.c_str());
    folders.insert(folder_of(target));
  }
  for (const auto& folder : folders) flush_folder(folder);
}

void require_writable(const std::string& path) {
  const auto target = find_target(path);
  if (!target.straight) {
    const AtomicFile file(path);
  } else if (target.descriptor) {
    const FileDescriptor copy(open_straight(target));
    if (copy.get() < 0) fail("write", path);
  } else if (::access(target.path.c_str(), W_OK) != 0) {  // not opened: a pipe's reader would take that for the whole
    fail("write", path);
  }
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

bool append_atomically(int descriptor, std::string_view bytes) {
  const off_t before = ::lseek(descriptor, 0, SEEK_END);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = errno;
      // If this fails too, a part of the text stays, and the reader has to skip it.
      [[maybe_unused]] const int ignored = ::ftruncate(descriptor, before);
      errno = reason;
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

void flush_folder(const std::string& path) {
  const auto folder = open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY);
  if (folder.get() < 0 && is_forbidden(errno)) return;  // a folder may be written and not read
  if (folder.get() < 0) fail("open", path);
  if (::fsync(folder.get()) != 0 && errno != EINVAL) fail("flush", path);  // some file systems cannot flush a folder
}

}  // namespace unlabel::data
