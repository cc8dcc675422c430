#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace unlabel::data {

/// Writes a file so that others see the old one or the whole new one, never a part: the bytes go to a temporary file
/// beside it, which commit() flushes to the disk and renames. Without commit() the temporary file is removed.
///
/// Only nothing or a regular file is ever replaced; its permissions, its group and its POSIX access control list are kept (its owner is
/// not; where the group or the list cannot be given, the group's permissions are cut to those of others), and a new file has those of a
/// plain one. A symbolic link is followed, and what it points to is replaced. What is no regular file (a device, a named pipe) is opened
/// and written into, and so is an open file of this process (/dev/stdout, /dev/fd/N, the shell's `>(command)`), at its place: there the
/// bytes are on their way as soon as they are written.
///
/// A file that is mounted by itself, as containers do, cannot be replaced: commit() copies the new bytes into it, so that others may see a
/// part of them. When that fails, the temporary file, which is whole, stays, and the Error names it. (Before Linux 5.8 it cannot be told
/// that a file is mounted: commit() throws.)
///
/// Every call throws Error that names the file and the system's reason (disk full, no permission, a folder of that name), as
/// throw_system_error does.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }

  /// Brings what was written to the disk. No write() may follow.
  void flush();
  /// flush(), when it was not called, and the rename.
  void commit();

 private:
  friend void commit_all(const std::vector<AtomicFile*>& files);
  void rename();

  std::string path_, target_, temporary_;  ///< temporary_ is empty when the target itself is open
  int descriptor_ = -1;
  bool flushed_ = false;
};

/// commit() of files that belong together: all are flushed before the first is renamed, and when a rename fails, those before it are undone
/// where the file system has hard links. Throws as commit() does; when the folders cannot be flushed, the files are
/// in place, but perhaps not after a loss of power.
void commit_all(const std::vector<AtomicFile*>& files);

/// Throws as AtomicFile does when no file could be written at `path` now; leaves nothing behind. For a check at the start of a long job.
void require_writable(const std::string& path);

/// Writes a text through an AtomicFile.
void write_file(const std::string& path, std::string_view text);

/// Appends to an open file, all or nothing: a write that fails half way (a full disk) is undone. False when it failed, with errno.
bool append_atomically(int descriptor, std::string_view bytes);

/// Flushes a folder's entries (a rename in it) to the disk.
void flush_folder(const std::string& path);

}  // namespace unlabel::data
