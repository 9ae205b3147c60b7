# The installed core: include/swathpack/, libswathpack.a, find_package(swathpack) with the target swathpack::core, and
# swathpack.pc. All of it can be moved: paths are relative to where the files stand.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/swathpack")
set_target_properties(swathpack_core PROPERTIES EXPORT_NAME core)
target_compile_features(swathpack_core INTERFACE cxx_std_20)  # for its C++ headers; C needs nothing
install(TARGETS swathpack_core EXPORT swathpackTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY cpp/include/swathpack DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
install(EXPORT swathpackTargets NAMESPACE swathpack:: DESTINATION "${package_dir}")

# A C linker does not know the C++ standard library: name the one that this compiler links.
set(cxx_library "")
foreach(name IN ITEMS stdc++ c++)
  if(name IN_LIST CMAKE_CXX_IMPLICIT_LINK_LIBRARIES)
    set(cxx_library "-l${name}")
  endif()
endforeach()

configure_package_config_file(cpp/cmake/swathpackConfig.cmake.in swathpackConfig.cmake
                              INSTALL_DESTINATION "${package_dir}")
write_basic_package_version_file(swathpackConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/swathpackConfig.cmake" "${PROJECT_BINARY_DIR}/swathpackConfigVersion.cmake"
        DESTINATION "${package_dir}")

file(RELATIVE_PATH prefix_from_pc "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(cpp/cmake/swathpack.pc.in swathpack.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/swathpack.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
