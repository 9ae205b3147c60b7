// The erasure code of the link: systematic Cauchy Reed–Solomon over GF(2^8).
//
// The field is GF(2)[x] modulo x^8 + x^4 + x^3 + x^2 + 1 (0x11D); a byte is an element, bit i the coefficient
// of x^i, and addition is XOR. A block has k source symbols s_0 … s_(k−1) and r repair symbols p_0 … p_(r−1),
// each of S bytes, with k ≥ 1, r ≥ 0 and k + r ≤ 255. Symbols are numbered in one row: source j has index j,
// repair i has index k + i. With the points y_j = j and x_i = k + i, byte by byte,
//
//     p_i = Σ_j  s_j / (x_i + y_j),        that is  s_j · ((k + i) XOR j)^(−1).
//
// The matrix is a Cauchy matrix, so each square sub-matrix is invertible and any k of the k + r symbols give
// the block back: with e source symbols lost, the e × e sub-matrix of e received repair rows (points x'_a)
// and the lost columns (points y'_b) has the inverse, in closed form,
//
//     B_(b,a) = Π_m (x'_a + y'_m) · Π_m (x'_m + y'_b)
//               / [ (x'_a + y'_b) · Π_(m≠a) (x'_a + x'_m) · Π_(m≠b) (y'_b + y'_m) ],
//
// at e² multiplications instead of the e³ of an elimination (J. Blömer et al., "An XOR-Based
// Erasure-Resilient Coding Scheme", ICSI TR-95-048, 1995; the formula is Cauchy's).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "swathpack/error.h"

namespace swathpack {

inline constexpr unsigned kMaxBlockSymbols = 255;  // k + r

// `source` is k × symbol_size bytes, `repair` r × symbol_size, written whole.
[[nodiscard]] MaybeError rs_encode(std::span<const uint8_t> source, unsigned k, unsigned r,
                                   size_t symbol_size, std::span<uint8_t> repair);

// `symbols` are indices.size() received symbols of symbol_size bytes, `indices` their distinct indices in any
// order, at least k of them; `source` (k × symbol_size) receives the source symbols. Of more than k symbols
// all source symbols and the repair symbols of lowest index are used, so the result does not depend on the
// order.
[[nodiscard]] MaybeError rs_decode(std::span<const uint8_t> symbols, std::span<const int64_t> indices,
                                   unsigned k, size_t symbol_size, std::span<uint8_t> source);

}  // namespace swathpack
