// Multiplication by a constant as the instructions want it. Plain arrays: no inline function of the standard
// library may be compiled into a back end's file (gf256_tiles.h).
#pragma once

#include <cstdint>

namespace swathpack {

// of[c][0][v] = c · v and of[c][1][v] = c · (v << 4) for v < 16: two shuffles and an XOR make a product,
// since multiplication by c is linear over GF(2) (J. S. Plank et al., "Screaming Fast Galois Field Arithmetic
// Using Intel SIMD Instructions", FAST 2013).
struct alignas(64) Gf256Nibbles {
  uint8_t of[256][2][16];
};
extern const Gf256Nibbles kGf256Nibbles;

// Multiplication by c as the 8 × 8 bit matrix of GF2P8AFFINEQB, which knows no field: byte 7 − i is the row
// that gives bit i, and bit j of it says whether bit i is set in c · x^j (Intel SDM volume 2).
struct alignas(64) Gf256Affine {
  uint64_t of[256];
};
extern const Gf256Affine kGf256Affine;

}  // namespace swathpack
