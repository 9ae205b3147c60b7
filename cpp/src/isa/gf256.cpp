#include "isa/gf256.h"

#include <cstring>
#include <vector>

#include "isa/kernels.h"
#include "isa/processor.h"

namespace swathpack {
namespace {

// One back end, and the instruction set of the coder (Kernels::name) that it belongs to.
struct Entry {
  const Gf256Kernels* kernels;
  const char* isa;
  bool runs;
};

// Best first.
std::vector<Entry> entries() { return {{&kGf256Scalar, "scalar", true}}; }

std::vector<const Gf256Kernels*> runnable() {
  std::vector<const Gf256Kernels*> found;
  for (const Entry& entry : entries()) {
    if (entry.runs) found.push_back(entry.kernels);
  }
  return found;
}

const Gf256Kernels* choose() {
  for (const Entry& entry : entries()) {
    if (entry.runs && std::strcmp(entry.isa, kernels().name) == 0) return entry.kernels;
  }
  return &kGf256Scalar;
}

}  // namespace

std::span<const Gf256Kernels* const> gf256_back_ends() {
  static const std::vector<const Gf256Kernels*> found = runnable();
  return found;
}

const Gf256Kernels& gf256_kernels() {
  static const Gf256Kernels* const chosen = choose();
  return *chosen;
}

}  // namespace swathpack
