// Products with AVX2: two shuffles of 16-entry tables per 32 bytes. Compiled with -mavx2; see gf256_tiles.h.
#include <immintrin.h>

#include "isa/gf256.h"
#include "isa/gf256_tables.h"
#include "isa/gf256_tiles.h"

namespace swathpack {
namespace {

struct Avx2 {
  using Vector = __m256i;
  struct Source {
    Vector low, high;  // nibbles
  };
  struct Factor {
    Vector low, high;
  };
  // Of 16 registers 8 are sums, 4 nibbles, 2 tables.
  static constexpr unsigned kRows = 4, kVectors = 2;

  static Vector zero() { return _mm256_setzero_si256(); }
  static Source load(const uint8_t* from) {
    const Vector nibble = _mm256_set1_epi8(15);
    const Vector bytes = _mm256_loadu_si256(reinterpret_cast<const Vector*>(from));
    return {_mm256_and_si256(bytes, nibble), _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble)};
  }
  static Factor factor(uint8_t c) {
    const auto* tables = reinterpret_cast<const __m128i*>(kGf256Nibbles.of[c]);
    return {_mm256_broadcastsi128_si256(tables[0]), _mm256_broadcastsi128_si256(tables[1])};
  }
  static Vector add_product(Vector sum, const Factor& c, const Source& s) {
    const Vector low = _mm256_shuffle_epi8(c.low, s.low), high = _mm256_shuffle_epi8(c.high, s.high);
    return _mm256_xor_si256(sum, _mm256_xor_si256(low, high));
  }
  static void store(uint8_t* to, Vector v) { _mm256_storeu_si256(reinterpret_cast<Vector*>(to), v); }
};

}  // namespace

const Gf256Kernels kGf256Avx2 = {"avx2", product<Avx2>};

}  // namespace swathpack
