#pragma once

#include <unlabel/launch/run/command_output.h>

#include <chrono>
#include <cstdint>
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

}  // namespace unlabel::launch
