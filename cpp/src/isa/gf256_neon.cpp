// Products with NEON: two table look-ups per 16 bytes. Part of every AArch64, so without flags of its own.
#include <arm_neon.h>

#include "isa/gf256.h"
#include "isa/gf256_tables.h"
#include "isa/gf256_tiles.h"

namespace swathpack {
namespace {

struct Neon {
  using Vector = uint8x16_t;
  struct Source {
    Vector low, high;  // nibbles
  };
  struct Factor {
    Vector low, high;
  };
  // Of 32 registers 16 are sums, 4 nibbles, 2 tables.
  static constexpr unsigned kRows = 8, kVectors = 2;

  static Vector zero() { return vdupq_n_u8(0); }
  static Source load(const uint8_t* from) {
    const Vector bytes = vld1q_u8(from);
    return {vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4)};
  }
  static Factor factor(uint8_t c) {
    return {vld1q_u8(kGf256Nibbles.of[c][0]), vld1q_u8(kGf256Nibbles.of[c][1])};
  }
  static Vector add_product(Vector sum, const Factor& c, const Source& s) {
    return veorq_u8(sum, veorq_u8(vqtbl1q_u8(c.low, s.low), vqtbl1q_u8(c.high, s.high)));
  }
  static void store(uint8_t* to, Vector v) { vst1q_u8(to, v); }
};

}  // namespace

const Gf256Kernels kGf256Neon = {"neon", product<Neon>};

}  // namespace swathpack
