#include <unlabel/augment/json_text.h>
#include <unlabel/launch/checkpoint/save_interval.h>

#include <cmath>

namespace unlabel::launch {

std::optional<SaveInterval> read_save_interval(const nlohmann::json& json) {
  if (detail::OptionType<std::int64_t>::accepts(json)) {
    const auto steps = json.get<std::int64_t>();
    return steps < 0 ? std::nullopt : std::optional(SaveInterval{steps, 0});
  }
  if (!json.is_string()) return std::nullopt;
  // "20min" and "20m"; minutes may have decimals.
  auto text = json.get<std::string>();
  if (text.ends_with("min"))
    text.resize(text.size() - 3);
  else if (text.ends_with("m"))
    text.resize(text.size() - 1);
  else
    return std::nullopt;
  const auto number = try_parse_json(text);
  if (!number || !number->is_number()) return std::nullopt;
  const auto minutes = number->get<double>();
  if (!std::isfinite(minutes) || minutes <= 0) return std::nullopt;
  return SaveInterval{0, minutes};
}

void to_json(nlohmann::json& json, const SaveInterval& interval) {
  if (interval.minutes > 0)
    json = nlohmann::json(interval.minutes).dump() + "min";
  else
    json = interval.steps;
}

void from_json(const nlohmann::json& json, SaveInterval& interval) { interval = read_save_interval(json).value(); }

}  // namespace unlabel::launch
