#pragma once

#include <unlabel/augment/options.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace unlabel::launch {

/// How often checkpoints are written: every N iterations, or every N minutes. In JSON a number of iterations, or a string such as "20min".
struct SaveInterval {
  std::int64_t steps = 1000;  ///< 0: only at the end and when the run is asked to stop
  double minutes = 0;         ///< if above 0, `steps` is ignored

  friend bool operator==(const SaveInterval&, const SaveInterval&) = default;
};

/// Parses an interval from JSON (or a value of the command line); nullopt when it is not one.
std::optional<SaveInterval> read_save_interval(const nlohmann::json& json);

void to_json(nlohmann::json& json, const SaveInterval& interval);
void from_json(const nlohmann::json& json, SaveInterval& interval);

}  // namespace unlabel::launch

template <>
struct unlabel::detail::OptionType<unlabel::launch::SaveInterval> {
  static std::string name() { return "steps, or minutes as in 20min"; }
  static bool accepts(const nlohmann::json& json) { return unlabel::launch::read_save_interval(json).has_value(); }
};
