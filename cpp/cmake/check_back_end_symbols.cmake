# Fails if a file compiled for processors that not everyone has holds a weak function: an inline function or a
# template instance that another file may hold too, of which the linker keeps any one copy for the whole program.
#
#   cmake -DNM=nm -DLIBRARY=libswathpack.a -DBACK_ENDS=gf256_avx2.cpp,… -P check_back_end_symbols.cmake
string(REPLACE "," ";" back_ends "${BACK_ENDS}")
execute_process(COMMAND "${NM}" -A -C "${LIBRARY}" OUTPUT_VARIABLE listing COMMAND_ERROR_IS_FATAL ANY)
string(REGEX REPLACE "[][;]" "," listing "${listing}")  # they mean something in lists
string(REPLACE "\n" ";" lines "${listing}")
set(weak "")
foreach(source IN LISTS back_ends)
  string(FIND "${listing}" ":${source}.o:" place)
  if(place EQUAL -1)
    message(FATAL_ERROR "${LIBRARY} has no ${source}.o")
  endif()
  foreach(line IN LISTS lines)
    if(line MATCHES ":${source}\\.o:[0-9a-f]+ W ")
      string(APPEND weak "\n  ${line}")
    endif()
  endforeach()
endforeach()
if(weak)
  message(FATAL_ERROR "functions that other files may share, compiled for one instruction set:${weak}")
endif()
