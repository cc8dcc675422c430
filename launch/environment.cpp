#include <unlabel/augment/error.h>
#include <unlabel/launch/environment.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

namespace unlabel::launch {

namespace {

int parse_integer(const std::string& name, const std::string& text, int low, int high) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high)
    throw UsageError("environment variable ", name, " is '", text, "', not an integer from ", low, " to ", high);
  return value;
}

}  // namespace

Environment read_environment(const GetVariable& variable) {
  Environment environment;
  const auto world_size = variable("WORLD_SIZE"), rank = variable("RANK");
  if (!world_size && !rank) return environment;

  std::string missing;
  const auto require = [&](const char* name) {
    const auto value = variable(name);
    if (!value || value->empty()) missing += (missing.empty() ? "" : ", ") + std::string(name);
    return value.value_or("");
  };
  constexpr int kMost = 1 << 24;
  const std::string rank_text = require("RANK"), world_text = require("WORLD_SIZE");
  const bool alone = world_text == "1";
  const std::string address = alone ? "" : require("MASTER_ADDR"), port = alone ? "" : require("MASTER_PORT");
  if (!missing.empty())
    throw UsageError("the environment names a group of processes only in part: ", missing,
                     " missing; set it (torchrun does), or unset RANK and WORLD_SIZE to run alone");

  environment.world_size = parse_integer("WORLD_SIZE", world_text, 1, kMost);
  environment.rank = parse_integer("RANK", rank_text, 0, kMost);
  if (environment.rank >= environment.world_size)
    throw UsageError("RANK is ", environment.rank, " but WORLD_SIZE is ", environment.world_size,
                     "; ranks count from 0");
  const auto local_rank = variable("LOCAL_RANK");
  environment.local_rank = local_rank ? parse_integer("LOCAL_RANK", *local_rank, 0, kMost) : environment.rank;
  if (const auto local_world = variable("LOCAL_WORLD_SIZE"))
    environment.local_world_size = parse_integer("LOCAL_WORLD_SIZE", *local_world, 1, kMost);
  environment.source = "environment";
  if (!alone) {
    environment.master_address = address;
    environment.master_port = parse_integer("MASTER_PORT", port, 1, 65535);
    if (const auto agent = variable("TORCHELASTIC_USE_AGENT_STORE")) {
      environment.agent_store = *agent == "True" || *agent == "true" || *agent == "1";
      environment.source = "torchrun";
      if (const auto attempt = variable("TORCHELASTIC_RESTART_COUNT"))
        environment.attempt = parse_integer("TORCHELASTIC_RESTART_COUNT", *attempt, 0, kMost);
    }
  }
  return environment;
}

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value) return std::nullopt;
  return value;
}

Environment read_environment() { return read_environment(environment_variable); }

namespace {

int share_of(int processors, const Environment& environment) {
  return std::max(1, processors / environment.local_world_size);
}

}  // namespace

int default_threads(const Environment& environment, const data::Processors& usable, bool processors_compute) {
  return std::min(share_of(processors_compute ? usable.cores : usable.threads, environment), 16);
}

int arithmetic_threads(const Environment& environment, const data::Processors& usable, int library,
                       const GetVariable& variable) {
  if (variable("OMP_NUM_THREADS") || variable("MKL_NUM_THREADS")) return library;
  return std::min(library, share_of(usable.cores, environment));
}

std::string idle_cores_note(const Environment& environment, const data::Processors& usable, int threads,
                            const GetVariable& variable) {
  const int share = share_of(usable.cores, environment);
  if (environment.source != "torchrun" || threads > 1 || share < 2 || variable("OMP_NUM_THREADS") != "1") return "";
  return concat("each rank computes on 1 of its ", share,
                " cores: torchrun sets OMP_NUM_THREADS to 1 where it is not set; OMP_NUM_THREADS=", share,
                " before the command uses them");
}

}  // namespace unlabel::launch
