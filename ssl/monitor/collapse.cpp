#include <unlabel/augment/error.h>
#include <unlabel/ssl/monitor/collapse.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace unlabel::ssl {

namespace {
std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}
}  // namespace

double few_directions(double rank, std::int64_t dimensions) {
  return std::min(rank, static_cast<double>(dimensions) / 16);
}

CollapseMonitor::CollapseMonitor(std::vector<CollapseSign> signs, std::int64_t first_iteration)
    : first_(first_iteration) {
  for (auto& sign : signs) watched_.push_back({std::move(sign)});
}

std::vector<std::string> CollapseMonitor::see(std::int64_t iteration, const std::map<std::string, double>& values) {
  std::vector<std::string> said;
  if (iteration < first_) return said;
  for (auto& [sign, in_a_row, said_before] : watched_) {
    const auto found = values.find(sign.name);
    if (found == values.end()) continue;
    const double value = found->second;
    // A value that is no number is not a good one.
    const bool good = sign.above ? value <= sign.limit : value >= sign.limit;
    if (good) {
      in_a_row = 0;
      continue;
    }
    if (++in_a_row >= kPatience && !std::exchange(said_before, true))
      said.push_back(concat(sign.name, " is ", shown(value), " (", sign.above ? "above " : "below ", shown(sign.limit),
                            ") at step ", iteration, ": ", sign.meaning, ". ", sign.advice));
  }
  return said;
}

std::vector<std::string> CollapseMonitor::bad() const {
  std::vector<std::string> names;
  for (const auto& item : watched_)
    if (item.in_a_row >= kPatience) names.push_back(item.sign.name);
  return names;
}

nlohmann::json CollapseMonitor::state() const {
  auto counts = nlohmann::json::object();
  for (const auto& item : watched_) counts[item.sign.name] = item.in_a_row;
  return counts;
}

void CollapseMonitor::load_state(const nlohmann::json& state) {
  for (auto& item : watched_) item.in_a_row = state.value(item.sign.name, 0);
}

}  // namespace unlabel::ssl
