#pragma once

#include <unlabel/augment/options.h>

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>
#include <string>

namespace unlabel::launch {

/// How often state is saved: every so many iterations, or minutes of the clock. In JSON a number, or a text such as "20min".
struct SaveInterval {
  std::int64_t steps = 1000;  ///< 0: only at the end and when asked to stop
  double minutes = 0;         ///< above 0: these, and not the steps

  friend bool operator==(const SaveInterval&, const SaveInterval&) = default;
};

/// What JSON (or a word of the command line) says; nullopt when it is no interval.
std::optional<SaveInterval> read_save_interval(const nlohmann::json& json);

void to_json(nlohmann::json& json, const SaveInterval& interval);
void from_json(const nlohmann::json& json, SaveInterval& interval);

}  // namespace unlabel::launch

template <>
struct unlabel::detail::OptionType<unlabel::launch::SaveInterval> {
  static std::string name() { return "steps, or minutes as in 20min"; }
  static bool accepts(const nlohmann::json& json) { return unlabel::launch::read_save_interval(json).has_value(); }
};
