#pragma once

#include <unlabel/data/loader.h>
#include <unlabel/launch/pretrain/pretrain_options.h>
#include <unlabel/launch/run/progress.h>
#include <unlabel/launch/run/run_log.h>
#include <unlabel/launch/training/step_stats.h>
#include <unlabel/ssl/group.h>
#include <unlabel/ssl/method.h>
#include <unlabel/ssl/monitor/collapse.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace unlabel::launch {

/// The samples of a data set that were found to be broken. Equal on every rank and stored in checkpoints, so that all ranks stop together.
class BrokenImages {
 public:
  /// The run must end when the fraction `budget` of the data set's `images` is broken, rounded up and at least one. Without a budget it is
  /// max(0.01 N, min(10, 0.25 N)) of N images, so that a single bad file does not end a run on a small data set.
  BrokenImages(std::int64_t images, std::optional<double> budget);

  /// Records a broken sample. Returns false when the run must end.
  bool record(std::int64_t index);
  /// The number of broken samples at which the run must end.
  std::int64_t most() const { return most_; }
  /// The number of different samples recorded.
  std::int64_t count() const { return static_cast<std::int64_t>(indices_.size()); }

  /// The state that a checkpoint stores.
  nlohmann::json state() const { return indices_; }
  void load_state(const nlohmann::json& state) { indices_ = state.get<std::set<std::int64_t>>(); }

 private:
  std::int64_t most_;
  std::set<std::int64_t> indices_;
};

/// The broken samples of a step of all ranks, as objects for replaced.jsonl: step, index, name, reason, replacement. Collective: all ranks
/// must call it.
std::vector<nlohmann::json> gather_replacements(const ssl::Group& group, const std::vector<data::Replacement>& mine,
                                                std::int64_t step);

/// A step that was computed, whose statistics may still be on the device.
struct PendingStep {
  ssl::Step step;
  double lr = 0;
  StepStatsReduction exchange;
  std::vector<std::int64_t> indices;            ///< of this rank's samples
  std::vector<data::Replacement> replacements;  ///< broken samples of this rank
  /// Further fields for its line in metrics.jsonl: images_per_second, data_wait; in an epoch's first step, diagnostics of
  /// Method::before_epoch ...
  nlohmann::json line = nlohmann::json::object();
};

/// Evaluates each step's statistics: writes the log line, updates the progress, and handles skipped steps, broken samples and collapse.
/// Statistics are read one step late, so that the host never waits for the device. Every rank has a TrainingMonitor, and all must call the
/// same functions in the same order, because they contain collectives; all come to the same result.
class TrainingMonitor {
 public:
  struct Context {
    const ssl::Group& group;
    const PretrainOptions& options;
    std::int64_t images = 0;  ///< number of samples in the data set
    std::int64_t total_iterations = 0;
    std::vector<ssl::CollapseCheck> signs;  ///< the method's checks for collapse
    Progress& progress;
    RunLog* log = nullptr;       ///< of rank 0; null on other ranks
    std::string noun = "image";  ///< what messages call a sample
  };
  /// Everything that `context` refers to must outlive the monitor.
  explicit TrainingMonitor(Context context);

  /// Evaluates the previous step by flush(), and stores this one until the next call.
  void add(PendingStep pending);

  /// Evaluates the stored step. Throws MismatchError when too many steps were skipped as not finite.
  void flush();

  /// Whether the collapse monitor needs embeddings of this iteration.
  bool wants_embeddings(std::int64_t iteration) const { return iteration % check_interval_ == 0; }

  double loss() const { return loss_; }        ///< of the last evaluated step; NaN before the first
  bool stop() const { return stop_; }          ///< some rank was asked to stop
  bool save_due() const { return save_due_; }  ///< the interval between checkpoints, in minutes, has passed
  void saved() { save_due_ = false; }          ///< to be called after a checkpoint
  /// Why the run must end although its weights are valid: too many samples are broken. Empty: it need not end.
  std::string failure() const { return failure_ ? failure_() : ""; }
  std::int64_t updates() const {
    return updates_;
  }  ///< number of steps that were not skipped, since the run's first start
  std::int64_t replacements() const { return replacements_; }  ///< broken samples since this process started
  std::vector<std::string> collapse() const {
    return collapse_.triggered();
  }  ///< names of the checks that now indicate it

  /// The state that a checkpoint stores: counters of the budgets and of the collapse monitor.
  nlohmann::json state() const;
  void load_state(const nlohmann::json& state);

  /// "; checkpoints up to then are in ...", for messages; empty when there are none.
  std::string checkpoint_hint() const;

 private:
  void write_line(const PendingStep& pending, const StepStats& stats);
  void handle_nonfinite(const PendingStep& pending, double loss);
  void handle_replacements(const PendingStep& pending);

  Context context_;
  NonFiniteBudget nonfinite_;
  BrokenImages broken_;
  std::int64_t check_interval_;
  ssl::CollapseMonitor collapse_;
  std::optional<PendingStep> pending_;
  double loss_ = std::numeric_limits<double>::quiet_NaN();
  bool stop_ = false, save_due_ = false, log_failed_ = false;
  std::int64_t replacements_ = 0, updates_ = 0;
  std::function<std::string()> failure_;
};

}  // namespace unlabel::launch
