#pragma once

#include <unlabel/launch/run/command_output.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::launch {

/// Tells a person how a long run goes, on stderr: a line that is rewritten on a terminal; elsewhere a plain line now
/// and then. Silent unless `enabled` (rank 0).
class Progress {
 public:
  Progress(bool enabled, std::int64_t total_iterations, std::int64_t first_iteration, std::int64_t steps_per_epoch);
  ~Progress();

  /// After an iteration.
  void update(std::int64_t iterations_done, double loss, double images_per_second, double data_wait);

  /// Lines of their own, above the bar.
  void say(const std::string& lines);

  /// A sentence that stands in the run's summary as well, said once: "warning: ...".
  void warn(const std::string& sentence);
  std::vector<std::string> warnings() const { return warnings_.sentences(); }

 private:
  void clear();

  bool enabled_, terminal_, bar_shown_ = false;
  Warnings warnings_;
  std::int64_t total_, first_, steps_per_epoch_;
  std::chrono::steady_clock::time_point begin_, shown_;
};

/// "1:02:03", "4:05".
std::string clock_text(double seconds);

}  // namespace unlabel::launch
