#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

namespace unlabel {

/// Joins its arguments as `operator<<` prints them: `concat("got ", 3, " rows")`.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Something the caller can mend. The message is one line: what was wrong, the value, and what to do.
/// The program prints it and ends with exit code 1.
class Error : public std::runtime_error {
 public:
  template <class... Parts>
  explicit Error(const Parts&... parts) : std::runtime_error(concat(parts...)) {}
};

/// Wrong use or a wrong environment, found before anything was written (exit code 2): an unknown option, a missing
/// folder, a full disk.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// A file that cannot be read or written this time, through no fault of its bytes: a disk or a network that does not answer (EIO, ESTALE,
/// ETIMEDOUT). Starting again may help (exit code 1); such a file is never taken for a broken or a missing one.
class IoError : public Error {
 public:
  using Error::Error;
};

/// Trying again cannot help (exit code 93): data, checkpoint and configuration do not belong together.
class MismatchError : public Error {
 public:
  using Error::Error;
};

namespace detail {
[[noreturn]] inline void broken_invariant(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "unlabel: broken invariant at %s:%d: %s\n", file, line, condition);
  std::abort();
}
}  // namespace detail

}  // namespace unlabel

/// For what only a bug in this library can break: aborts with its location, in every build.
#define UNLABEL_INVARIANT(condition) \
  (static_cast<bool>(condition) ? void(0) : ::unlabel::detail::broken_invariant(#condition, __FILE__, __LINE__))
