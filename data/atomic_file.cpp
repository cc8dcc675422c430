#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace unlabel::data {

namespace {
[[noreturn]] void fail(const char* what, const std::string& path) {
  throw Error("cannot ", what, " ", path, ": ", std::strerror(errno));
}
}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".tmp-XXXXXX") {
  descriptor_ = ::mkostemp(temporary_.data(), O_CLOEXEC);
  if (descriptor_ < 0) fail("write", path_);
  // mkostemp makes a private file; give it the permissions that a plain new file would have.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor_, 0666 & ~mask);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* bytes, std::size_t size) {
  const char* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t written = ::write(descriptor_, at, size);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("write", path_);
    }
    at += written;
    size -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("write", path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("write", path_);
  ::close(descriptor_);
  descriptor_ = -1;
  const auto folder = std::filesystem::path(path_).parent_path();
  flush_folder(folder.empty() ? "." : folder.string());
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

std::string read_text_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("read", path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) fail("read", path);
  return text;
}

void flush_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path);
  const bool flushed = ::fsync(descriptor) == 0 || errno == EINVAL;  // some file systems cannot flush a folder
  ::close(descriptor);
  if (!flushed) fail("flush", path);
}

}  // namespace unlabel::data
