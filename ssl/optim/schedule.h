#pragma once

#include <unlabel/augment/options.h>

#include <cstdint>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// How the learning rate moves over a run; its peak is OptimizerOptions::lr.
struct ScheduleOptions {
  std::string kind = "cosine";      ///< cosine, constant, or step
  double warmup_epochs = 0;         ///< epochs of linear warm-up; fractions are allowed
  double warmup_start_lr = 0;       ///< learning rate of the first warm-up iteration
  bool warmup_reaches_peak = true;  ///< the last warm-up iteration has the peak (SwAV); else the first after it (BYOL)
  double final_lr = 0;              ///< cosine: where it ends
  std::vector<std::int64_t> milestones{};  ///< step: epochs at whose start the rate is multiplied by gamma
  double gamma = 0.1;                      ///< step: the factor
  bool by_epoch = false;  ///< hold the rate during an epoch, as evaluation protocols do (not during warm-up)
};
OptionTable table(ScheduleOptions& options);

/// The learning rate as a pure function of the iteration, so that a resumed run needs no state for it.
///
/// With W warm-up iterations (round(warmup_epochs * steps_per_epoch)), T = total - W and peak lr:
///
///     t < W:              start + (lr - start) t / (W - 1)                  (both ends included; W = 1 gives start)
///       or:               start + (lr - start) t / W                        (warmup_reaches_peak false)
///     cosine:             final + (lr - final) (1 + cos(pi (t - W) / T)) / 2
///     constant:           lr
///     step:               lr gamma^(milestones passed)
///
/// as SwAV's released code has it for cosine, and the codes of BYOL and SimCLR with `warmup_reaches_peak` false (SGDR:
/// Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5, without restarts).
class Schedule {
 public:
  /// Throws UsageError for an unknown kind (naming the nearest), a negative rate, and a warm-up longer than the run.
  Schedule(ScheduleOptions options, double lr, std::int64_t steps_per_epoch, std::int64_t total_iterations);

  /// The rate of iteration 0, 1, ...; after the last one it stays where the formula ends.
  double operator()(std::int64_t iteration) const;

  std::int64_t warmup_iterations() const { return warmup_; }

 private:
  ScheduleOptions options_;
  double lr_;
  std::int64_t steps_per_epoch_, total_, warmup_;
};

}  // namespace unlabel::ssl
