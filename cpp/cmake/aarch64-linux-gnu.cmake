# Cross build for 64-bit ARM Linux with Debian's compiler, its tests run under emulation:
#
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   cmake -S . -B build/arm --toolchain cpp/cmake/aarch64-linux-gnu.cmake && cmake --build build/arm && ctest --test-dir build/arm
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
# Where Debian's cross libraries lie; the emulator takes its dynamic loader and libstdc++ from there.
set(swathpack_arm_root /usr/aarch64-linux-gnu)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${swathpack_arm_root})
set(CMAKE_FIND_ROOT_PATH ${swathpack_arm_root})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
