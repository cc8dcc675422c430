#!/bin/bash
# What the scripts here share. Sourced, never run: it moves to the top folder of the project.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

fail() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# The comment at the head of the script.
usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/$(basename "$0")"
}

# Folders of the control groups of this process that may have limits of a controller (cpu, memory): its own ones and those above them, v2
# and v1, as augment/processors.cpp has it. A container sees its group as the root, and may be told the path outside: control_groups CONTROLLER
control_groups() {
  local groups=${CGROUP_ROOT:-/sys/fs/cgroup} line controllers path mount mounts
  { cat "${CGROUP_LIST:-/proc/self/cgroup}" 2>/dev/null || echo 0::/; } | while IFS= read -r line; do
    controllers=${line#*:}
    path=${controllers#*:}
    controllers=${controllers%%:*}
    if [[ -z $controllers ]]; then
      mounts=("$groups" "$groups/unified")
    elif [[ ,$controllers, == *,$1,* ]]; then
      mounts=("$groups/$controllers" "$groups/$1")
    else
      continue
    fi
    while true; do
      path=${path%/}
      for mount in "${mounts[@]}"; do echo "$mount$path"; done
      [[ $path == */* ]] || break
      path=${path%/*}
    done
  done
}

# Processors that may be used here: the affinity mask, at most what the quotas of control groups grant, rounded up.
cores() {
  local cores group quota period
  cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) # nproc would take these for the number of processors
  while IFS= read -r group; do
    if ! read -r quota period 2>/dev/null <"$group/cpu.max"; then
      quota=$(cat "$group/cpu.cfs_quota_us" 2>/dev/null || echo max)
      period=$(cat "$group/cpu.cfs_period_us" 2>/dev/null || echo max)
    fi
    [[ $quota =~ ^[0-9]+$ && $period =~ ^[1-9][0-9]*$ ]] || continue
    quota=$(((quota + period - 1) / period))
    ((quota < 1)) && quota=1
    ((quota < cores)) && cores=$quota
  done < <(control_groups cpu)
  echo "$cores"
}

# How many compilers at once: one a core, and 3 GiB of memory for each (a file that includes torch takes 2).
job_count() {
  if [[ -n ${CMAKE_BUILD_PARALLEL_LEVEL:-} ]]; then
    echo "$CMAKE_BUILD_PARALLEL_LEVEL"
    return
  fi
  local cores kib limit group
  cores=$(cores)
  kib=$(awk '/^MemTotal:/ {print $2}' /proc/meminfo)
  while IFS= read -r group; do
    limit=$(cat "$group/memory.max" 2>/dev/null || cat "$group/memory.limit_in_bytes" 2>/dev/null || echo max)
    [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1024 < kib)) && kib=$((limit / 1024))
  done < <(control_groups memory)
  local by_memory=$((kib / (3 * 1024 * 1024)))
  ((by_memory < 1)) && by_memory=1
  echo $((cores < by_memory ? cores : by_memory))
}

# 75 -> "1 min 15 s"
minutes() {
  if (($1 < 60)); then echo "$1 s"; else echo "$(($1 / 60)) min $(($1 % 60)) s"; fi
}

# Lets CMake use ccache where it is installed, with what a precompiled header asks of it. The environment wins.
use_ccache() {
  command -v ccache >/dev/null || return 0
  export CMAKE_CXX_COMPILER_LAUNCHER=${CMAKE_CXX_COMPILER_LAUNCHER-ccache}
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS-pch_defines,time_macros,include_file_mtime,include_file_ctime}
}
