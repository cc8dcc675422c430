#include <unlabel/augment/error.h>
#include <unlabel/ssl/monitor/collapse.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace unlabel::ssl {

namespace {
/// Three significant digits, for messages.
std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}
}  // namespace

double rank_limit(double rank, std::int64_t dimensions) { return std::min(rank, static_cast<double>(dimensions) / 16); }

CollapseMonitor::CollapseMonitor(std::vector<CollapseCheck> checks, std::int64_t first_iteration)
    : first_(first_iteration) {
  for (auto& check : checks) watched_.push_back({std::move(check)});
}

std::vector<std::string> CollapseMonitor::update(std::int64_t iteration, const std::map<std::string, double>& values) {
  std::vector<std::string> warnings;
  if (iteration < first_) return warnings;
  for (auto& [check, in_a_row, warned] : watched_) {
    const auto found = values.find(check.name);
    if (found == values.end()) continue;
    const double value = found->second;
    // Written so that NaN, for which every comparison is false, is bad.
    const bool good = check.above ? value <= check.limit : value >= check.limit;
    if (good) {
      in_a_row = 0;
      continue;
    }
    // Warn when the count reaches kPatience, and only once in a run.
    if (++in_a_row >= kPatience && !std::exchange(warned, true))
      warnings.push_back(concat(check.name, " is ", shown(value), " (", check.above ? "above " : "below ",
                                shown(check.limit), ") at step ", iteration, ": ", check.meaning, ". ", check.advice));
  }
  return warnings;
}

std::vector<std::string> CollapseMonitor::triggered() const {
  std::vector<std::string> names;
  for (const auto& item : watched_)
    if (item.in_a_row >= kPatience) names.push_back(item.check.name);
  return names;
}

nlohmann::json CollapseMonitor::state() const {
  auto counts = nlohmann::json::object();
  for (const auto& item : watched_) counts[item.check.name] = item.in_a_row;
  return counts;
}

void CollapseMonitor::load_state(const nlohmann::json& state) {
  for (auto& item : watched_) item.in_a_row = state.value(item.check.name, 0);
}

}  // namespace unlabel::ssl
