# The mutation campaigns (campaign.h) on one build of the core; CTest runs a short piece of both.
function(add_campaign name library n_short)
  add_executable(${name} "${PROJECT_SOURCE_DIR}/cpp/fuzz/mutation_campaign.cpp" "${PROJECT_SOURCE_DIR}/cpp/fuzz/campaign.cpp"
                 "${PROJECT_SOURCE_DIR}/cpp/tests/allocations.cpp")
  target_link_libraries(${name} PRIVATE ${library})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/cpp/src" "${PROJECT_SOURCE_DIR}/cpp/tests")
  target_compile_options(${name} PRIVATE -Wall -Wextra -Wpedantic -Wshadow)
  if(CMAKE_CROSSCOMPILING)  # an emulator takes its time
    set(n_short 1000)
  endif()
  set(tables "${PROJECT_SOURCE_DIR}/models/s2-nano/tables.bin" "${PROJECT_SOURCE_DIR}/models/rgb-small/tables.bin")
  foreach(mode kept recomputed)
    add_test(NAME ${name}_${mode} COMMAND ${name} ${mode} 0 ${n_short} 1 ${tables})
    if(CMAKE_CROSSCOMPILING)
      set_tests_properties(${name}_${mode} PROPERTIES ENVIRONMENT ASAN_OPTIONS=detect_leaks=0)
    endif()
  endforeach()
endfunction()
