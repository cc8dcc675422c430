#!/bin/bash
# scripts/common.sh counts the processors that it may use, whatever OMP_NUM_THREADS says and control groups grant: cores.sh WORK_DIR
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
groups=$1
rm -rf "$groups"
mkdir -p "$groups/cpu" "$groups/memory"
# shellcheck source=scripts/common.sh
. "$source/scripts/common.sh"
export CGROUP_ROOT=$groups CGROUP_LIST=$groups/list
echo 0::/ >"$CGROUP_LIST"
unset CMAKE_BUILD_PARALLEL_LEVEL
expect() { # WHAT, WANTED, GOT
  [[ $2 == "$3" ]] || { echo "cores: $1: wanted $2, got $3" && exit 1; }
}

all=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
expect "without control groups" "$all" "$(cores)"
expect "one OpenMP thread" "$all" "$(OMP_NUM_THREADS=1 OMP_THREAD_LIMIT=1 cores)"
expect "one processor by affinity" 1 "$(taskset -c "$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')" bash -c '. scripts/common.sh; cores')"

echo "50000 100000" >"$groups/cpu.max"
expect "half a processor" 1 "$(cores)"
expect "compilers on half a processor" 1 "$(job_count)"
echo "$((all * 100000 - 50000)) 100000" >"$groups/cpu.max"
expect "half a processor less than all" "$all" "$(cores)"
echo "$((all * 100000 * 4)) 100000" >"$groups/cpu.max"
expect "more than there are" "$all" "$(cores)"
echo "max 100000" >"$groups/cpu.max"
expect "no quota" "$all" "$(cores)"

echo 0::/user.slice/job/step >"$CGROUP_LIST" # of a group above the process's own
mkdir -p "$groups/user.slice/job/step"
echo "50000 100000" >"$groups/user.slice/job/cpu.max"
echo "max 100000" >"$groups/user.slice/job/step/cpu.max"
expect "half a processor for a group above" 1 "$(cores)"
rm "$groups/user.slice/job/cpu.max"
expect "no quota in three groups" "$all" "$(cores)"
echo $((4 * 1024 * 1024 * 1024)) >"$groups/user.slice/job/memory.max"
echo max >"$groups/user.slice/job/step/memory.max"
expect "compilers in 4 GiB for a group above" 1 "$(job_count)"
echo 0::/outside/of/the/container >"$CGROUP_LIST"
echo "100000 100000" >"$groups/cpu.max"
expect "one processor for a container" 1 "$(cores)"

rm "$groups/cpu.max" # version 1
printf '%s\n' 5:cpuset:/ 4:cpu,cpuacct:/docker/0a1b 3:memory:/docker/0a1b 0::/ >"$CGROUP_LIST"
echo 100000 >"$groups/cpu/cpu.cfs_period_us"
echo 100000 >"$groups/cpu/cpu.cfs_quota_us"
expect "one processor by version 1" 1 "$(cores)"
echo -1 >"$groups/cpu/cpu.cfs_quota_us"
expect "no quota by version 1" "$all" "$(cores)"
echo $((4 * 1024 * 1024 * 1024)) >"$groups/memory/memory.limit_in_bytes"
expect "compilers in 4 GiB by version 1" 1 "$(job_count)"
rm "$groups/memory/memory.limit_in_bytes"
mkdir -p "$groups/memory/docker/0a1b"
echo $((4 * 1024 * 1024 * 1024)) >"$groups/memory/docker/memory.limit_in_bytes"
expect "compilers in 4 GiB for a group above by version 1" 1 "$(job_count)"
