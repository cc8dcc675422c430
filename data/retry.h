#pragma once

#include <unlabel/augment/error.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

namespace unlabel::data {

/// How long trouble outside is waited out where nothing else is known: what reads at a start, before ranks wait for each other.
inline constexpr std::chrono::milliseconds kShortPatience{2000};

/// The pauses between attempts: the n-th (from 0) is 50 ms times 2^n, and 5 s at most.
inline std::chrono::milliseconds retry_pause(int attempt) {
  return std::min(std::chrono::milliseconds(5000), std::chrono::milliseconds(50) * (1 << std::min(attempt, 10)));
}

/// What `read` gives, tried again while it throws IoError (a disk or a network that does not answer), after growing pauses, until
/// `patience` is over: then the last IoError is thrown. `read` starts anew each time. Everything else that it throws is thrown at once.
template <class Read>
auto retry(const Read& read, std::chrono::milliseconds patience = kShortPatience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  for (int attempt = 0;; ++attempt) {
    try {
      return read();
    } catch (const IoError&) {
      if (std::chrono::steady_clock::now() + retry_pause(attempt) > end) throw;
    }
    std::this_thread::sleep_for(retry_pause(attempt));
  }
}

}  // namespace unlabel::data
