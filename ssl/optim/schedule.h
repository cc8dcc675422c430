#pragma once

#include <unlabel/augment/options.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// The course of the learning rate over a run. Its peak is OptimizerOptions::lr.
struct ScheduleOptions {
  std::string kind = "cosine";  ///< cosine, constant, or step
  double warmup_epochs = 0;     ///< epochs of linear warm-up; fractions are allowed
  double warmup_start_lr = 0;   ///< learning rate of the first warm-up iteration
  bool warmup_reaches_peak =
      true;  ///< true: the last warm-up iteration has the peak rate (SwAV); false: the first one after it (BYOL)
  double final_lr = 0;                     ///< cosine: learning rate at the end of the run
  std::vector<std::int64_t> milestones{};  ///< step: epochs at whose start the rate is multiplied by gamma
  double gamma = 0.1;                      ///< step: factor of the rate at each milestone
  bool by_epoch =
      false;  ///< after the warm-up, change the rate only at the start of each epoch, as evaluation protocols do
};
OptionTable table(ScheduleOptions& options);

/// The learning rate as a pure function of the iteration t, so that checkpoints hold no state of it.
///
/// With W = round(warmup_epochs * steps_per_epoch) warm-up iterations, T = total_iterations - W, and the peak rate lr:
///
///     t < W:              start + (lr - start) t / (W - 1)                  (both ends included; W = 1 gives start)
///       or:               start + (lr - start) t / W                        (warmup_reaches_peak false)
///     cosine:             final + (lr - final) (1 + cos(pi (t - W) / T)) / 2
///     constant:           lr
///     step:               lr gamma^(milestones passed)
///
/// The cosine is that of SwAV's released code, and with `warmup_reaches_peak` false that of BYOL's and SimCLR's (SGDR: Loshchilov & Hutter
/// 2017, arXiv:1608.03983, eq. 5, without restarts).
class Schedule {
 public:
  /// Throws UsageError for an unknown kind (naming the nearest), a negative rate, and a warm-up longer than the run.
  Schedule(ScheduleOptions options, double lr, std::int64_t steps_per_epoch, std::int64_t total_iterations);

  /// The learning rate of iteration 0, 1, ...; beyond total_iterations the cosine stays at final_lr.
  double operator()(std::int64_t iteration) const;

  std::int64_t warmup_iterations() const { return warmup_; }

 private:
  ScheduleOptions options_;
  double lr_;
  std::int64_t steps_per_epoch_, total_, warmup_;
};

}  // namespace unlabel::ssl
