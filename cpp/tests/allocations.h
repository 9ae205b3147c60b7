// How many bytes of memory a call asks for. allocations.cpp replaces operator new of the whole program.
#pragma once

#include <cstddef>

namespace swathpack::test {

// False where the system does not tell the size of a block (neither glibc nor macOS): the numbers are 0 then.
[[nodiscard]] bool allocations_are_counted();

// The most bytes that were held at one time since this was made, beyond those held then. One at a time.
class PeakMemory {
 public:
  PeakMemory();
  [[nodiscard]] size_t bytes() const;

 private:
  size_t before_;
};

}  // namespace swathpack::test
