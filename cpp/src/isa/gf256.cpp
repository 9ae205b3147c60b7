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
std::vector<Entry> entries() {
  return {
#if defined(__x86_64__)
      {&kGf256Avx512Gfni, "avx512", processor().avx512 && processor().gfni},
      {&kGf256Avx512, "avx512", processor().avx512},
      {&kGf256Avx2Gfni, "avx2", processor().avx2 && processor().gfni},
      {&kGf256Avx2, "avx2", processor().avx2},
#elif defined(__aarch64__)
      {&kGf256Neon, "neon", processor().neon},
#endif
      {&kGf256Scalar, "scalar", true}};
}

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
