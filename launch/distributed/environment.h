#pragma once

#include <unlabel/augment/processors.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// This process's place among those that train together.
struct Environment {
  int rank = 0;  ///< in [0, world_size)
  int world_size = 1;
  std::optional<int> local_rank;        ///< on this machine, picks the GPU; nullopt: the launcher does not tell
  std::optional<int> local_world_size;  ///< ranks on this machine; nullopt: the launcher does not tell
  std::string master_address;           ///< where rank 0's store listens
  int master_port = 0;
  bool agent_store =
      false;        ///< the launcher (torchrun) serves the store at that address, so that every rank is a client
  int attempt = 0;  ///< how often the launcher has started the ranks again
  std::string source = "single";  ///< what told: "single", "torchrun" or "environment"
};

/// Reads a variable; nullopt when it is unset.
using GetVariable = std::function<std::optional<std::string>(const std::string&)>;

/// A variable of this process.
std::optional<std::string> environment_variable(const std::string& name);

/// The place that a launcher's variables give: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as torchrun sets them (with
/// TORCHELASTIC_USE_AGENT_STORE) or as anyone may set them by hand. None of them set: a single process.
/// Without LOCAL_RANK and LOCAL_WORLD_SIZE the place on the machine is what Slurm (SLURM_LOCALID, SLURM_STEP_TASKS_PER_NODE), Open MPI,
/// MPICH and Intel MPI, MVAPICH or PALS say, where RANK is their number of this process, and else unknown: global numbers say nothing of
/// it.
/// Throws UsageError, naming what is missing or wrong, when they are set in part or contradict each other.
Environment read_environment(const GetVariable& variable);

/// From the process's own environment.
Environment read_environment();

// While nobody knows how many ranks are on this machine, a share is as if all were.

/// Loader threads for a rank, 1 to 16: its share of the hardware threads that may be used here, or of the cores where the processors
/// compute too, for two threads of one core that both compute are hardly faster than one.
int default_threads(const Environment& environment, const augment::Processors& usable, bool processors_compute);

/// Threads that a rank computes on: what its library would take (`library`) by itself or by OMP_NUM_THREADS; without that variable
/// (nor MKL_NUM_THREADS) no more than its share of the cores, for ranks or containers that take more stand in each other's way.
int arithmetic_threads(const Environment& environment, const augment::Processors& usable, int library,
                       const GetVariable& variable);

/// Names the cores that a rank may use, so that ranks of one name share them: those of `mask` (of sched_getaffinity) of the machine that
/// `boot_id` names. Containers of one machine, which have host names of their own, share its cores unless a quota (`usable`) gives each its
/// own; where there is no boot_id, the host name stands for it.
std::string shared_cores(const std::string& boot_id, const std::vector<bool>& mask, const augment::Processors& usable,
                         const std::string& host);

/// A line for ranks that leave most of their cores idle, since torchrun sets OMP_NUM_THREADS to 1 where nobody has; else empty.
std::string idle_cores_note(const Environment& environment, const augment::Processors& usable, int threads,
                            const GetVariable& variable);

}  // namespace unlabel::launch
