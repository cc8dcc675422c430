#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace unlabel::augment {

/// Reads one of the kernel's small files; nullopt when it is not there.
using ReadText = std::function<std::optional<std::string>(const std::string& path)>;

/// What a process may use of its machine: its affinity mask, at most what the quotas of its control groups grant (containers, Slurm,
/// systemd). A quota of 1.5 counts as 2.
struct Processors {
  int threads = 1;  ///< hardware threads
  int cores = 1;    ///< physical cores, of which many processors have two hardware threads each
};

/// How many physical cores the hardware threads `allowed` belong to, by /sys/devices/system/cpu/cpuN/topology/thread_siblings_list; a
/// thread without one counts as a core.
int count_cores(const std::vector<int>& allowed, const ReadText& read);

/// Folders that may have the limits of `controller` ("cpu", "memory") on the control groups of this process: its own ones and those above
/// them, up to the root of the mounted hierarchy; of cgroup v2 and v1.
std::vector<std::string> control_groups(const std::string& controller, const ReadText& read);

/// Processors' worth of time that the control groups of this process grant: the least quota of its own group and of those above it,
/// cpu.max (cgroup v2) or cpu.cfs_quota_us / cpu.cfs_period_us (v1); nullopt without a quota.
std::optional<double> cpu_quota(const ReadText& read);

/// From an affinity mask and the kernel's files.
Processors usable_processors(const std::vector<int>& allowed, const ReadText& read);

/// Those of this process, as it began.
const Processors& usable_processors();

/// Bytes of memory that are free for this process: what the system has available (/proc/meminfo), and at most what the limits of its
/// control groups leave, memory.max (cgroup v2) or memory.limit_in_bytes (v1), where files that the kernel keeps in memory count as free.
/// nullopt: unknown.
std::optional<std::uint64_t> available_memory(const ReadText& read);

/// The same, now.
std::optional<std::uint64_t> available_memory();

}  // namespace unlabel::augment
