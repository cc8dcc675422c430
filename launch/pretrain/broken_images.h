#pragma once

#include <unlabel/data/loader.h>
#include <unlabel/ssl/group.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

namespace unlabel::launch {

/// Which images of a data set have turned out to be broken: the same on every rank, and kept over resumes, so that all stop together.
class BrokenImages {
 public:
  /// The run is to end when this share of `images` is broken; at least one. Without a share it is a hundredth, but not fewer than ten, or
  /// than a quarter of fewer than 40 images: a single bad file ends no run of sixty.
  BrokenImages(std::int64_t images, std::optional<double> budget);

  /// Takes down one of these. False when it is one too many.
  bool record(std::int64_t index);
  /// As many end the run.
  std::int64_t most() const { return most_; }
  std::int64_t count() const { return static_cast<std::int64_t>(indices_.size()); }

  /// For the checkpoint.
  nlohmann::json state() const { return indices_; }
  void load_state(const nlohmann::json& state) { indices_ = state.get<std::set<std::int64_t>>(); }

 private:
  std::int64_t most_;
  std::set<std::int64_t> indices_;
};

/// The broken samples of a step on all ranks, as replaced.jsonl has them: step, index, name, reason, replacement. All ranks must call it
/// together.
std::vector<nlohmann::json> gather_replacements(const ssl::Group& group, const std::vector<data::Replacement>& mine,
                                                std::int64_t step);

}  // namespace unlabel::launch
