# install() and export. Every room is an install component and an export set of its own, so that a program which asks for `augment`
# never looks for LibTorch:
#     find_package(unlabel 0.1 REQUIRED COMPONENTS augment)
#     target_link_libraries(program PRIVATE unlabel::augment)

if(UNLABEL_DATA_CORE_ONLY) # half a room, for sanitizers
  return()
endif()

# Headers that are a part of one other file or of a few sources, and no interface: they are not installed, and no installed one includes them.
set(UNLABEL_PRIVATE_HEADERS
  "-inl[.]h$"
  "^augment/codec/(channels|decoders|levels)[.]h$"
  "^augment/python/"
  "^augment/transforms/work_image[.]h$"
  "^data/file_list[.]h$"
  "^data/image/(contents|dataset_index|folder_splits|folder_walk)[.]h$"
  "^launch/cli/"
  "^launch/distributed/(arithmetic|backends|process)[.]h$"
  "^launch/pretrain/(broken_images|initial_weights|run|run_record|training_monitor)[.]h$"
  "^ssl/planning/plans[.]h$"
  "^ssl/weights/safetensors_header[.]h$")
list(JOIN UNLABEL_PRIVATE_HEADERS "|" private_headers)

include(CMakePackageConfigHelpers)
set(UNLABEL_INSTALL_CMAKEDIR "${CMAKE_INSTALL_LIBDIR}/cmake/unlabel")

foreach(room IN LISTS UNLABEL_ENABLED)
  string(SUBSTRING ${room} 0 1 initial)
  string(SUBSTRING ${room} 1 -1 rest)
  string(TOUPPER ${initial} initial)
  set(set_name unlabel${initial}${rest}Targets)
  install(TARGETS unlabel_${room} EXPORT ${set_name} ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT ${room}
    LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT ${room})
  install(EXPORT ${set_name} NAMESPACE unlabel:: DESTINATION "${UNLABEL_INSTALL_CMAKEDIR}" COMPONENT ${room})

  file(GLOB_RECURSE headers RELATIVE "${PROJECT_SOURCE_DIR}" CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${room}/*.h")
  list(FILTER headers EXCLUDE REGEX "${private_headers}")
  foreach(header IN LISTS headers)
    get_filename_component(folder "${header}" DIRECTORY)
    install(FILES "${PROJECT_SOURCE_DIR}/${header}" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/unlabel/${folder}" COMPONENT ${room})
  endforeach()
endforeach()

if(data IN_LIST UNLABEL_ENABLED)
  find_package(LibTorch REQUIRED QUIET)
  install(FILES "${PROJECT_SOURCE_DIR}/scripts/cmake/FindLibTorch.cmake" DESTINATION "${UNLABEL_INSTALL_CMAKEDIR}" COMPONENT data)
  get_filename_component(UNLABEL_LIBTORCH_ROOT "${LibTorch_INCLUDE_DIR}" DIRECTORY)
endif()
if(TARGET unlabel)
  # LibTorch is no system library: the installed program keeps the way to it.
  set_target_properties(unlabel PROPERTIES INSTALL_RPATH "${LibTorch_RPATH}")
  install(TARGETS unlabel RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT launch)
endif()

configure_package_config_file("${CMAKE_CURRENT_LIST_DIR}/unlabelConfig.cmake.in" "${PROJECT_BINARY_DIR}/unlabelConfig.cmake"
  INSTALL_DESTINATION "${UNLABEL_INSTALL_CMAKEDIR}" NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/unlabelConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/unlabelConfig.cmake" "${PROJECT_BINARY_DIR}/unlabelConfigVersion.cmake"
  DESTINATION "${UNLABEL_INSTALL_CMAKEDIR}" COMPONENT augment)
