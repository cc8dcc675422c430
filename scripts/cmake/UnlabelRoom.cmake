# What every room's CMakeLists.txt uses: one target a room, headers spelled <unlabel/ROOM/file.h>, includes only downwards.

# Flags of every target of ours; never exported.
add_library(unlabel_flags INTERFACE)
target_compile_options(unlabel_flags INTERFACE -fPIC -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual)
if(UNLABEL_WERROR)
  target_compile_options(unlabel_flags INTERFACE -Werror)
endif()
if(UNLABEL_UNITY) # an included source looks like a header to this one, which warns of members of types in anonymous namespaces there
  target_compile_options(unlabel_flags INTERFACE -Wno-subobject-linkage)
endif()
if(UNLABEL_SANITIZE)
  target_compile_options(unlabel_flags INTERFACE -fsanitize=${UNLABEL_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(unlabel_flags INTERFACE -fsanitize=${UNLABEL_SANITIZE})
endif()
if(UNLABEL_COVERAGE)
  target_compile_options(unlabel_flags INTERFACE --coverage -fprofile-update=atomic)
  target_link_options(unlabel_flags INTERFACE --coverage)
endif()

# UNLABEL_ENABLED: the components asked for and all that they need, in the order of UNLABEL_ROOMS.
function(unlabel_resolve_components)
  set(needs_data augment)
  set(needs_ssl augment data)
  set(needs_eval augment data ssl)
  set(needs_launch augment data ssl eval)
  set(enabled "")
  foreach(component IN LISTS UNLABEL_COMPONENTS)
    if(NOT component IN_LIST UNLABEL_ROOMS)
      message(FATAL_ERROR "UNLABEL_COMPONENTS: no component '${component}'; there are: ${UNLABEL_ROOMS}")
    endif()
    list(APPEND enabled ${needs_${component}} ${component})
  endforeach()
  set(ordered "")
  foreach(room IN LISTS UNLABEL_ROOMS)
    if(room IN_LIST enabled)
      list(APPEND ordered ${room})
    endif()
  endforeach()
  set(UNLABEL_ENABLED "${ordered}" PARENT_SCOPE)
endfunction()

# unlabel_room(NAME SOURCES file.cpp... [PUBLIC target...] [PRIVATE target...])
# Makes unlabel_NAME (alias unlabel::NAME). One link a room in the build folder gives the installed spelling of its headers; a target
# sees its own room and those it links, so an include that points upwards does not compile.
function(unlabel_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  set(link_root "${PROJECT_BINARY_DIR}/include/${name}")
  file(MAKE_DIRECTORY "${link_root}/unlabel")
  file(CREATE_LINK "${CMAKE_CURRENT_SOURCE_DIR}" "${link_root}/unlabel/${name}" SYMBOLIC)

  add_library(unlabel_${name} ${ROOM_SOURCES})
  add_library(unlabel::${name} ALIAS unlabel_${name})
  set_target_properties(unlabel_${name} PROPERTIES EXPORT_NAME ${name})
  target_compile_features(unlabel_${name} PUBLIC cxx_std_20)
  target_include_directories(unlabel_${name} PUBLIC $<BUILD_INTERFACE:${link_root}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_link_libraries(unlabel_${name} PUBLIC ${ROOM_PUBLIC} PRIVATE ${ROOM_PRIVATE} $<BUILD_INTERFACE:unlabel_flags>)
endfunction()

# One precompiled header of tensors and modules, shared by every target that calls unlabel_use_torch_pch. It is not torch/torch.h: what
# that adds (optimizers, data loaders, all layers) is instantiated anew in every source that loads it, 4 seconds each, and is not used.
# Sources that never include torch should be marked with unlabel_without_torch, so that they do not load it.
function(unlabel_use_torch_pch target)
  if(NOT UNLABEL_PCH)
    return()
  endif()
  if(NOT TARGET unlabel_torch_pch)
    set(source "${PROJECT_BINARY_DIR}/torch_pch.cpp")
    file(WRITE "${source}.tmp" "// Only here to give the precompiled header a target.\n")
    configure_file("${source}.tmp" "${source}" COPYONLY)
    add_library(unlabel_torch_pch OBJECT "${source}")
    target_link_libraries(unlabel_torch_pch PRIVATE unlabel::augment LibTorch::LibTorch unlabel_flags)
    target_compile_features(unlabel_torch_pch PRIVATE cxx_std_20)
    target_precompile_headers(unlabel_torch_pch PRIVATE <torch/types.h> <torch/nn/module.h> <nlohmann/json.hpp> <opencv2/core/mat.hpp>)
    target_compile_options(unlabel_torch_pch PRIVATE -fpch-preprocess)
  endif()
  target_precompile_headers(${target} REUSE_FROM unlabel_torch_pch)
  # These sources spend their time in LibTorch: -O2 compiles a tenth faster than -O3. (GCC takes one precompiled header for every level
  # but -O0.) The loops in ssl/clustering/kmeans.cpp are written in lanes, which -O2 makes vector instructions of, and -O3 slower ones.
  target_compile_options(${target} PRIVATE -fpch-preprocess $<$<CONFIG:Release>:-O2>)
endfunction()

function(unlabel_without_torch)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# unlabel_unity(TARGET SOURCES_PER_UNIT [ALONE file.cpp...])
# With UNLABEL_UNITY, the target's sources are compiled in units of SOURCES_PER_UNIT, in the order of its list, and those after ALONE one by
# one (what Highway compiles once an instruction set; hot loops, which are to be optimized as in a plain build). LibTorch's headers are most
# of a source's time and are read once a unit; a unit of 12 takes 20 s and 1.7 GB. Names in anonymous namespaces must differ within a target.
function(unlabel_unity target sources_per_unit)
  cmake_parse_arguments(UNITY "" "" "ALONE" ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${UNLABEL_UNITY} UNITY_BUILD_BATCH_SIZE ${sources_per_unit})
  set_source_files_properties(${UNITY_ALONE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()
