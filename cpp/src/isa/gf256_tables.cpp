#include "isa/gf256_tables.h"

namespace swathpack {
namespace {

constexpr uint8_t multiply(unsigned a, unsigned b) {
  unsigned product = 0;
  for (unsigned bit = 0; bit < 8; ++bit) {
    if (b >> bit & 1) product ^= a;
    a = a << 1 ^ (a & 0x80 ? 0x11Du : 0u);
  }
  return static_cast<uint8_t>(product);
}

constexpr Gf256Nibbles make_nibbles() {
  Gf256Nibbles made{};
  for (unsigned c = 0; c < 256; ++c) {
    for (unsigned v = 0; v < 16; ++v) {
      made.of[c][0][v] = multiply(c, v);
      made.of[c][1][v] = multiply(c, v << 4);
    }
  }
  return made;
}

constexpr Gf256Affine make_affine() {
  Gf256Affine made{};
  for (unsigned c = 0; c < 256; ++c) {
    for (unsigned j = 0; j < 8; ++j) {
      const unsigned column = multiply(c, 1u << j);
      for (unsigned i = 0; i < 8; ++i) {
        made.of[c] |= uint64_t{column >> i & 1} << (8 * (7 - i) + j);
      }
    }
  }
  return made;
}

}  // namespace

// Computed by the compiler.
constinit const Gf256Nibbles kGf256Nibbles = make_nibbles();
constinit const Gf256Affine kGf256Affine = make_affine();

}  // namespace swathpack
