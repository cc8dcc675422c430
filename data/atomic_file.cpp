#include <unlabel/augment/error.h>
#include <unlabel/data/atomic_file.h>
#include <unlabel/data/files.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

namespace unlabel::data {

namespace {
[[noreturn]] void fail(const char* what, const std::string& path) {
  throw Error("cannot ", what, " ", path, ": ", std::strerror(errno));
}
}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  // Not mkostemp: its file is private, and a plain new file's permissions are known to the system alone.
  std::random_device random;
  do {
    temporary_ = concat(path_, ".tmp-", random());
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (descriptor_ < 0 && (errno == EEXIST || errno == EINTR));
  if (descriptor_ < 0) fail("write", path_);
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
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail("read", path);
  std::string text;
  for (std::size_t size = 0;;) {
    text.resize(size + (std::size_t{1} << 16));
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno != EINTR) fail("read", path);
    if (count > 0) size += static_cast<std::size_t>(count);
    if (count == 0) {
      text.resize(size);
      return text;
    }
  }
}

void flush_folder(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail("open", path);
  const bool flushed = ::fsync(descriptor) == 0 || errno == EINVAL;  // some file systems cannot flush a folder
  ::close(descriptor);
  if (!flushed) fail("flush", path);
}

}  // namespace unlabel::data
