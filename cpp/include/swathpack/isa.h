// Which instruction set the coder runs on.
#pragma once

#include <string>

#include "swathpack/error.h"

namespace swathpack {

// The name of the back end in use: "scalar" in this version. The environment variable SWATHPACK_ISA chooses
// one by name; tests use it to run every back end. It is read once, at the first use of the core.
[[nodiscard]] const char* isa_name();

// Why the value of SWATHPACK_ISA cannot be honoured, if so; the scalar back end is in use then. Callers
// report it (the Python module refuses to be imported), since a silent fallback would make a test of a back
// end test another.
[[nodiscard]] MaybeError isa_error();

// SHA-256 (hex) over the sources this library was built from; cpp/build_id.py computes the same from a
// checkout.
[[nodiscard]] const char* build_id();

}  // namespace swathpack
