// Which instruction set the coder runs on.
#pragma once

#include <string>
#include <vector>

#include "swathpack/error.h"

namespace swathpack {

// The name of the back end in use: "avx512", "avx2", "neon" or "scalar", the first of them that the processor
// and the operating system can run. The environment variable SWATHPACK_ISA chooses one by name; it is read
// once, at the first use of the core.
[[nodiscard]] const char* isa_name();

// All that can run here, best first.
[[nodiscard]] std::vector<std::string> isa_names();

// Chooses one by name, for tests and benchmarks that compare them; while no other call is in progress.
[[nodiscard]] MaybeError set_isa(const std::string& name);

// Why the value of SWATHPACK_ISA cannot be honoured, if so; the scalar back end is in use then. Callers
// report it (the Python module refuses to be imported), since a silent fallback would make a test of a back
// end test another.
[[nodiscard]] MaybeError isa_error();

// SHA-256 (hex) over the sources this library was built from; cpp/build_id.py computes the same from a
// checkout.
[[nodiscard]] const char* build_id();

}  // namespace swathpack
