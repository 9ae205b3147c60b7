// The plain product: the truth every other back end is compared with.
#include <algorithm>
#include <array>

#include "isa/gf256.h"

namespace swathpack {
namespace {

// Row c holds c · 0 … c · 255.
struct ProductTable {
  std::array<std::array<uint8_t, 256>, 256> row;
  ProductTable() {
    for (unsigned c = 0; c < 256; ++c) {
      row[c][0] = 0;
      for (unsigned bit = 0; bit < 8; ++bit) {
        unsigned product = c;
        for (unsigned i = 0; i < bit; ++i) product = product << 1 ^ (product & 0x80 ? 0x11Du : 0u);
        // Multiplication is linear: the products of the numbers below 2^bit give those below 2^(bit+1).
        for (unsigned low = 0; low < 1u << bit; ++low) {
          row[c][(1u << bit) + low] = static_cast<uint8_t>(row[c][low] ^ product);
        }
      }
    }
  }
};

void product(uint8_t* const* targets, unsigned n_targets, const uint8_t* const* sources, unsigned n_sources,
             const uint8_t* coefficients, size_t n) {
  static const ProductTable products;
  for (unsigned i = 0; i < n_targets; ++i) {
    uint8_t* const target = targets[i];
    std::fill_n(target, n, uint8_t{0});
    for (unsigned j = 0; j < n_sources; ++j) {
      const std::array<uint8_t, 256>& row = products.row[coefficients[size_t{i} * n_sources + j]];
      const uint8_t* const source = sources[j];
      for (size_t b = 0; b < n; ++b) target[b] = static_cast<uint8_t>(target[b] ^ row[source[b]]);
    }
  }
}

}  // namespace

const Gf256Kernels kGf256Scalar = {"scalar", product};

}  // namespace swathpack
