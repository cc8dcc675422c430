#include <unlabel/augment/error.h>
#include <unlabel/launch/run/progress.h>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>
#include <utility>

namespace unlabel::launch {

namespace {
constexpr double kTerminalSeconds = 0.2, kPlainSeconds = 10;  ///< between two updates on a terminal, and elsewhere

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}
}  // namespace

std::string clock_text(double seconds) {
  const auto whole = static_cast<long long>(std::max(0.0, std::round(seconds)));
  char text[48];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

Progress::Progress(bool enabled, std::int64_t total_iterations, std::int64_t first_iteration,
                   std::int64_t steps_per_epoch, std::string noun)
    : enabled_(enabled),
      terminal_(enabled && ::isatty(STDERR_FILENO)),
      warnings_(enabled),
      total_(total_iterations),
      first_(first_iteration),
      steps_per_epoch_(steps_per_epoch),
      noun_(std::move(noun)),
      begin_(std::chrono::steady_clock::now()),
      shown_(begin_) {}

Progress::~Progress() {
  if (bar_shown_) std::fputc('\n', stderr);
}

void Progress::update(std::int64_t iterations_done, double loss, double images_per_second, double data_wait) {
  if (!enabled_) return;
  // Print at intervals, and always for the last step; in a log file also at the end of each epoch, unless epochs are very short.
  const bool last = iterations_done == total_, epoch_ends = iterations_done % steps_per_epoch_ == 0;
  if (!last && seconds_since(shown_) < (terminal_ ? kTerminalSeconds : kPlainSeconds) &&
      !(epoch_ends && !terminal_ && steps_per_epoch_ > 20))
    return;
  shown_ = std::chrono::steady_clock::now();
  // The remaining time assumes that further iterations take as long as those of this process did on average.
  const double each = seconds_since(begin_) / static_cast<double>(std::max<std::int64_t>(1, iterations_done - first_));
  const double epochs = static_cast<double>(iterations_done) / static_cast<double>(steps_per_epoch_);
  const std::string left = clock_text(each * static_cast<double>(total_ - iterations_done));
  const int percent = static_cast<int>(100 * iterations_done / std::max<std::int64_t>(1, total_));
  std::string bar;
  if (terminal_) {
    constexpr int kWidth = 24;
    const int filled = percent * kWidth / 100;
    bar.assign(kWidth, ' ');
    bar.replace(0, filled, filled, '=');
    bar = concat('[', bar, "] ");
  }
  // "\r\033[K" returns to the start of the line and clears it.
  std::fprintf(stderr, "%s%sstep %lld/%lld  epoch %.2f  loss %.4f  %.0f %ss/s  data wait %.0f%%  %s left%s",
               terminal_ ? "\r\033[K" : "", bar.c_str(), static_cast<long long>(iterations_done),
               static_cast<long long>(total_), epochs, loss, images_per_second, noun_.c_str(), 100 * data_wait,
               left.c_str(), terminal_ ? "" : "\n");
  std::fflush(stderr);
  bar_shown_ = terminal_;
}

void Progress::say(const std::string& lines) {
  if (!enabled_) return;
  clear();
  std::istringstream text(lines);
  for (std::string line; std::getline(text, line);) std::fprintf(stderr, "%s\n", printable(line).c_str());
}

void Progress::warn(const std::string& sentence) {
  if (enabled_) clear();
  warnings_.add(sentence);
}

void Progress::clear() {
  if (!bar_shown_) return;
  std::fputs("\r\033[K", stderr);
  bar_shown_ = false;
}

void Throughput::step(double waited) {
  const auto now = Clock::now();
  const Sum one{1, std::chrono::duration<double>(now - last_).count(), waited - waited_};
  last_ = now;
  waited_ = waited;
  (warmup_.steps < kWarmup ? warmup_ : total_).add(one);

  // The sums over the window are recomputed in each step: updating them by differences would accumulate rounding errors.
  constexpr std::size_t kWindow = 20;
  window_.push_back(one);
  if (window_.size() > kWindow) window_.pop_front();
  recent_ = {};
  for (const auto& item : window_) recent_.add(item);
}

void Throughput::resume(double waited) {
  last_ = Clock::now();
  waited_ = waited;
}

}  // namespace unlabel::launch
