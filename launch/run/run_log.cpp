#include <unlabel/launch/run/run_log.h>

namespace unlabel::launch {

namespace {
/// Removes the entries of steps from `iteration` on from a log file of the run, and returns its path.
std::string cut(const RunFolder& folder, const std::string& name, std::int64_t iteration) {
  auto path = folder.file(name);
  JsonLines::cut(path, "step", iteration);
  return path;
}
}  // namespace

RunLog::RunLog(const RunFolder& folder, std::int64_t iteration)
    : metrics_(cut(folder, "metrics.jsonl", iteration)),
      replaced_(cut(folder, "replaced.jsonl", iteration)),
      nonfinite_(cut(folder, "nonfinite.jsonl", iteration)),
      events_(folder.path(), iteration) {}

bool RunLog::step(const nlohmann::json& line) {
  std::vector<std::pair<std::string, double>> scalars;
  for (const auto& [name, value] : line.items())
    if (value.is_number() && name != "step") scalars.emplace_back(name, value.get<double>());
  // Both files are written even when the first write fails.
  const bool lines = metrics_.append(line);
  return events_.append(line.at("step").get<std::int64_t>(), scalars) && lines;
}

void RunLog::flush() {
  for (auto* lines : {&metrics_, &replaced_, &nonfinite_}) lines->flush();
  events_.flush();
}

}  // namespace unlabel::launch
