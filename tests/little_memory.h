#pragma once

#include <unlabel/augment/system_error.h>

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

namespace unlabel {

/// A sanitizer takes more memory than a limit would allow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kLittleMemoryWorks = false;
#else
inline constexpr bool kLittleMemoryWorks = true;
#endif

namespace detail {

/// Lets the process have `more` bytes of address space beside what it has.
inline void limit_memory(std::uint64_t more) {
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  rlimit limit{};
  ::getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) + more;
  ::setrlimit(RLIMIT_AS, &limit);
}

/// Takes a block of memory for good; false when there is none.
inline bool take_memory(std::size_t bytes) {
  static void* volatile taken;  // so that the compiler keeps the call
  taken = std::malloc(bytes);
  return taken != nullptr;
}

}  // namespace detail

/// What `act` ends with in a process of its own that can have `bytes` of memory and some small blocks more: the message of its LimitError;
/// "(accepted)"; or "(no LimitError) " and the message of what else it throws.
template <class Act>
std::string limit_error_in(std::uint64_t bytes, const Act& act) {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    std::string text = "(accepted)";
    try {
      ::mallopt(M_MMAP_THRESHOLD, 1 << 16);  // larger blocks take what they need, and give it back
      ::mallopt(M_TOP_PAD, 0);
      constexpr std::size_t kSmall = 1 << 14;
      std::array<void*, 128> small{};
      for (auto& block : small) block = std::malloc(kSmall);
      detail::limit_memory(0);
      for (std::size_t size = std::size_t{1} << 28; size >= kSmall; size /= 2)
        while (detail::take_memory(size)) {
        }
      for (std::size_t i = 0; i < small.size(); i += 2) std::free(small[i]);  // those between keep them apart
      detail::limit_memory(bytes);
      act();
    } catch (const LimitError& error) {
      text = error.what();
    } catch (const std::exception& error) {
      text = std::string("(no LimitError) ") + error.what();
    } catch (...) {
      text = "(no LimitError)";
    }
    const bool told = ::write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    ::_exit(told ? 0 : 1);
  }
  ::close(ends[1]);
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t count; (count = ::read(ends[0], piece.data(), piece.size())) > 0;)
    text.append(piece.data(), static_cast<std::size_t>(count));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? text : "killed by signal " + std::to_string(WTERMSIG(status));
}

}  // namespace unlabel
