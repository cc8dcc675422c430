#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// What a method's numbers must not look like for long. A check is bad when its value is on the wrong side of its limit in each of the
/// last kPatience measurements.
struct CollapseCheck {
  std::string name;     ///< in metrics.jsonl: "loss", "feature_spread" ...
  double limit = 0;     ///< the last healthy value
  bool above = false;   ///< bad above the limit; else below
  std::string meaning;  ///< what it says when it is bad
  std::string advice;   ///< what to try
};

/// A limit for the effective rank of embeddings: `rank`, but not more than a sixteenth of their dimensions.
double rank_limit(double rank, std::int64_t dimensions);

/// Watches a run for collapse: all images becoming one. Silent while all is well; it says each check once.
class CollapseMonitor {
 public:
  static constexpr int kPatience = 5;

  /// Measurements before `first_iteration` are not judged: at its start every network looks collapsed.
  CollapseMonitor(std::vector<CollapseCheck> checks, std::int64_t first_iteration);

  /// Takes the values of one iteration by name; those of checks that are missing are passed over. Returns what has just turned bad, a line
  /// each: the value, what it means, and what to try.
  std::vector<std::string> update(std::int64_t iteration, const std::map<std::string, double>& values);

  /// The names of the checks that are bad now.
  std::vector<std::string> triggered() const;

  /// For the checkpoint. A run that goes on says again what is bad.
  nlohmann::json state() const;
  void load_state(const nlohmann::json& state);

 private:
  struct Watched {
    CollapseCheck check;
    int in_a_row = 0;
    bool said = false;
  };
  std::vector<Watched> watched_;
  std::int64_t first_;
};

}  // namespace unlabel::ssl
