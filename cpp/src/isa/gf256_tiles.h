// The product of gf256.h in tiles, for any vector instructions.
//
// Everything here is in an anonymous namespace and calls nothing but itself and intrinsics. The files that
// include it are compiled for processors that not everyone has: an inline function with external linkage,
// were it emitted there, could be the copy that the linker keeps for the whole program.
//
// A back end defines a type `Isa`:
//   Vector                                  a register
//   Source                                  a vector of source bytes, prepared for any number of products
//   Factor                                  a coefficient, prepared for any number of sources
//   kRows, kVectors                         the largest tile: so many sums stay in registers
//   Vector zero(); Source load(const uint8_t*); Factor factor(uint8_t);
//   Vector add_product(Vector sum, const Factor&, const Source&); void store(uint8_t*, Vector);
#pragma once

#include <cstddef>
#include <cstdint>

namespace swathpack {
namespace {

// A part of all rows of a product: targets[0 … kRows) at the bytes [at, at + kVectors vectors).
template <class Isa, unsigned kRows, unsigned kVectors>
inline void tile(uint8_t* const* targets, const uint8_t* const* sources, unsigned n_sources,
                 const uint8_t* coefficients, size_t at) {
  using Vector = typename Isa::Vector;
  Vector sums[kRows][kVectors];
#pragma GCC unroll 16
  for (unsigned i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (unsigned v = 0; v < kVectors; ++v) sums[i][v] = Isa::zero();
  }
  for (unsigned j = 0; j < n_sources; ++j) {
    const uint8_t* const source = sources[j] + at;
    typename Isa::Source parts[kVectors];
#pragma GCC unroll 4
    for (unsigned v = 0; v < kVectors; ++v) parts[v] = Isa::load(source + v * sizeof(Vector));
#pragma GCC unroll 16
    for (unsigned i = 0; i < kRows; ++i) {
      const typename Isa::Factor factor = Isa::factor(coefficients[size_t{i} * n_sources + j]);
#pragma GCC unroll 4
      for (unsigned v = 0; v < kVectors; ++v) sums[i][v] = Isa::add_product(sums[i][v], factor, parts[v]);
    }
  }
#pragma GCC unroll 16
  for (unsigned i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (unsigned v = 0; v < kVectors; ++v) Isa::store(targets[i] + at + v * sizeof(Vector), sums[i][v]);
  }
}

// The tile of n_rows rows, n_rows ≤ kRows.
template <class Isa, unsigned kRows, unsigned kVectors>
inline void rows(unsigned n_rows, uint8_t* const* targets, const uint8_t* const* sources, unsigned n_sources,
                 const uint8_t* coefficients, size_t at) {
  if constexpr (kRows > 1) {
    if (n_rows < kRows) {
      rows<Isa, kRows - 1, kVectors>(n_rows, targets, sources, n_sources, coefficients, at);
      return;
    }
  }
  tile<Isa, kRows, kVectors>(targets, sources, n_sources, coefficients, at);
}

// All rows, in groups of equal size as far as possible: 13 rows of at most 8 are 7 and 6.
template <class Isa, unsigned kVectors>
inline void column(uint8_t* const* targets, unsigned n_targets, const uint8_t* const* sources,
                   unsigned n_sources, const uint8_t* coefficients, size_t at) {
  unsigned n_groups = (n_targets + Isa::kRows - 1) / Isa::kRows;
  for (unsigned first = 0; first < n_targets; --n_groups) {
    const unsigned n_rows = (n_targets - first + n_groups - 1) / n_groups;
    rows<Isa, Isa::kRows, kVectors>(n_rows, targets + first, sources, n_sources,
                                    coefficients + size_t{first} * n_sources, at);
    first += n_rows;
  }
}

// Fewer bytes than a vector: through copies, as a vector read or written across the end of a buffer is not
// ours.
template <class Isa>
void narrow_product(uint8_t* const* targets, unsigned n_targets, const uint8_t* const* sources,
                    unsigned n_sources, const uint8_t* coefficients, size_t n) {
  uint8_t bytes[sizeof(typename Isa::Vector)] = {};
  for (unsigned i = 0; i < n_targets; ++i) {
    typename Isa::Vector sum = Isa::zero();
    for (unsigned j = 0; j < n_sources; ++j) {
      for (size_t b = 0; b < n; ++b) bytes[b] = sources[j][b];
      sum = Isa::add_product(sum, Isa::factor(coefficients[size_t{i} * n_sources + j]), Isa::load(bytes));
    }
    Isa::store(bytes, sum);
    for (size_t b = 0; b < n; ++b) targets[i][b] = bytes[b];
  }
}

template <class Isa>
void product(uint8_t* const* targets, unsigned n_targets, const uint8_t* const* sources, unsigned n_sources,
             const uint8_t* coefficients, size_t n) {
  constexpr size_t kWidth = sizeof(typename Isa::Vector), kTile = kWidth * Isa::kVectors;
  if (n < kWidth) {
    narrow_product<Isa>(targets, n_targets, sources, n_sources, coefficients, n);
    return;
  }
  size_t at = 0;
  for (; n - at >= kTile; at += kTile) {
    column<Isa, Isa::kVectors>(targets, n_targets, sources, n_sources, coefficients, at);
  }
  // The rest by single vectors. The last one ends with the symbol: some of its bytes are written twice, with
  // the same values, as targets are no sources.
  while (at < n) {
    const size_t place = n - at >= kWidth ? at : n - kWidth;
    column<Isa, 1>(targets, n_targets, sources, n_sources, coefficients, place);
    at = place + kWidth;
  }
}

}  // namespace
}  // namespace swathpack
