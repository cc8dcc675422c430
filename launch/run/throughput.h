#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace unlabel::launch {

/// Images a second by the wall clock, and the share of that time in which training waited for data. The first steps (allocations,
/// libraries that load, page cache) and pauses (checkpoints, kNN) are left out; what a method does between epochs counts.
class Throughput {
 public:
  explicit Throughput(std::int64_t batch_size) : batch_size_(batch_size), last_(Clock::now()) {}

  /// After each step; `waited` is the loader's running total of seconds waited.
  void step(double waited);

  /// After a pause: the time since the last step does not count.
  void resume(double waited);

  /// Over the last 20 steps; 0 before the first.
  double recent() const { return rate(recent_); }
  double recent_data_wait() const { return wait(recent_); }
  /// Over the run after the first kWarmup steps (over all of them when there are no more).
  double overall() const { return rate(total_.steps > 0 ? total_ : warmup_); }
  double overall_data_wait() const { return wait(total_.steps > 0 ? total_ : warmup_); }
  /// Seconds of all steps.
  double seconds() const { return total_.seconds + warmup_.seconds; }

  static constexpr std::int64_t kWarmup = 10;

 private:
  using Clock = std::chrono::steady_clock;
  struct Sum {
    std::int64_t steps = 0;
    double seconds = 0, waited = 0;
  };
  double rate(const Sum& sum) const {
    return sum.seconds > 0 ? static_cast<double>(sum.steps * batch_size_) / sum.seconds : 0;
  }
  static double wait(const Sum& sum) { return sum.seconds > 0 ? sum.waited / sum.seconds : 0; }

  std::int64_t batch_size_;
  Clock::time_point last_;
  double waited_ = 0;
  Sum warmup_, total_, recent_;
  std::deque<Sum> window_;
};

}  // namespace unlabel::launch
