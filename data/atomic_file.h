#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace unlabel::data {

/// Writes a file so that others see the old one or the whole new one, never a part: the bytes go to a temporary file
/// beside it, which commit() flushes to the disk and renames. Without commit() the temporary file is removed.
/// Every call throws Error that names the file and the system's reason (disk full, no permission).
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::string path_, temporary_;
  int descriptor_ = -1;
};

/// AtomicFile for a text at hand.
void write_file(const std::string& path, std::string_view text);

/// The whole file. Throws Error when it cannot be read, a folder included.
std::string read_text_file(const std::string& path);

/// Flushes a folder's entries (a rename in it) to the disk.
void flush_folder(const std::string& path);

}  // namespace unlabel::data
