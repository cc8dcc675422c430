#include <unlabel/augment/error.h>
#include <unlabel/ssl/optim/schedule.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace unlabel::ssl {

OptionTable table(ScheduleOptions& options) {
  OptionTable t;
  t.add("kind", options.kind, "learning rate after the warm-up: cosine, constant or step");
  t.add("warmup_epochs", options.warmup_epochs, "epochs of linear warm-up; 0: none");
  t.add("warmup_start_lr", options.warmup_start_lr, "learning rate at the start of the warm-up");
  t.add("warmup_reaches_peak", options.warmup_reaches_peak,
        "yes: the last step of the warm-up has the peak rate (SwAV); no: the first step after the warm-up has it "
        "(BYOL, SimCLR)");
  t.add("final_lr", options.final_lr, "cosine: learning rate at the end of the run");
  t.add("milestones", options.milestones, "step: epochs at which the rate is multiplied by gamma");
  t.add("gamma", options.gamma, "step: factor of the rate at each milestone");
  t.add("by_epoch", options.by_epoch, "change the rate once per epoch instead of at each step");
  return t;
}

Schedule::Schedule(ScheduleOptions options, double lr, std::int64_t steps_per_epoch, std::int64_t total_iterations)
    : options_(std::move(options)), lr_(lr), steps_per_epoch_(steps_per_epoch), total_(total_iterations) {
  const std::vector<std::string> kinds{"cosine", "constant", "step"};
  if (std::find(kinds.begin(), kinds.end(), options_.kind) == kinds.end())
    throw UsageError("schedule.kind: no schedule '", options_.kind, "'", did_you_mean(options_.kind, kinds),
                     "; there are cosine, constant and step");
  if (options_.kind == "step" && options_.milestones.empty())
    throw UsageError(
        "schedule.kind step needs schedule.milestones: the epochs at which the rate falls, as \"[60, 80]\"");
  if (steps_per_epoch_ < 1 || total_ < 1)
    throw UsageError("a schedule needs at least one iteration, not ", total_, " with ", steps_per_epoch_, " an epoch");
  if (!(lr_ >= 0 && options_.final_lr >= 0 && options_.warmup_start_lr >= 0 && options_.warmup_epochs >= 0))
    throw UsageError("learning rates and warm-up must not be negative: lr ", lr_, ", schedule.final_lr ",
                     options_.final_lr, ", schedule.warmup_start_lr ", options_.warmup_start_lr,
                     ", schedule.warmup_epochs ", options_.warmup_epochs);
  // The warm-up in iterations; compared as a double, since a very large number of epochs does not fit an integer.
  const double warmup = std::round(options_.warmup_epochs * static_cast<double>(steps_per_epoch_));
  if (warmup > static_cast<double>(total_))
    throw UsageError("schedule.warmup_epochs is ", options_.warmup_epochs, ", longer than the run of ",
                     static_cast<double>(total_) / static_cast<double>(steps_per_epoch_),
                     " epochs: shorten the warm-up or train longer");
  warmup_ = static_cast<std::int64_t>(warmup);
}

double Schedule::operator()(std::int64_t iteration) const {
  // Warm-up. Both ends are returned without arithmetic, so that they are exact.
  if (iteration < warmup_) {
    const auto last = options_.warmup_reaches_peak ? warmup_ - 1 : warmup_;
    if (iteration == 0) return options_.warmup_start_lr;
    if (iteration == last) return lr_;
    const double step = (lr_ - options_.warmup_start_lr) / static_cast<double>(last);
    return options_.warmup_start_lr + static_cast<double>(iteration) * step;
  }
  // By epoch: the rate of the epoch's first iteration, or of the first after the warm-up if that is later.
  if (options_.by_epoch) iteration = std::max(warmup_, iteration - iteration % steps_per_epoch_);
  if (options_.kind == "constant") return lr_;
  if (options_.kind == "step") {
    const std::int64_t epoch = iteration / steps_per_epoch_;
    const auto passed = std::count_if(options_.milestones.begin(), options_.milestones.end(),
                                      [&](std::int64_t milestone) { return epoch >= milestone; });
    return lr_ * std::pow(options_.gamma, static_cast<double>(passed));
  }
  // Cosine, from the end of the warm-up to the end of the run.
  const double length = static_cast<double>(total_ - warmup_);
  const double t = std::min(static_cast<double>(iteration - warmup_), length);
  const double angle = length > 0 ? std::numbers::pi * t / length : std::numbers::pi;
  return options_.final_lr + 0.5 * (lr_ - options_.final_lr) * (1 + std::cos(angle));
}

}  // namespace unlabel::ssl
