#pragma once

#include <unlabel/augment/error.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <thread>

namespace unlabel::data {

/// The default time for retries after an IoError: of reads at start-up, before ranks wait for each other.
inline constexpr std::chrono::milliseconds kShortRetryTime{2000};

/// The pauses between attempts: the n-th (from 0) is 50 ms times 2^n, and 5 s at most.
inline std::chrono::milliseconds retry_pause(int attempt) {
  return std::min(std::chrono::milliseconds(5000), std::chrono::milliseconds(50) * (1 << std::min(attempt, 10)));
}

/// Returns the result of `read`, which is called again, after growing pauses, while it throws IoError (a disk or a network that does not
/// answer). After `retry_time` the last IoError is thrown; other exceptions are thrown at once.
///
/// The time counts from the first IoError on, since a read of something large may fail late, and a second attempt is made in any case. A
/// further one is made only if it would end within `retry_time`, assuming that it takes as long as the longest before.
template <class Read>
auto retry(const Read& read, std::chrono::milliseconds retry_time = kShortRetryTime) {
  using Clock = std::chrono::steady_clock;
  Clock::time_point end;
  Clock::duration longest{};
  for (int attempt = 0;; ++attempt) {
    const auto began = Clock::now();
    try {
      return read();
    } catch (const IoError&) {
      const auto now = Clock::now();
      longest = std::max(longest, now - began);
      if (attempt == 0)
        end = now + retry_time;
      else if (now + retry_pause(attempt) + longest > end)
        throw;
    }
    std::this_thread::sleep_for(retry_pause(attempt));
  }
}

}  // namespace unlabel::data
