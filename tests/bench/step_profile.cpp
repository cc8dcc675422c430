// Profiles training steps by operation: runs `unlabel pretrain` and times every LibTorch operation.
//
// usage: step_profile STEPS METHOD PRETRAIN-OPTIONS --out NEW-FOLDER    runs 10 steps, then times STEPS more, and prints a table
#include <unlabel/augment/error.h>
#include <unlabel/augment/exception_text.h>
#include <unlabel/launch/cli/commands.h>
#include <unlabel/launch/distributed/main_setup.h>

#include <ATen/record_function.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

/// An operation that is running.
struct Span : at::ObserverContext {
  Clock::time_point begin = Clock::now();
  double inside = 0;  ///< seconds in the operations that it called
  Span* outer = nullptr;
  bool backward = false;
};

// All operations of the run are called by one thread.
thread_local Span* innermost = nullptr;
std::map<std::string, std::pair<double, std::int64_t>> self_times;  // seconds in an operation itself, and calls

std::unique_ptr<at::ObserverContext> start(const at::RecordFunction& function) {
  auto span = std::make_unique<Span>();
  span->outer = innermost;
  span->backward =
      function.scope() == at::RecordScope::BACKWARD_FUNCTION || (innermost != nullptr && innermost->backward);
  innermost = span.get();
  return span;
}

void end(const at::RecordFunction& function, at::ObserverContext* context) {
  auto& span = *static_cast<Span*>(context);
  const double seconds = std::chrono::duration<double>(Clock::now() - span.begin).count();
  innermost = span.outer;
  if (span.outer != nullptr) span.outer->inside += seconds;
  auto& [sum, calls] =
      self_times[std::string(span.backward ? "backward" : "forward, update") + " | " + function.name()];
  sum += seconds - span.inside;
  ++calls;
}

}  // namespace

int main(int count, char** values) {
  using namespace unlabel;
  if (count < 3) {
    std::fputs("usage: step_profile STEPS pretrain's arguments, with a fresh --out\n", stderr);
    return 2;
  }
  launch::quiet_libraries();
  const long steps = std::atol(values[1]);
  std::vector<std::string> arguments(values + 2, values + count);
  const auto run = [&](long until, const std::string& json) {
    auto all = arguments;
    all.insert(all.end(), {"--max-steps", std::to_string(until), "--json", json});
    return launch::command_pretrain(all);
  };
  const std::string json = "/tmp/step_profile." + std::to_string(Clock::now().time_since_epoch().count()) + ".json";
  try {
    if (const int code = run(10, json); code != 0) return code;
    const auto handle = at::addGlobalCallback(at::RecordFunctionCallback(start, end));
    const int code = run(10 + steps, json);
    at::removeCallback(handle);
    if (code != 0) return code;
    const auto summary = nlohmann::json::parse(std::ifstream(json));
    std::remove(json.c_str());
    const double whole = summary.at("seconds").get<double>();
    std::vector<std::pair<double, std::string>> rows;
    double known = 0;
    for (const auto& [name, time] : self_times) {
      rows.emplace_back(time.first, name + " | " + std::to_string(time.second / steps));
      known += time.first;
    }
    std::sort(rows.rbegin(), rows.rend());
    std::printf("| phase | operation | calls a step | ms a step | %% |\n|---|---|---|---|---|\n");
    for (const auto& [seconds, name] : rows)
      if (seconds > 0.002 * whole)
        std::printf("| %s | %.2f | %.1f |\n", name.c_str(), 1e3 * seconds / static_cast<double>(steps),
                    100 * seconds / whole);
    std::printf("| | waiting for data | | %.2f | %.1f |\n",
                1e3 * whole * summary.at("data_wait").get<double>() / static_cast<double>(steps),
                100 * summary.at("data_wait").get<double>());
    std::printf(
        "\n%.1f ms a step, %.1f images a second, %.1f %% of it in LibTorch's operations (start-up's included)\n",
        1e3 * whole / static_cast<double>(steps), summary.at("images_per_second").get<double>(), 100 * known / whole);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "step_profile: %s\n", exception_text(error).c_str());
    return 1;
  }
}
