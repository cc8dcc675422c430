# Finds LibTorch and defines the imported target LibTorch::LibTorch.
#
# Accepts the PyPI wheel (a `site-packages/torch` folder), a stock LibTorch zip, and a CPU-only build of either. The wheel's own
# TorchConfig.cmake is not used: it demands a CUDA toolkit and enables the CUDA language, and a host program needs neither.
#
# Input:   LIBTORCH_ROOT        the folder that holds include/ and lib/; by default the project's .venv is searched
# Results: LibTorch_FOUND, LibTorch_VERSION
#          LibTorch_RPATH       folders of its libraries, for installed programs
#          LibTorch_WITH_CUDA   ON when libtorch_cuda and the CUDA headers are there
#          LibTorch_WITH_NCCL   ON when NCCL's and CCCL's headers are there too (c10d::ProcessGroupNCCL can be compiled)
#          LibTorch_WITH_GLOO   ON when Gloo's headers are found (c10d::ProcessGroupGloo can be compiled)

set(LIBTORCH_ROOT "" CACHE PATH "LibTorch: the folder that holds include/ and lib/ (site-packages/torch of the wheel, or an unpacked zip)")

set(_libtorch_named "${LIBTORCH_ROOT}")
if(NOT LIBTORCH_ROOT)
  set(_libtorch_named "$ENV{LIBTORCH_ROOT}")
endif()
set(_libtorch_hints "${_libtorch_named}")
if(NOT LIBTORCH_ROOT)
  file(GLOB _libtorch_venv "${CMAKE_CURRENT_LIST_DIR}/../../.venv/lib/python3*/site-packages/torch")
  list(APPEND _libtorch_hints ${_libtorch_venv})
endif()

# What was found stays in the cache, until another root is named or this one is gone. (An environment variable that is merely missing
# names none: CMake may be started anew by a build in another shell.)
if((_libtorch_named AND NOT _libtorch_named STREQUAL "$CACHE{_LibTorch_named}")
    OR NOT "${LIBTORCH_ROOT}" STREQUAL "$CACHE{_LibTorch_option}"
    OR NOT EXISTS "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/torch.h")
  get_cmake_property(_libtorch_cached CACHE_VARIABLES)
  foreach(_name IN LISTS _libtorch_cached)
    if(_name MATCHES "^LibTorch_.+_(LIBRARY|DIR)$")
      unset(${_name} CACHE)
    endif()
  endforeach()
  set(_LibTorch_named "${_libtorch_named}" CACHE INTERNAL "LIBTORCH_ROOT, option or environment, when LibTorch_* were looked for")
  set(_LibTorch_option "${LIBTORCH_ROOT}" CACHE INTERNAL "LIBTORCH_ROOT, the option, when LibTorch_* were looked for")
endif()

find_path(LibTorch_INCLUDE_DIR NAMES torch/csrc/api/include/torch/torch.h PATHS ${_libtorch_hints} PATH_SUFFIXES include
  NO_DEFAULT_PATH)
set(_libtorch_required LibTorch_INCLUDE_DIR)
if(LibTorch_INCLUDE_DIR)
  get_filename_component(_libtorch_root "${LibTorch_INCLUDE_DIR}" DIRECTORY)
  set(_libtorch_libraries "")
  foreach(_name torch torch_cpu c10)
    find_library(LibTorch_${_name}_LIBRARY NAMES ${_name} PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH)
    list(APPEND _libtorch_required LibTorch_${_name}_LIBRARY)
    list(APPEND _libtorch_libraries "${LibTorch_${_name}_LIBRARY}")
    mark_as_advanced(LibTorch_${_name}_LIBRARY)
  endforeach()

  set(LibTorch_VERSION "")
  set(_libtorch_version_header "${LibTorch_INCLUDE_DIR}/torch/headeronly/version.h")
  if(NOT EXISTS "${_libtorch_version_header}")
    set(_libtorch_version_header "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h")
  endif()
  file(STRINGS "${_libtorch_version_header}" _libtorch_version_lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) [0-9]+")
  foreach(_line IN LISTS _libtorch_version_lines)
    string(REGEX MATCH "[0-9]+$" _number "${_line}")
    string(APPEND LibTorch_VERSION "${_number}.")
  endforeach()
  string(REGEX REPLACE "\\.$" "" LibTorch_VERSION "${LibTorch_VERSION}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LibTorch REQUIRED_VARS ${_libtorch_required} VERSION_VAR LibTorch_VERSION
  REASON_FAILURE_MESSAGE "run scripts/setup, which installs the pinned wheel into .venv, or pass -DLIBTORCH_ROOT=/path/to/libtorch")

if(LibTorch_FOUND AND NOT TARGET LibTorch::LibTorch)
  set(_libtorch_includes "${LibTorch_INCLUDE_DIR}" "${LibTorch_INCLUDE_DIR}/torch/csrc/api/include")
  set(_libtorch_definitions "")
  set(_libtorch_rpath "${_libtorch_root}/lib")
  get_filename_component(_libtorch_site "${_libtorch_root}" DIRECTORY)

  # CUDA: libraries in torch/lib; headers and libcudart in the wheel's nvidia/cu* packages, or in an installed toolkit.
  set(LibTorch_WITH_CUDA OFF)
  find_library(LibTorch_torch_cuda_LIBRARY NAMES torch_cuda PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH)
  find_library(LibTorch_c10_cuda_LIBRARY NAMES c10_cuda PATHS "${_libtorch_root}/lib" NO_DEFAULT_PATH)
  mark_as_advanced(LibTorch_torch_cuda_LIBRARY LibTorch_c10_cuda_LIBRARY)
  file(GLOB _libtorch_nvidia_includes "${_libtorch_site}/nvidia/cu*/include" "${_libtorch_site}/nvidia/cuda_runtime/include")
  # cuda_runtime.h needs crt/, which is in a package of its own (nvidia-cuda-crt): a folder without it is of no use.
  find_path(LibTorch_CUDA_INCLUDE_DIR NAMES crt/host_config.h
    PATHS ${_libtorch_nvidia_includes} /usr/local/cuda/include NO_DEFAULT_PATH)
  # Globs apart: one glob sorts its results, and an installed toolkit of another version would come before the wheel's own library.
  file(GLOB _libtorch_cudart "${_libtorch_site}/nvidia/cu*/lib/libcudart.so*" "${_libtorch_site}/nvidia/cuda_runtime/lib/libcudart.so*")
  file(GLOB _libtorch_toolkit_cudart "/usr/local/cuda/lib64/libcudart.so")
  list(APPEND _libtorch_cudart ${_libtorch_toolkit_cudart})
  mark_as_advanced(LibTorch_CUDA_INCLUDE_DIR)
  if(LibTorch_torch_cuda_LIBRARY AND LibTorch_c10_cuda_LIBRARY AND LibTorch_CUDA_INCLUDE_DIR AND _libtorch_cudart)
    set(LibTorch_WITH_CUDA ON)
    list(GET _libtorch_cudart 0 _libtorch_cudart)
    get_filename_component(_libtorch_cudart_dir "${_libtorch_cudart}" DIRECTORY)
    list(APPEND _libtorch_includes "${LibTorch_CUDA_INCLUDE_DIR}")
    list(APPEND _libtorch_libraries "${LibTorch_torch_cuda_LIBRARY}" "${LibTorch_c10_cuda_LIBRARY}" "${_libtorch_cudart}")
    list(APPEND _libtorch_rpath "${_libtorch_cudart_dir}")
  endif()

  set(LibTorch_WITH_NCCL OFF)
  find_path(LibTorch_NCCL_INCLUDE_DIR NAMES nccl.h PATHS "${_libtorch_site}/nvidia/nccl/include" ${LibTorch_CUDA_INCLUDE_DIR} /usr/include
    NO_DEFAULT_PATH)
  # c10d's NCCL interface includes cuda_fp16.h, and that nv/target, of another package again (nvidia-cuda-cccl).
  find_path(LibTorch_CCCL_INCLUDE_DIR NAMES nv/target PATHS ${LibTorch_CUDA_INCLUDE_DIR} ${LibTorch_CUDA_INCLUDE_DIR}/cccl NO_DEFAULT_PATH)
  mark_as_advanced(LibTorch_NCCL_INCLUDE_DIR LibTorch_CCCL_INCLUDE_DIR)
  if(LibTorch_WITH_CUDA AND LibTorch_NCCL_INCLUDE_DIR AND LibTorch_CCCL_INCLUDE_DIR)
    set(LibTorch_WITH_NCCL ON)
    list(APPEND _libtorch_includes "${LibTorch_NCCL_INCLUDE_DIR}" "${LibTorch_CCCL_INCLUDE_DIR}")
    list(APPEND _libtorch_definitions USE_C10D_NCCL)
  endif()

  # The wheel carries Gloo's code but not its headers; Debian's libgloo-dev headers fit it (used in one source file only).
  set(LibTorch_WITH_GLOO OFF)
  find_path(LibTorch_GLOO_INCLUDE_DIR NAMES gloo/algorithm.h PATHS "${LibTorch_INCLUDE_DIR}" /usr/include)
  mark_as_advanced(LibTorch_GLOO_INCLUDE_DIR)
  if(LibTorch_GLOO_INCLUDE_DIR)
    set(LibTorch_WITH_GLOO ON)
    list(APPEND _libtorch_definitions USE_C10D_GLOO)
    if(NOT LibTorch_GLOO_INCLUDE_DIR STREQUAL "/usr/include")
      list(APPEND _libtorch_includes "${LibTorch_GLOO_INCLUDE_DIR}")
    endif()
  endif()

  list(REMOVE_DUPLICATES _libtorch_includes)
  add_library(LibTorch::LibTorch INTERFACE IMPORTED)
  set_target_properties(LibTorch::LibTorch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_libtorch_includes}"
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${_libtorch_includes}"
    INTERFACE_COMPILE_DEFINITIONS "USE_DISTRIBUTED;${_libtorch_definitions}"
    INTERFACE_COMPILE_FEATURES cxx_std_17)
  # --no-as-needed: libtorch_cuda registers its kernels when loaded and is named by no symbol of ours.
  # libstdc++ comes first: the wheel's libtorch.so exports parts of a std::filesystem of its own, which crash when they are picked
  # (remove_all of 2.11.0 calls a null pointer).
  list(TRANSFORM _libtorch_rpath PREPEND "-Wl,-rpath," OUTPUT_VARIABLE _libtorch_rpath_flags)
  set_property(TARGET LibTorch::LibTorch PROPERTY INTERFACE_LINK_LIBRARIES
    "-Wl,--push-state,--no-as-needed" stdc++ ${_libtorch_libraries} "-Wl,--pop-state" ${_libtorch_rpath_flags})
  set(LibTorch_RPATH "${_libtorch_rpath}")
  if(NOT LibTorch_FIND_QUIETLY)
    message(STATUS "LibTorch ${LibTorch_VERSION}: cuda ${LibTorch_WITH_CUDA}, nccl ${LibTorch_WITH_NCCL}, gloo ${LibTorch_WITH_GLOO}")
  endif()
endif()
mark_as_advanced(LibTorch_INCLUDE_DIR)
