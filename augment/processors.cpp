#include <unlabel/augment/processors.h>

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

namespace unlabel::augment {

namespace {

/// "200000 100000" or "max 100000", as cpu.max has it.
std::optional<double> quota_of(const std::string& quota, const std::string& period) {
  const double allowed = std::atof(quota.c_str()), of = std::atof(period.c_str());  // "max" and -1 are no quota
  if (!(allowed > 0) || !(of > 0)) return std::nullopt;
  return allowed / of;
}

std::optional<double> quota_in(const std::string& folder, const ReadText& read) {
  if (const auto both = read(folder + "/cpu.max")) {
    std::istringstream words(*both);
    std::string quota, period;
    words >> quota >> period;
    return quota_of(quota, period);
  }
  const auto quota = read(folder + "/cpu.cfs_quota_us"), period = read(folder + "/cpu.cfs_period_us");
  return quota && period ? quota_of(*quota, *period) : std::nullopt;
}

/// The affinity mask, however many processors the machine has.
std::vector<int> affinity() {
  std::vector<int> allowed;
  for (int most = 1024; most <= 1 << 16; most *= 2) {
    cpu_set_t* set = CPU_ALLOC(most);
    const auto bytes = CPU_ALLOC_SIZE(most);
    const bool known = ::sched_getaffinity(0, bytes, set) == 0;
    for (int cpu = 0; known && cpu < most; ++cpu)
      if (CPU_ISSET_S(cpu, bytes, set)) allowed.push_back(cpu);
    CPU_FREE(set);
    if (known) return allowed;
  }
  for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) allowed.push_back(static_cast<int>(cpu));
  return allowed;
}

}  // namespace

int count_cores(const std::vector<int>& allowed, const ReadText& read) {
  std::set<std::string> cores;
  for (const int cpu : allowed) {
    const auto number = std::to_string(cpu);
    cores.insert(read("/sys/devices/system/cpu/cpu" + number + "/topology/thread_siblings_list").value_or(number));
  }
  return static_cast<int>(cores.size());
}

std::optional<double> cpu_quota(const ReadText& read) {
  std::optional<double> least;
  const auto take = [&](const std::optional<double>& quota) {
    if (quota) least = std::min(*quota, least.value_or(*quota));
  };
  // Lines "4:cpu,cpuacct:/docker/ab" of v1 and "0::/user.slice" of v2. A container sees its own group as the root of the mounted
  // hierarchy, and may still be told the path outside: the groups above are looked at in any case, up to that root.
  std::istringstream lines(read("/proc/self/cgroup").value_or("0::/"));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    std::vector<std::string> mounts;
    if (controllers.empty())
      mounts = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    else if (("," + controllers + ",").find(",cpu,") != std::string::npos)
      mounts = {"/sys/fs/cgroup/" + controllers, "/sys/fs/cgroup/cpu"};
    for (const auto& mount : mounts)
      for (auto path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
        while (!path.empty() && path.back() == '/') path.pop_back();
        take(quota_in(mount + path, read));
        if (path.rfind('/') == std::string::npos) break;
      }
  }
  return least;
}

Processors usable_processors(const std::vector<int>& allowed, const ReadText& read) {
  Processors usable{static_cast<int>(allowed.size()), count_cores(allowed, read)};
  if (const auto quota = cpu_quota(read); quota && *quota < usable.threads) {
    const auto granted = static_cast<int>(std::ceil(*quota));
    usable.threads = std::min(usable.threads, granted);
    usable.cores = std::min(usable.cores, granted);
  }
  return {std::max(1, usable.threads), std::max(1, usable.cores)};
}

const Processors& usable_processors() {
  static const auto usable = usable_processors(affinity(), [](const std::string& path) -> std::optional<std::string> {
    std::ifstream file(path);
    if (!file) return std::nullopt;
    return std::string(std::istreambuf_iterator<char>(file), {});
  });
  return usable;
}

}  // namespace unlabel::augment
