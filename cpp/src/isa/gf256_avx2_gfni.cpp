// Products with AVX2 and GFNI: one affine transform per 32 bytes. Compiled with -mavx2 -mgfni; see
// gf256_tiles.h.
#include <immintrin.h>

#include "isa/gf256.h"
#include "isa/gf256_tables.h"
#include "isa/gf256_tiles.h"

namespace swathpack {
namespace {

struct Avx2Gfni {
  using Vector = __m256i;
  using Source = Vector;
  using Factor = Vector;
  static constexpr unsigned kRows = 6, kVectors = 2;

  static Vector zero() { return _mm256_setzero_si256(); }
  static Source load(const uint8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const Vector*>(from));
  }
  static Factor factor(uint8_t c) { return _mm256_set1_epi64x(static_cast<long long>(kGf256Affine.of[c])); }
  static Vector add_product(Vector sum, Factor c, Source s) {
    return _mm256_xor_si256(sum, _mm256_gf2p8affine_epi64_epi8(s, c, 0));
  }
  static void store(uint8_t* to, Vector v) { _mm256_storeu_si256(reinterpret_cast<Vector*>(to), v); }
};

}  // namespace

const Gf256Kernels kGf256Avx2Gfni = {"avx2-gfni", product<Avx2Gfni>};

}  // namespace swathpack
