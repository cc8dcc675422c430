#pragma once

#include <unlabel/ssl/group.h>

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace unlabel::launch {

/// What one rank has to say of a step.
struct LocalStepStats {
  at::Tensor loss;                                              ///< float64 scalar on the device: this rank's mean
  std::vector<std::pair<std::string, at::Tensor>> diagnostics;  ///< scalars on the device, this rank's means
  at::Tensor
      gram;  ///< of ssl::EmbeddingStats, the same on every rank, where this step is watched for collapse; else undefined
  bool stop = false;          ///< it was asked to stop
  bool save = false;          ///< a checkpoint is due by the clock
  std::int64_t replaced = 0;  ///< broken samples
};

/// What all ranks know of a step after they have told each other: equal on every rank.
struct StepStats {
  double loss = 0;     ///< mean over the ranks
  bool finite = true;  ///< whether the update was made
  bool stop = false, save = false;
  std::int64_t replaced = 0;
  std::vector<std::pair<std::string, double>> diagnostics;  ///< with a `gram` also "effective_rank"
};

/// One step's stats of all ranks: one all-reduce, which stays on the device until it is read. All ranks must make and read it together.
class StepStatsReduction {
 public:
  StepStatsReduction(const ssl::Group& group, const LocalStepStats& mine);

  /// The loss's mean over the ranks, on the device: finite only if every rank's is.
  at::Tensor loss() const;

  /// Begins to bring the outcome to the host; `finite` is the verdict on the step.
  void copy_to_host_async(const at::Tensor& finite);

  /// Waits for what settle has begun: with work for the device queued behind it, this costs no time. Eigenvalues are taken here, by the
  /// host. Throws Error, on all ranks, when their diagnostics have different names.
  StepStats wait() const;

 private:
  std::vector<std::string> names_;
  std::int64_t world_ = 1;
  at::Tensor word_, gram_;  ///< on the device; after settle on the host
  std::optional<c10::Event> ready_;
};

/// Counts the steps that were left out because loss or gradients were not finite.
class NonFiniteBudget {
 public:
  static constexpr std::int64_t kWindow = 100;

  explicit NonFiniteBudget(std::int64_t budget) : budget_(budget) {}

  /// A step was left out. False when these are more than the budget in any kWindow steps in a row.
  bool record(std::int64_t iteration);
  std::int64_t in_window() const { return static_cast<std::int64_t>(steps_.size()); }

  /// For the checkpoint.
  nlohmann::json state() const { return std::vector<std::int64_t>(steps_.begin(), steps_.end()); }
  void load_state(const nlohmann::json& state);

 private:
  std::int64_t budget_;
  std::deque<std::int64_t> steps_;
};

}  // namespace unlabel::launch
