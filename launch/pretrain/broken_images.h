#pragma once

#include <unlabel/data/loader.h>
#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <set>
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

}  // namespace unlabel::launch
