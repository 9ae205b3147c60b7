#include <array>
#include <cstdlib>
#include <cstring>

#include "isa/kernels.h"
#include "swathpack/isa.h"

namespace swathpack {
namespace {

// Best first. An AVX2 or NEON back end goes before the scalar one, guarded by its own processor check.
constexpr std::array<const Kernels*, 1> kBackEnds = {&kScalarKernels};

struct Choice {
  const Kernels* kernels;
  MaybeError error;
};

Choice choose() {
  const char* wanted = std::getenv("SWATHPACK_ISA");
  if (wanted == nullptr || *wanted == '\0') return {kBackEnds.front(), std::nullopt};
  std::string known;
  for (const Kernels* k : kBackEnds) {
    if (std::strcmp(k->name, wanted) == 0) return {k, std::nullopt};
    known += (known.empty() ? "" : ", ") + std::string(k->name);
  }
  return {&kScalarKernels,
          Error{ErrorKind::kBadInput, "SWATHPACK_ISA names an instruction set this build lacks", std::nullopt,
                known, wanted, "unset SWATHPACK_ISA or name one of these"}};
}

const Choice& choice() {
  static const Choice chosen = choose();
  return chosen;
}

}  // namespace

const Kernels& kernels() { return *choice().kernels; }
const char* isa_name() { return kernels().name; }
MaybeError isa_error() { return choice().error; }

}  // namespace swathpack
