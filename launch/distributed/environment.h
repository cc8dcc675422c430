#pragma once

#include <unlabel/augment/processors.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::launch {

/// Rank and world size of this process, and how it reaches the other ranks.
struct Environment {
  int rank = 0;  ///< in [0, world_size)
  int world_size = 1;
  std::optional<int> local_rank;        ///< rank on this machine, which selects the GPU; nullopt: unknown
  std::optional<int> local_world_size;  ///< number of ranks on this machine; nullopt: unknown
  std::string master_address;           ///< host on which rank 0's store listens
  int master_port = 0;
  bool agent_store = false;  ///< the launcher (torchrun) runs the store at that address, so that every rank is a client
  int attempt = 0;           ///< number of times the launcher has restarted the ranks
  std::string source =
      "single";  ///< origin of these values: "single" (no variables are set), "torchrun" or "environment"
};

/// Returns the value of an environment variable; nullopt when it is unset.
using GetVariable = std::function<std::optional<std::string>(const std::string&)>;

/// An environment variable of this process; nullopt when it is unset.
std::optional<std::string> environment_variable(const std::string& name);

/// Reads RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, as set by torchrun (with TORCHELASTIC_USE_AGENT_STORE) or by hand, by
/// default from the environment of this process. If neither RANK nor WORLD_SIZE is set, this is a single process.
/// Without LOCAL_RANK or LOCAL_WORLD_SIZE, uses the equivalent variables of Slurm (SLURM_LOCALID, SLURM_STEP_TASKS_PER_NODE), Open MPI,
/// MPICH, Intel MPI, MVAPICH or PALS, but only if that launcher's global rank equals RANK; otherwise they stay unknown.
/// Throws UsageError that names what is missing or wrong when the variables are incomplete or contradictory.
Environment read_environment(const GetVariable& variable = environment_variable);

// The functions below divide the machine's cores by local_world_size; while that is unknown, by world_size.

/// Number of loader threads of a rank, 1 to 16: its share of the hardware threads in `usable`. If the CPU also trains
/// (`processors_compute`), its share of the cores, because two busy hardware threads of one core are hardly faster than one.
int default_threads(const Environment& environment, const augment::Processors& usable, bool processors_compute);

/// Number of threads that LibTorch computes on in a rank: `library`, LibTorch's own choice, if OMP_NUM_THREADS or MKL_NUM_THREADS is set;
/// otherwise at most the rank's share of the cores, because ranks or containers with more threads than cores slow each other down.
int arithmetic_threads(const Environment& environment, const augment::Processors& usable, int library,
                       const GetVariable& variable);

/// A string that identifies the set of cores that a rank may use: ranks with equal strings share their cores. It consists of `boot_id`,
/// which identifies the machine, and the affinity `mask` (of sched_getaffinity). Containers on one machine have different host names but
/// share its cores, unless a CPU quota limits each (`usable` has fewer threads than `mask`): then, or if `boot_id` is empty, the host name
/// is part of the string.
std::string shared_cores(const std::string& boot_id, const std::vector<bool>& mask, const augment::Processors& usable,
                         const std::string& host);

/// A note for the user when ranks leave most of their cores idle because torchrun sets OMP_NUM_THREADS to 1 by default; else empty.
std::string idle_cores_note(const Environment& environment, const augment::Processors& usable, int threads,
                            const GetVariable& variable);

}  // namespace unlabel::launch
