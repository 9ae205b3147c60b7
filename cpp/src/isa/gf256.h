// The erasure code's seam between the algebra and the machine: products of a matrix with rows of bytes over
// GF(2^8), modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11D).
//
// Each back end is one source file in this folder. One call does all rows of a block, so that a faster one
// may read each source byte once for many targets. All give the same bytes: the field has no rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace swathpack {

struct Gf256Kernels {
  const char* name;

  // targets[i][b] = Σ_j  coefficients[i · n_sources + j] · sources[j][b]  for all b < n; 0 without sources.
  // Targets are written only, each of their n bytes, and overlap neither sources nor each other. Any
  // alignment.
  void (*product)(uint8_t* const* targets, unsigned n_targets, const uint8_t* const* sources,
                  unsigned n_sources, const uint8_t* coefficients, size_t n);
};

extern const Gf256Kernels kGf256Scalar;
extern const Gf256Kernels kGf256Avx2, kGf256Avx2Gfni, kGf256Avx512, kGf256Avx512Gfni;  // x86-64 only
extern const Gf256Kernels kGf256Neon;                                                  // AArch64 only

// Those that this build has and this processor can run, best first; the last is the scalar one.
[[nodiscard]] std::span<const Gf256Kernels* const> gf256_back_ends();

// The one in use. It follows the choice of kernels(), and so SWATHPACK_ISA.
[[nodiscard]] const Gf256Kernels& gf256_kernels();

}  // namespace swathpack
