// Products with AVX-512 and GFNI: one affine transform per 64 bytes. Compiled with -mavx512f -mavx512bw
// -mgfni; see gf256_tiles.h.
#include <immintrin.h>

#include "isa/gf256.h"
#include "isa/gf256_tables.h"
#include "isa/gf256_tiles.h"

namespace swathpack {
namespace {

struct Avx512Gfni {
  using Vector = __m512i;
  using Source = Vector;
  using Factor = Vector;
  // Of 32 registers 26 are sums: the repair symbols of a usual block (20 % of 64) in one pass.
  static constexpr unsigned kRows = 13, kVectors = 2;

  static Vector zero() { return _mm512_setzero_si512(); }
  static Source load(const uint8_t* from) { return _mm512_loadu_si512(from); }
  static Factor factor(uint8_t c) { return _mm512_set1_epi64(static_cast<long long>(kGf256Affine.of[c])); }
  static Vector add_product(Vector sum, Factor c, Source s) {
    return _mm512_xor_si512(sum, _mm512_gf2p8affine_epi64_epi8(s, c, 0));
  }
  static void store(uint8_t* to, Vector v) { _mm512_storeu_si512(to, v); }
};

}  // namespace

const Gf256Kernels kGf256Avx512Gfni = {"avx512-gfni", product<Avx512Gfni>};

}  // namespace swathpack
