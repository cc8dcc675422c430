#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// A limit for one logged value of a method. The check triggers when the value was beyond the limit in each of the last
/// CollapseMonitor::kPatience measurements.
struct CollapseCheck {
  std::string name;     ///< of the value in metrics.jsonl: "loss", "feature_spread" ...
  double limit = 0;     ///< a value equal to it is still good
  bool above = false;   ///< true: values above the limit are bad; false: values below it
  std::string meaning;  ///< for the warning: what it means that the value is bad
  std::string advice;   ///< for the warning: what the user can try
};

/// A limit for the effective rank of embeddings with that many dimensions: min(rank, dimensions / 16).
double rank_limit(double rank, std::int64_t dimensions);

/// Detects collapse (the network maps all images to nearly the same embedding) from the logged values. Each check warns once.
class CollapseMonitor {
 public:
  static constexpr int kPatience = 5;

  /// Measurements before `first_iteration` are ignored, because an untrained network looks collapsed.
  CollapseMonitor(std::vector<CollapseCheck> checks, std::int64_t first_iteration);

  /// Takes the values of one iteration, by name; a check whose value is missing keeps its state. Returns a warning for each check that
  /// triggered now for the first time: one line with the value, what it means, and what to try.
  std::vector<std::string> update(std::int64_t iteration, const std::map<std::string, double>& values);

  /// The names of the checks that are triggered now.
  std::vector<std::string> triggered() const;

  /// The counts of bad measurements, for the checkpoint. A resumed run warns again of checks that are still bad.
  nlohmann::json state() const;
  void load_state(const nlohmann::json& state);

 private:
  struct Watched {
    CollapseCheck check;
    int in_a_row = 0;     ///< consecutive bad measurements
    bool warned = false;  ///< update() has returned the warning
  };
  std::vector<Watched> watched_;
  std::int64_t first_;
};

}  // namespace unlabel::ssl
