#include <unlabel/launch/run/stop_signal.h>

#include <time.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>

namespace unlabel::launch {

namespace {

std::atomic<bool> stop_requested{false};
std::atomic<std::int64_t> interrupted_at{0};  ///< time of the first SIGINT, milliseconds of CLOCK_MONOTONIC; 0: none
static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<std::int64_t>::is_always_lock_free,
              "a signal handler may only use lock-free atomics");

void on_signal(int number) {
  stop_requested = true;
  if (number != SIGINT) return;
  // Only the first SIGINT stores its time; one at least 1,000 ms later gets the default action, which ends the process.
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::int64_t milliseconds = std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000 + 1;
  std::int64_t first = 0;
  if (interrupted_at.compare_exchange_strong(first, milliseconds) || milliseconds - first < 1000) return;
  std::signal(number, SIG_DFL);
  std::raise(number);
}

constexpr std::array kSignals{SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
std::array<struct sigaction, kSignals.size()> before;  ///< the previous handlers, restored at the end

}  // namespace

StopSignal::StopSignal() {
  stop_requested = false;
  interrupted_at = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // interrupted system calls continue instead of failing with EINTR
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &before[i]);
    if (before[i].sa_handler != SIG_IGN) ::sigaction(kSignals[i], &action, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before[i], nullptr);
}

bool StopSignal::requested() { return stop_requested; }

}  // namespace unlabel::launch
