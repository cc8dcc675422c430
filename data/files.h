#pragma once

#include <cstdint>
#include <limits>
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

/// A regular file opened for reading, and its size. `folder` and `path` are as openat takes them; `name` is what
/// messages call it. Throws Error when the file cannot be opened or is no regular file (a pipe would wait for ever),
/// and UsageError when the fault is the process's and not the file's: too many open files, no memory.
struct OpenFile {
  FileDescriptor fd;
  std::uint64_t size = 0;
};
OpenFile open_file(int folder, const char* path, std::string_view name);

/// Reads a whole file, or its first `most` bytes, into `out`, reusing its memory. Throws as open_file does, and Error for
/// an empty file, one that shrinks while it is read, and one larger than `limit` bytes.
void read_file(int folder, const char* path, std::string_view name, std::uint64_t limit, std::vector<std::uint8_t>& out,
               std::uint64_t most = std::numeric_limits<std::uint64_t>::max());

/// True for the extensions of images that we decode, in any case: jpg jpeg png webp bmp tif tiff ppm pgm pbm pnm.
bool is_image_name(std::string_view name);

/// What stands in a folder apart from images and hidden entries, byte-sorted; links are followed.
struct FolderContents {
  std::vector<std::string> folders;
  std::vector<std::string> files;
};

/// Throws UsageError that names the folder when it is missing, no folder, or unreadable.
FolderContents list_folder(const std::string& path);

/// Throws the UsageError for a folder that cannot be opened or read, by errno.
[[noreturn]] void throw_unreadable_folder(const std::string& path, int error);

}  // namespace unlabel::data
