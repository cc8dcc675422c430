#pragma once

#include <chrono>
#include <cstdint>
#include <deque>

namespace unlabel::launch {

/// Samples per second of wall time, and the share of that time that training waited for data. Excluded are the first kWarmup steps
/// (allocations, libraries being loaded, cold page cache) and pauses (checkpoints, kNN); included is a method's work between epochs.
class Throughput {
 public:
  /// `batch_size`: samples per step, of all ranks together.
  explicit Throughput(std::int64_t batch_size) : batch_size_(batch_size), last_(Clock::now()) {}

  /// To be called after each step; `waited` is the total time in seconds that the loader has made training wait since it was created.
  void step(double waited);

  /// To be called after a pause: excludes the time since the last step.
  void resume(double waited);

  /// Samples per second, and the share of time waited, over the last 20 steps; 0 before the first step.
  double recent() const { return rate(recent_); }
  double recent_data_wait() const { return wait(recent_); }
  /// The same over all steps after the first kWarmup; over all steps when there are no others.
  double overall() const { return rate(total_.steps > 0 ? total_ : warmup_); }
  double overall_data_wait() const { return wait(total_.steps > 0 ? total_ : warmup_); }
  /// Wall time of all steps in seconds, without pauses.
  double seconds() const { return total_.seconds + warmup_.seconds; }

  static constexpr std::int64_t kWarmup = 10;

 private:
  using Clock = std::chrono::steady_clock;
  struct Sum {
    std::int64_t steps = 0;
    double seconds = 0, waited = 0;
    void add(const Sum& more) {
      steps += more.steps;
      seconds += more.seconds;
      waited += more.waited;
    }
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
