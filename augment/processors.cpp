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

/// A number of bytes; "max" is none.
std::optional<std::uint64_t> number_of(const std::optional<std::string>& text) {
  std::uint64_t number = 0;
  return text && std::istringstream(*text) >> number ? std::optional(number) : std::nullopt;
}

/// The sum of the values that have one of these names, of lines "NAME VALUE ..."; nullopt where none has.
std::optional<std::uint64_t> values_of(const std::set<std::string>& names, const std::optional<std::string>& text) {
  std::optional<std::uint64_t> sum;
  std::istringstream lines(text.value_or(""));
  std::string name, rest;
  for (std::uint64_t value = 0; lines >> name >> value; std::getline(lines, rest))
    if (names.contains(name)) sum = sum.value_or(0) + value;
  return sum;
}

/// Bytes that the limit of a control group leaves; nullopt without a limit.
std::optional<std::uint64_t> memory_left(const std::string& folder, const ReadText& read) {
  auto limit = number_of(read(folder + "/memory.max")), used = number_of(read(folder + "/memory.current"));
  std::set<std::string> files{"inactive_file", "active_file"};
  if (!limit) {
    limit = number_of(read(folder + "/memory.limit_in_bytes"));
    used = number_of(read(folder + "/memory.usage_in_bytes"));
    files = {"total_inactive_file", "total_active_file"};  // of v1, those without "total" leave out the groups below
  }
  if (!limit || !used) return std::nullopt;
  const auto given_back = values_of(files, read(folder + "/memory.stat")).value_or(0);
  return *limit - std::min(*limit, *used - std::min(*used, given_back));
}

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
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

std::vector<std::string> control_groups(const std::string& controller, const ReadText& read) {
  std::vector<std::string> groups;
  // Lines "4:cpu,cpuacct:/docker/ab" of v1 and "0::/user.slice" of v2. A container sees its own group as the root of the mounted
  // hierarchy, and may still see the outer path here: so the groups above are read in any case, up to that root.
  std::istringstream lines(read("/proc/self/cgroup").value_or("0::/"));
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    std::vector<std::string> mounts;
    if (controllers.empty())
      mounts = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    else if (("," + controllers + ",").find("," + controller + ",") != std::string::npos)
      mounts = {"/sys/fs/cgroup/" + controllers, "/sys/fs/cgroup/" + controller};
    for (const auto& mount : mounts)
      for (auto path = line.substr(second + 1);; path.erase(path.rfind('/'))) {
        while (!path.empty() && path.back() == '/') path.pop_back();
        groups.push_back(mount + path);
        if (path.rfind('/') == std::string::npos) break;
      }
  }
  return groups;
}

std::optional<double> cpu_quota(const ReadText& read) {
  std::optional<double> least;
  for (const auto& group : control_groups("cpu", read))
    if (const auto quota = quota_in(group, read)) least = std::min(*quota, least.value_or(*quota));
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
  static const auto usable = usable_processors(affinity(), read_text);
  return usable;
}

std::optional<std::uint64_t> available_memory(const ReadText& read) {
  std::optional<std::uint64_t> available;
  if (const auto kilobytes = values_of({"MemAvailable:"}, read("/proc/meminfo"))) available = *kilobytes << 10;
  for (const auto& group : control_groups("memory", read))
    if (const auto left = memory_left(group, read)) available = std::min(*left, available.value_or(*left));
  return available;
}

std::optional<std::uint64_t> available_memory() { return available_memory(read_text); }

}  // namespace unlabel::augment
