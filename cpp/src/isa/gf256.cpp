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
};

// Best first; those that cannot run here are left out.
std::vector<Entry> ask() {
  std::vector<Entry> found;
#if defined(__x86_64__)
  const bool avx512 = processor().avx512, avx2 = processor().avx2, gfni = processor().gfni;
  if (avx512 && gfni) found.push_back({&kGf256Avx512Gfni, "avx512"});
  if (avx512) found.push_back({&kGf256Avx512, "avx512"});
  if (avx2 && gfni) found.push_back({&kGf256Avx2Gfni, "avx2"});
  if (avx2) found.push_back({&kGf256Avx2, "avx2"});
#elif defined(__aarch64__)
  if (processor().neon) found.push_back({&kGf256Neon, "neon"});
#endif
  found.push_back({&kGf256Scalar, "scalar"});
  return found;
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> found = ask();
  return found;
}

}  // namespace

std::span<const Gf256Kernels* const> gf256_back_ends() {
  static const std::vector<const Gf256Kernels*> listed = [] {
    std::vector<const Gf256Kernels*> all;
    for (const Entry& entry : entries()) all.push_back(entry.kernels);
    return all;
  }();
  return listed;
}

// Asked at every call, since set_isa() may have changed the choice: a few comparisons before a whole block.
const Gf256Kernels& gf256_kernels() {
  const char* const isa = kernels().name;
  for (const Entry& entry : entries()) {
    if (std::strcmp(entry.isa, isa) == 0) return *entry.kernels;
  }
  return kGf256Scalar;
}

}  // namespace swathpack
