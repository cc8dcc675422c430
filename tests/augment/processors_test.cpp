#include <unlabel/augment/processors.h>

#include <gtest/gtest.h>

#include <map>
#include <numeric>

namespace unlabel::augment {
namespace {

using Files = std::map<std::string, std::string>;

ReadText reader(Files files) {
  return [files = std::move(files)](const std::string& path) -> std::optional<std::string> {
    const auto found = files.find(path);
    if (found == files.end()) return std::nullopt;
    return found->second;
  };
}

/// Hardware threads 0 to n - 1.
std::vector<int> first(int n) {
  std::vector<int> all(n);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// A machine of `cores` cores with two hardware threads each: n and n + cores.
Files two_threads_a_core(int cores) {
  Files files;
  for (int cpu = 0; cpu < 2 * cores; ++cpu)
    files["/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list"] =
        std::to_string(cpu % cores) + "," + std::to_string(cpu % cores + cores) + "\n";
  return files;
}

TEST(Processors, CountsCoresAndNotTheirHardwareThreads) {
  const auto read = reader(two_threads_a_core(4));
  EXPECT_EQ(count_cores(first(8), read), 4);
  EXPECT_EQ(count_cores({1, 5}, read), 1);
  EXPECT_EQ(count_cores({1, 2, 7}, read), 3);
  EXPECT_EQ(count_cores(first(6), reader({})), 6) << "without topology a thread counts as a core";
  const auto usable = usable_processors(first(8), read);
  EXPECT_EQ(usable.threads, 8);
  EXPECT_EQ(usable.cores, 4);
}

TEST(Processors, ReadsQuotasOfControlGroups) {
  const std::string own = "/proc/self/cgroup";
  // Version 2: in a container, of a group and of one above it, and none.
  EXPECT_EQ(cpu_quota(reader({{own, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "250000 100000\n"}})), 2.5);
  EXPECT_EQ(cpu_quota(reader({{own, "0::/user.slice/job\n"},
                              {"/sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n"},
                              {"/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n"}})),
            4);
  EXPECT_EQ(cpu_quota(reader({{own, "0::/a\n"},
                              {"/sys/fs/cgroup/a/cpu.max", "50000 100000\n"},
                              {"/sys/fs/cgroup/cpu.max", "200000 100000\n"}})),
            0.5);
  EXPECT_EQ(cpu_quota(reader({{own, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", "max 100000\n"}})), std::nullopt);
  EXPECT_EQ(cpu_quota(reader({{own, "0::/\n"}})), std::nullopt);
  EXPECT_EQ(cpu_quota(reader({})), std::nullopt);
  // Version 1: the path outside of the container is not there inside, where its group is the root.
  const std::string v1 = "5:cpuset:/\n4:cpu,cpuacct:/docker/0a1b\n1:name=systemd:/docker/0a1b\n";
  EXPECT_EQ(cpu_quota(reader({{own, v1},
                              {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n"},
                              {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}})),
            3);
  EXPECT_EQ(cpu_quota(reader({{own, v1},
                              {"/sys/fs/cgroup/cpu/docker/0a1b/cpu.cfs_quota_us", "150000\n"},
                              {"/sys/fs/cgroup/cpu/docker/0a1b/cpu.cfs_period_us", "100000\n"}})),
            1.5);
  EXPECT_EQ(cpu_quota(reader({{own, v1},
                              {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n"},
                              {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"}})),
            std::nullopt);
  for (const char* damaged : {"", "max", "ten 100000", "100000 0", "100000"})
    EXPECT_EQ(cpu_quota(reader({{own, "0::/\n"}, {"/sys/fs/cgroup/cpu.max", damaged}})), std::nullopt) << damaged;
}

TEST(Processors, MemoryIsNoMoreThanControlGroupsLeave) {
  const std::string own = "/proc/self/cgroup";
  const auto available = [&](Files files) {
    files["/proc/meminfo"] = "MemTotal:       65536000 kB\nMemAvailable:    1000 kB\nBuffers:   7 kB\n";
    return available_memory(reader(std::move(files)));
  };
  EXPECT_EQ(available_memory(reader({})), std::nullopt);
  EXPECT_EQ(available({}), 1'024'000u);
  // Version 2: of the own group, of one above it, of a container whose group is the root; and none.
  const std::string memory = "/sys/fs/cgroup/user.slice/job/memory.";
  Files job{{own, "0::/user.slice/job\n"}, {memory + "max", "500000\n"}, {memory + "current", "200000\n"}};
  EXPECT_EQ(available(job), 300'000u);
  job[memory + "stat"] = "anon 5\ninactive_file 40000\nactive_file 10000\nshmem 9\n";
  EXPECT_EQ(available(job), 350'000u) << "files that are kept in memory can be given back";
  job["/sys/fs/cgroup/user.slice/memory.max"] = "600000\n";
  job["/sys/fs/cgroup/user.slice/memory.current"] = "590000\n";
  EXPECT_EQ(available(job), 10'000u);
  job["/sys/fs/cgroup/user.slice/memory.current"] = "700000\n";
  EXPECT_EQ(available(job), 0u);
  EXPECT_EQ(
      available(
          {{own, "0::/\n"}, {"/sys/fs/cgroup/memory.max", "500000\n"}, {"/sys/fs/cgroup/memory.current", "100000\n"}}),
      400'000u);
  EXPECT_EQ(
      available(
          {{own, "0::/\n"}, {"/sys/fs/cgroup/memory.max", "max\n"}, {"/sys/fs/cgroup/memory.current", "100000\n"}}),
      1'024'000u);
  // Version 1: the group above, whose "total" counts those below it; no limit is a number beyond any memory.
  const std::string above = "/sys/fs/cgroup/memory/docker/memory.", below = "/sys/fs/cgroup/memory/docker/0a1b/memory.";
  EXPECT_EQ(available({{own, "5:cpuset:/\n4:memory:/docker/0a1b\n"},
                       {above + "limit_in_bytes", "500000\n"},
                       {above + "usage_in_bytes", "300000\n"},
                       {above + "stat", "inactive_file 1\ntotal_inactive_file 20000\ntotal_active_file 3000\n"},
                       {below + "limit_in_bytes", "9223372036854771712\n"},
                       {below + "usage_in_bytes", "300000\n"}}),
            223'000u);
  EXPECT_GT(available_memory().value_or(1), 0u);
}

TEST(Processors, AreNoMoreThanAQuotaGrants) {
  auto files = two_threads_a_core(32);
  const auto with_quota = [&](const std::string& quota) {
    files["/sys/fs/cgroup/cpu.max"] = quota;
    return usable_processors(first(64), reader(files));
  };
  EXPECT_EQ(with_quota("200000 100000").cores, 2);
  EXPECT_EQ(with_quota("200000 100000").threads, 2);
  EXPECT_EQ(with_quota("150000 100000").cores, 2);
  EXPECT_EQ(with_quota("10000 100000").cores, 1);
  EXPECT_EQ(with_quota("4800000 100000").threads, 48);
  EXPECT_EQ(with_quota("4800000 100000").cores, 32);
  EXPECT_EQ(with_quota("9900000 100000").threads, 64);
  EXPECT_EQ(with_quota("max 100000").threads, 64);
}

TEST(Processors, OfThisProcessAreAtLeastOne) {
  EXPECT_GE(usable_processors().cores, 1);
  EXPECT_GE(usable_processors().threads, usable_processors().cores);
}

}  // namespace
}  // namespace unlabel::augment
