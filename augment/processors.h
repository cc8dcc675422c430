#pragma once

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

/// Processors' worth of time that the control groups of this process grant: the least quota of its own group and of those above it,
/// cpu.max (cgroup v2) or cpu.cfs_quota_us / cpu.cfs_period_us (v1); nullopt without a quota.
std::optional<double> cpu_quota(const ReadText& read);

/// From an affinity mask and the kernel's files.
Processors usable_processors(const std::vector<int>& allowed, const ReadText& read);

/// Those of this process, as it began.
const Processors& usable_processors();

}  // namespace unlabel::augment
