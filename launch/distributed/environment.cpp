#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/environment.h>

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

constexpr int kMost = 1 << 24;  ///< the largest rank or world size that is accepted

/// Parses Slurm's SLURM_STEP_TASKS_PER_NODE, such as "2(x3),1" for three nodes with 2 tasks and one with 1. Returns the number if it is
/// the same on all nodes; else nullopt.
std::optional<std::string> tasks_of_each_node(const std::optional<std::string>& text) {
  if (!text || text->find(',') != std::string::npos) return std::nullopt;
  return text->substr(0, text->find('('));
}

/// Reads LOCAL_RANK and LOCAL_WORLD_SIZE, or the launcher's equivalents. A launcher's variables are used only if its global rank equals
/// RANK: processes that a job script starts by hand all inherit the same variables, which then describe the script.
void read_place_on_machine(const GetVariable& variable, Environment& environment) {
  struct Launcher {
    const char *rank, *local_rank, *local_world_size;
  };
  static constexpr Launcher kLaunchers[] = {
      {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"},
      {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_SIZE"},
      {"PMI_RANK", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"},
      {"PMI_RANK", "PALS_LOCAL_RANKID", "PALS_LOCAL_SIZE"},
      {"SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE"}};
  auto local_rank = variable("LOCAL_RANK"), local_world = variable("LOCAL_WORLD_SIZE");
  std::string rank_name = "LOCAL_RANK", world_name = "LOCAL_WORLD_SIZE";
  if (!local_rank)
    for (const auto& launcher : kLaunchers) {
      if (variable(launcher.rank) != std::to_string(environment.rank) || !variable(launcher.local_rank)) continue;
      local_rank = variable(rank_name = launcher.local_rank);
      if (!local_world) local_world = tasks_of_each_node(variable(world_name = launcher.local_world_size));
      break;
    }
  // A single process is the only rank of its machine.
  if (environment.world_size == 1) {
    if (!local_rank) local_rank = "0";
    if (!local_world) local_world = "1";
  }
  if (local_rank) environment.local_rank = parse_integer(rank_name, *local_rank, 0, kMost);
  if (local_world) environment.local_world_size = parse_integer(world_name, *local_world, 1, kMost);
  if (environment.local_rank && environment.local_world_size &&
      *environment.local_rank >= *environment.local_world_size)
    throw UsageError(rank_name, " is ", *environment.local_rank, " but ", world_name, " is ",
                     *environment.local_world_size, "; local ranks start at 0");
}

int share_of(int processors, const Environment& environment) {
  return std::max(1, processors / environment.local_world_size.value_or(environment.world_size));
}

}  // namespace

Environment read_environment(const GetVariable& variable) {
  Environment environment;
  const auto world_size = variable("WORLD_SIZE"), rank = variable("RANK");
  if (!world_size && !rank) {
    environment.local_rank = 0;
    environment.local_world_size = 1;
    return environment;
  }

  // Collect all missing variables, so that one message names them. A world of one needs no address.
  std::string missing;
  const auto require = [&](const char* name) {
    const auto value = variable(name);
    if (!value || value->empty()) missing += (missing.empty() ? "" : ", ") + std::string(name);
    return value.value_or("");
  };
  const std::string rank_text = require("RANK"), world_text = require("WORLD_SIZE");
  const bool alone = world_text == "1";
  const std::string address = alone ? "" : require("MASTER_ADDR"), port = alone ? "" : require("MASTER_PORT");
  if (!missing.empty())
    throw UsageError(
        "the environment variables for distributed training are incomplete: ", missing,
        " missing; set what is missing (torchrun does), or unset RANK and WORLD_SIZE for a single process");

  environment.world_size = parse_integer("WORLD_SIZE", world_text, 1, kMost);
  environment.rank = parse_integer("RANK", rank_text, 0, kMost);
  if (environment.rank >= environment.world_size)
    throw UsageError("RANK is ", environment.rank, " but WORLD_SIZE is ", environment.world_size, "; ranks start at 0");
  read_place_on_machine(variable, environment);
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
  return value ? std::optional<std::string>(value) : std::nullopt;
}

int default_threads(const Environment& environment, const augment::Processors& usable, bool processors_compute) {
  return std::min(share_of(processors_compute ? usable.cores : usable.threads, environment), 16);
}

int arithmetic_threads(const Environment& environment, const augment::Processors& usable, int library,
                       const GetVariable& variable) {
  if (variable("OMP_NUM_THREADS") || variable("MKL_NUM_THREADS")) return library;
  return std::min(library, share_of(usable.cores, environment));
}

std::string shared_cores(const std::string& boot_id, const std::vector<bool>& mask, const augment::Processors& usable,
                         const std::string& host) {
  std::string name = boot_id + " ";
  for (const bool bound : mask) name += bound ? '1' : '0';
  const bool quota = usable.threads < std::ranges::count(mask, true);
  return quota || boot_id.empty() ? name + " " + host : name;
}

std::string idle_cores_note(const Environment& environment, const augment::Processors& usable, int threads,
                            const GetVariable& variable) {
  const int share = share_of(usable.cores, environment);
  if (environment.source != "torchrun" || threads > 1 || share < 2 || variable("OMP_NUM_THREADS") != "1") return "";
  return concat("each rank computes on 1 of its ", share,
                " cores, because torchrun sets OMP_NUM_THREADS to 1 by default; put OMP_NUM_THREADS=", share,
                " before the command to use all of them");
}

}  // namespace unlabel::launch
