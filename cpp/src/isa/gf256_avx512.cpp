// Products with AVX-512 BW: two shuffles per 64 bytes. Compiled with -mavx512f -mavx512bw; see gf256_tiles.h.
#include <immintrin.h>

#include "isa/gf256.h"
#include "isa/gf256_tables.h"
#include "isa/gf256_tiles.h"

namespace swathpack {
namespace {

struct Avx512 {
  using Vector = __m512i;
  struct Source {
    Vector low, high;  // nibbles
  };
  struct Factor {
    Vector low, high;
  };
  static constexpr unsigned kRows = 8, kVectors = 2;

  static Vector zero() { return _mm512_setzero_si512(); }
  static Source load(const uint8_t* from) {
    const Vector nibble = _mm512_set1_epi8(15), bytes = _mm512_loadu_si512(from);
    return {_mm512_and_si512(bytes, nibble), _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble)};
  }
  static Factor factor(uint8_t c) {
    const auto* tables = reinterpret_cast<const __m128i*>(kGf256Nibbles.of[c]);
    return {_mm512_broadcast_i32x4(tables[0]), _mm512_broadcast_i32x4(tables[1])};
  }
  static Vector add_product(Vector sum, const Factor& c, const Source& s) {
    constexpr int kXorOfThree = 0x96;
    return _mm512_ternarylogic_epi64(sum, _mm512_shuffle_epi8(c.low, s.low),
                                     _mm512_shuffle_epi8(c.high, s.high), kXorOfThree);
  }
  static void store(uint8_t* to, Vector v) { _mm512_storeu_si512(to, v); }
};

}  // namespace

const Gf256Kernels kGf256Avx512 = {"avx512", product<Avx512>};

}  // namespace swathpack
