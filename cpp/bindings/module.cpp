#include <pybind11/pybind11.h>
PYBIND11_MODULE(_swathpack_core, m) { m.doc() = "placeholder"; }
