#include <unlabel/launch/stop_signal.h>

#include <atomic>
#include <csignal>
#include <initializer_list>

namespace unlabel::launch {

namespace {
std::atomic<bool> stop_requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may touch it");

void on_signal(int number) {
  if (stop_requested.exchange(true)) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
}

constexpr std::initializer_list<int> kSignals{SIGTERM, SIGINT, SIGUSR1};
}  // namespace

StopSignal::StopSignal() {
  stop_requested = false;
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int number : kSignals) ::sigaction(number, &action, nullptr);
}

StopSignal::~StopSignal() {
  for (int number : kSignals) std::signal(number, SIG_DFL);
}

bool StopSignal::requested() const { return stop_requested; }

}  // namespace unlabel::launch
