#pragma once

#include <unlabel/augment/error.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Folders and files as the data sets of this room see them. Everything read here is hostile until its reader has
// checked it.

namespace unlabel::data {

/// FNV-1a, 64 bits (Fowler, Noll, Vo): the same number on every machine.
class Fingerprint {
 public:
  void add(std::string_view bytes);
  /// As eight bytes, the lowest first.
  void add(std::uint64_t number);
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

/// A checksum of bytes that are in memory: FNV-1a over words of eight, the lowest byte first, and the length.
std::uint64_t checksum_of(std::span<const std::uint8_t> bytes);

/// Throws LimitError when `bytes` more are not available (augment::available_memory), naming their purpose.
void require_memory(std::uint64_t bytes, std::string_view what);

/// Larger files are not read as images.
inline constexpr std::uint64_t kMaxFileBytes = std::uint64_t{1} << 30;

/// An open file or folder, closed at the end.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// openat(), made again while a signal interrupts it; sets errno. The descriptor is closed in programs that are started.
FileDescriptor open_at(int folder, const char* path, int flags);

/// A folder, opened for reading. Throws as list_folder does.
FileDescriptor open_folder(const std::string& path);

/// A regular file opened for reading, and its size. `folder` and `path` are as openat takes them; `name` is what
/// messages call it. Throws as throw_system_error does when the file cannot be opened: Error, IoError when a disk or a network does not
/// answer, and LimitError when the fault is the process's: too many open files, no memory. Error when it is no regular file (a pipe would
/// wait for ever, and a device without its driver is no disk that does not answer).
struct OpenFile {
  FileDescriptor fd;
  std::uint64_t size = 0;
};
OpenFile open_file(int folder, const char* path, std::string_view name);

/// Reads `size` bytes of an open regular file from `offset` on. Throws Error when the file has become shorter, and as throw_system_error
/// does.
void read_at(const FileDescriptor& file, std::uint64_t offset, void* out, std::size_t size, std::string_view name);

/// Reads a whole file, or its first `most` bytes, into `out`, reusing its memory. Throws as open_file does, and Error for
/// an empty file, one that shrinks while it is read, and one larger than `limit` bytes.
void read_file(int folder, const char* path, std::string_view name, std::uint64_t limit, std::vector<std::uint8_t>& out,
               std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

/// The lines of a small text file beside the data, such as its classes' names; an editor's \r at their ends and a byte-order mark
/// are dropped. Throws UsageError when it cannot be read, is empty or larger than `limit` bytes (LimitError, where the fault is the
/// process's), and IoError, after retry().
std::vector<std::string> read_lines(const std::string& path, std::uint64_t limit);

/// The size of what is at a place in a folder; nullopt when nothing is there, a link leads nowhere or in circles, or a folder on the way
/// may not be entered: an image there is a broken one, and has no size. Else throws as throw_system_error does, IoError after retry().
std::optional<std::uint64_t> size_of(int folder, const char* path);

/// Whether there is something at `path`, links followed: false when nothing is there, or a link leads nowhere. Else throws as
/// throw_system_error does, IoError after retry(): that something cannot be seen (no permission, a disk or a network that does not answer)
/// does not say that it is missing.
bool exists(const std::string& path);

/// What is in a folder, apart from hidden entries and systems' own folders, byte-sorted; links are followed, and those to nowhere are files
/// that cannot be opened.
struct FolderContents {
  std::vector<std::string> folders;
  std::vector<std::string> files;      ///< without images
  bool images = false;                 ///< whether there are any
  std::vector<std::string> nowhere{};  ///< those of the files that are links to nowhere
};

/// Whether errno means a missing permission: EACCES, or EPERM, as some network file systems have it.
bool is_forbidden(int error);

/// A folder that this user may not read.
class ForbiddenFolder : public UsageError {
 public:
  using UsageError::UsageError;
};

/// Throws UsageError that names the folder when it is missing, no folder, or unreadable (ForbiddenFolder, when permission is missing;
/// LimitError, where the fault is the process's), and IoError, after retry(), when a disk or a network does not answer.
FolderContents list_folder(const std::string& path);

/// Counts things of one kind, and keeps the name that sorts first as an example.
struct Examples {
  std::int64_t count = 0;
  std::string first;

  void add(std::string_view name);
  void add(const Examples& more);
  /// "1 file (a/1.heic)", "3 files (a/1.heic ...)", with the word for one and for several.
  std::string text(const char* one, const char* several) const;
  /// Adds the sentence of these parts to `notes`, when something was counted.
  template <class... Parts>
  void note(std::vector<std::string>& notes, const Parts&... parts) const {
    if (count > 0) notes.push_back(concat(parts...));
  }
  const char* verb() const { return count == 1 ? "is" : "are"; }
};

/// Throws for a folder that cannot be opened or read, by errno, as list_folder does.
[[noreturn]] void throw_unreadable_folder(const std::string& path, int error);

}  // namespace unlabel::data
