#pragma once

#include <unlabel/launch/pretrain/broken_images.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/run/progress.h>
#include <unlabel/launch/run/run_log.h>
#include <unlabel/launch/training/step_stats.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/monitor/collapse.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// A step that was made, whose stats may still be on the device.
struct PendingStep {
  ssl::Step step;
  double lr = 0;
  StepStatsReduction exchange;
  std::vector<std::int64_t> indices;                  ///< this rank's samples
  std::vector<data::Replacement> replacements;        ///< this rank's
  std::map<std::string, double> epoch_diagnostics{};  ///< of the method, before an epoch's first step
  nlohmann::json line =
      nlohmann::json::object();  ///< what else its line in metrics.jsonl says: images_per_second, data_wait ...
};

/// Takes down what steps tell: a line in the log, the progress, and what is wrong (steps left out, broken images, collapse). News are read
/// one step late, so that nobody waits for the device. Every rank keeps one; all must call it together, and come to the same end.
class TrainingMonitor {
 public:
  struct Context {
    const ssl::Group& group;
    const PretrainOptions& options;
    std::int64_t images = 0;  ///< in the data set
    std::int64_t total_iterations = 0;
    std::vector<ssl::CollapseCheck> signs;  ///< the method's
    Progress& progress;
    RunLog* log = nullptr;  ///< rank 0's; null on the others
  };
  /// All that `context` refers to must outlive it.
  explicit TrainingMonitor(Context context);

  /// Settles the step before and keeps this one until it is settled.
  void add(PendingStep pending);

  /// Reads the stats of the last step. Throws MismatchError when too many steps were not finite.
  void flush();

  /// Whether embeddings of this iteration are wanted, for the collapse monitor.
  bool wants_embeddings(std::int64_t iteration) const { return iteration % watch_every_ == 0; }

  double loss() const { return loss_; }  ///< of the last settled step; nan before
  bool stop() const { return stop_; }    ///< some rank was asked to stop
  bool save_due() const { return save_due_; }
  void saved() { save_due_ = false; }
  /// Why the run must end although its weights are sound: too many images are broken. Empty: it need not.
  std::string failure() const { return failure_ ? failure_() : ""; }
  std::int64_t updates() const { return updates_; }  ///< made since the run began: steps that were not left out
  std::int64_t replacements() const { return replacements_; }                  ///< broken samples since the start
  std::vector<std::string> collapse() const { return collapse_.triggered(); }  ///< the signs of it that are bad now

  /// For the checkpoint: what the budgets and the collapse monitor count.
  nlohmann::json state() const;
  void load_state(const nlohmann::json& state);

  /// "; checkpoints up to then are in ..." when there are any.
  std::string checkpoint_hint() const;

 private:
  void write_line(const PendingStep& pending, const StepStats& stats);
  void handle_nonfinite(const PendingStep& pending, double loss);
  void handle_replacements(const PendingStep& pending);

  Context context_;
  NonFiniteBudget nonfinite_;
  BrokenImages broken_;
  std::int64_t watch_every_;
  ssl::CollapseMonitor collapse_;
  std::optional<PendingStep> pending_;
  double loss_ = std::numeric_limits<double>::quiet_NaN();
  bool stop_ = false, save_due_ = false, log_failed_ = false;
  std::int64_t replacements_ = 0, updates_ = 0;
  std::function<std::string()> failure_;
};

}  // namespace unlabel::launch
