#!/bin/bash
# FindLibTorch.cmake looks anew when LIBTORCH_ROOT names another folder or the one found is gone. libtorch_root.sh WORK_DIR
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
work=$1
rm -rf "$work"
for name in a b; do
  include=$work/$name/include/torch/csrc/api/include/torch
  mkdir -p "$include" "$work/$name/lib"
  touch "$include/torch.h" "$work/$name"/lib/lib{torch,torch_cpu,c10}.so
  printf '#define TORCH_VERSION_MAJOR 2\n' >"$include/version.h"
done
mkdir "$work/cmake"
cp "$source/scripts/cmake/FindLibTorch.cmake" "$work/cmake" # away from a .venv
cat >"$work/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(root LANGUAGES NONE)
set(CMAKE_FIND_LIBRARY_PREFIXES lib)
set(CMAKE_FIND_LIBRARY_SUFFIXES .so)
list(APPEND CMAKE_MODULE_PATH "${PROJECT_SOURCE_DIR}/cmake")
find_package(LibTorch)
message(STATUS "c10 is ${LibTorch_c10_LIBRARY}")
END

expect() { # FOUND, what was done, arguments of cmake
  cmake -S "$work" -B "$work/build" "${@:3}" >"$work/log" 2>&1 || true
  grep -q "^-- c10 is $1\$" "$work/log" || {
    echo "libtorch_root: $2: expected $1" >&2
    cat "$work/log" >&2
    exit 1
  }
}
export LIBTORCH_ROOT=$work/a
expect "$work/a/lib/libc10.so" "the environment's root"
export LIBTORCH_ROOT=$work/b
expect "$work/b/lib/libc10.so" "another root in the environment"
unset LIBTORCH_ROOT
expect "$work/b/lib/libc10.so" "a build in a shell without the variable"
expect "$work/a/lib/libc10.so" "an option" -DLIBTORCH_ROOT="$work/a"
expect "" "the option taken back" -DLIBTORCH_ROOT=
expect "$work/b/lib/libc10.so" "another option" -DLIBTORCH_ROOT="$work/b"
mv "$work/b" "$work/c"
expect "" "a root that is gone"
