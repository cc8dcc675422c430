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

/// One rank's statistics of a step, before the all-reduce.
struct LocalStepStats {
  at::Tensor loss;  ///< float64 scalar on the device: mean over this rank's samples
  std::vector<std::pair<std::string, at::Tensor>>
      diagnostics;  ///< scalars on the device: means over this rank's samples
  /// ssl::EmbeddingStats::gram, equal on every rank, in steps in which the collapse monitor reads embeddings; else undefined.
  at::Tensor gram;
  bool stop = false;          ///< this rank was asked to stop by a signal
  bool save = false;          ///< a checkpoint is due because its interval in minutes has passed
  std::int64_t replaced = 0;  ///< broken samples that were replaced in this rank's part of the batch
};

/// Statistics of a step after the all-reduce: equal on every rank.
struct StepStats {
  double loss = 0;                  ///< mean over the ranks
  bool finite = true;               ///< whether loss and gradients were finite, so that the update was applied
  bool stop = false, save = false;  ///< set on any rank
  std::int64_t replaced = 0;        ///< sum over the ranks
  std::vector<std::pair<std::string, double>>
      diagnostics;  ///< means over the ranks; with a `gram` also "effective_rank"
};

/// Combines the ranks' statistics of one step by one all-reduce, whose result stays on the device until wait(). Collective: all ranks must
/// construct it, and call wait(), in the same steps.
class StepStatsReduction {
 public:
  StepStatsReduction(const ssl::Group& group, const LocalStepStats& mine);

  /// The mean loss over the ranks, a float64 scalar on the device: finite only if the loss of every rank is.
  at::Tensor loss() const;

  /// Starts copying the result to the host. `finite`: whether the step's update is applied, a bool scalar on the device.
  void copy_to_host_async(const at::Tensor& finite);

  /// Waits for the copy that copy_to_host_async() started; called one step later, it does not idle the device, which has further work
  /// queued. Computes the eigenvalues for "effective_rank" on the host. Throws Error, on all ranks, when the names of their diagnostics
  /// differ.
  StepStats wait() const;

 private:
  std::vector<std::string> names_;
  std::int64_t world_ = 1;
  at::Tensor reduced_, gram_;  ///< the reduced vector, and LocalStepStats::gram; on the host after copy_to_host_async()
  std::optional<c10::Event> ready_;  ///< recorded after the copies to the host; none on a CPU
};

/// Counts the steps skipped because the loss or a gradient was not finite.
class NonFiniteBudget {
 public:
  static constexpr std::int64_t kWindow = 100;

  explicit NonFiniteBudget(std::int64_t budget) : budget_(budget) {}

  /// Records a skipped step. Returns false when more than `budget` of the last kWindow steps were skipped.
  bool record(std::int64_t iteration);
  std::int64_t in_window() const { return static_cast<std::int64_t>(steps_.size()); }

  /// The state that a checkpoint stores.
  nlohmann::json state() const { return std::vector<std::int64_t>(steps_.begin(), steps_.end()); }
  void load_state(const nlohmann::json& state);

 private:
  std::int64_t budget_;
  std::deque<std::int64_t> steps_;
};

}  // namespace unlabel::launch
