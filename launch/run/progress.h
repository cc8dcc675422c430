#pragma once

#include <unlabel/launch/run/command_output.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace unlabel::launch {

/// Shows the progress of a run on stderr: on a terminal one line that is rewritten, elsewhere a new line every ten seconds. Prints nothing
/// unless `enabled` (rank 0).
class Progress {
 public:
  /// The time that is left is estimated from the iterations since `first_iteration`, where a resumed run starts.
  /// `noun`: what a sample is called, for "images/s".
  Progress(bool enabled, std::int64_t total_iterations, std::int64_t first_iteration, std::int64_t steps_per_epoch,
           std::string noun = "image");
  ~Progress();

  /// To be called after each iteration. `data_wait`: the share of the wall time that training waited for data, from 0 to 1.
  void update(std::int64_t iterations_done, double loss, double images_per_second, double data_wait);

  /// Prints lines above the progress line.
  void say(const std::string& lines);

  /// Prints "warning: ..." once for each sentence; the run's summary lists them, too.
  void warn(const std::string& sentence);
  std::vector<std::string> warnings() const { return warnings_.sentences(); }

 private:
  void clear();

  bool enabled_, terminal_, bar_shown_ = false;
  Warnings warnings_;
  std::int64_t total_, first_, steps_per_epoch_;
  std::string noun_;
  std::chrono::steady_clock::time_point begin_, shown_;
};

/// A duration as hours, minutes and seconds: "1:02:03", "4:05".
std::string clock_text(double seconds);

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
