#include <unlabel/launch/run/append_whole.h>

#include <unistd.h>

#include <cerrno>

namespace unlabel::launch {

bool append_atomically(int descriptor, std::string_view bytes) {
  const off_t before = ::lseek(descriptor, 0, SEEK_END);
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int reason = errno;
      // Should this fail too, what was written stays, and the reader has to cope.
      [[maybe_unused]] const int ignored = ::ftruncate(descriptor, before);
      errno = reason;
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace unlabel::launch
