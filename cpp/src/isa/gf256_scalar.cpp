// The product in plain C++: the truth every other back end is compared with.
#include <algorithm>

#include "isa/gf256.h"

namespace swathpack {
namespace {

// Eight field elements in a word, one of each of eight target rows.
constexpr unsigned kTogether = 8;
constexpr size_t kPiece =
    1024;  // bytes of a symbol at a time: their sums (8 KiB) and a table stay in the cache

// All eight times x.
uint64_t doubled(uint64_t elements) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  return (elements & ~(kOnes << 7)) << 1 ^ (elements >> 7 & kOnes) * 0x1D;  // x^8 = x^4 + x^3 + x^2 + 1
}

// One look-up in a table made for the occasion is eight products: of[v] holds v times each of `coefficients`.
struct Multiples {
  explicit Multiples(uint64_t coefficients) {
    of[0] = 0;
    // Multiplication is linear: the products of the numbers below 2^bit give those below 2^(bit+1).
    for (unsigned power = 1; power < 256; power *= 2) {
      for (unsigned low = 0; low < power; ++low) of[power + low] = of[low] ^ coefficients;
      coefficients = doubled(coefficients);
    }
  }
  uint64_t of[256];
};

void product(uint8_t* const* targets, unsigned n_targets, const uint8_t* const* sources, unsigned n_sources,
             const uint8_t* coefficients, size_t n) {
  uint64_t sums[kPiece];
  for (unsigned first = 0; first < n_targets; first += kTogether) {
    const unsigned n_rows = std::min(kTogether, n_targets - first);
    for (size_t at = 0; at < n; at += kPiece) {
      const size_t n_bytes = std::min(kPiece, n - at);
      std::fill_n(sums, n_bytes, uint64_t{0});
      for (unsigned j = 0; j < n_sources; ++j) {
        uint64_t column = 0;
        for (unsigned i = 0; i < n_rows; ++i) {
          column |= uint64_t{coefficients[size_t{first + i} * n_sources + j]} << (8 * i);
        }
        const Multiples multiples(column);
        const uint8_t* const source = sources[j] + at;
        for (size_t b = 0; b < n_bytes; ++b) sums[b] ^= multiples.of[source[b]];
      }
      for (unsigned i = 0; i < n_rows; ++i) {
        uint8_t* const target = targets[first + i] + at;
        for (size_t b = 0; b < n_bytes; ++b) target[b] = static_cast<uint8_t>(sums[b] >> (8 * i));
      }
    }
  }
}

}  // namespace

const Gf256Kernels kGf256Scalar = {"scalar", product};

}  // namespace swathpack
