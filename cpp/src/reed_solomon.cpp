#include "swathpack/reed_solomon.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "isa/kernels.h"

namespace swathpack {
namespace {

// Logarithms to the base x (2), which generates the field's multiplicative group for 0x11D.
struct Logarithms {
  std::array<uint8_t, 256> log{};
  std::array<uint8_t, 255> exp{};
  constexpr Logarithms() {
    unsigned element = 1;
    for (unsigned i = 0; i < 255; ++i) {
      exp[i] = static_cast<uint8_t>(element);
      log[element] = static_cast<uint8_t>(i);
      element = element << 1 ^ (element & 0x80 ? 0x11Du : 0u);
    }
  }
};
constexpr Logarithms kField;

uint8_t inverse(unsigned a) { return kField.exp[(255u - kField.log[a]) % 255]; }  // a ≠ 0

Error bad(std::string what, std::string expected, std::string found) {
  return Error{ErrorKind::kBadInput, std::move(what), std::nullopt, std::move(expected), std::move(found)};
}

MaybeError check_counts(unsigned k, unsigned r) {
  if (k < 1 || k + r > kMaxBlockSymbols) {
    return bad("a block has at least 1 source symbol and at most 255 symbols", "1 ≤ k, k + r ≤ 255",
               "k = " + std::to_string(k) + ", r = " + std::to_string(r));
  }
  return std::nullopt;
}

// The inverse of the Cauchy matrix 1 / (x_a + y_b), row b, column a, with all factors as logarithms: sums mod
// 255.
std::vector<uint8_t> cauchy_inverse(std::span<const uint8_t> x, std::span<const uint8_t> y) {
  const size_t e = x.size();
  const auto log = [](unsigned a) { return unsigned{kField.log[a]}; };
  std::vector<unsigned> of_x(e, 0), of_y(e, 0);  // what depends on a or on b alone
  for (size_t i = 0; i < e; ++i) {
    for (size_t m = 0; m < e; ++m) {
      of_x[i] += log(x[i] ^ y[m]);
      of_y[i] += log(x[m] ^ y[i]);
      if (m != i) {
        of_x[i] += 255 - log(x[i] ^ x[m]);
        of_y[i] += 255 - log(y[i] ^ y[m]);
      }
    }
  }
  std::vector<uint8_t> matrix(e * e);
  for (size_t b = 0; b < e; ++b) {
    for (size_t a = 0; a < e; ++a) {
      matrix[b * e + a] = kField.exp[(of_x[a] + of_y[b] + 255 - log(x[a] ^ y[b])) % 255];
    }
  }
  return matrix;
}

}  // namespace

MaybeError rs_encode(std::span<const uint8_t> source, unsigned k, unsigned r, size_t symbol_size,
                     std::span<uint8_t> repair) {
  if (auto error = check_counts(k, r)) return error;
  if (source.size() != k * symbol_size || repair.size() != r * symbol_size) {
    return bad("the buffers do not have k and r symbols", std::to_string(k * symbol_size),
               std::to_string(source.size()));
  }
  const auto multiply_add = kernels().gf256_multiply_add;
  std::fill(repair.begin(), repair.end(), uint8_t{0});
  for (unsigned i = 0; i < r; ++i) {
    for (unsigned j = 0; j < k; ++j) {
      multiply_add(repair.data() + i * symbol_size, source.data() + j * symbol_size, symbol_size,
                   inverse((k + i) ^ j));
    }
  }
  return std::nullopt;
}

MaybeError rs_decode(std::span<const uint8_t> symbols, std::span<const int64_t> indices, unsigned k,
                     size_t symbol_size, std::span<uint8_t> source) {
  if (auto error = check_counts(k, 0)) return error;
  if (symbols.size() != indices.size() * symbol_size || source.size() != k * symbol_size) {
    return bad("the buffers do not have as many symbols as there are indices, and k",
               std::to_string(k * symbol_size), std::to_string(source.size()));
  }
  constexpr size_t kAbsent = ~size_t{0};
  std::array<size_t, kMaxBlockSymbols> place;  // of each index among the received symbols
  place.fill(kAbsent);
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] < 0 || indices[i] >= int64_t{kMaxBlockSymbols}) {
      return bad("a symbol index is impossible", "0 to 254", std::to_string(indices[i]));
    }
    size_t& p = place[static_cast<size_t>(indices[i])];
    if (p != kAbsent)
      return bad("a symbol index occurs twice", "distinct indices", std::to_string(indices[i]));
    p = i;
  }
  if (indices.size() < k) {
    return bad("too few symbols for this block", "at least " + std::to_string(k),
               std::to_string(indices.size()));
  }

  const auto received = [&](size_t index) { return symbols.data() + place[index] * symbol_size; };
  std::vector<uint8_t> x, y;  // points of the repair symbols used and of the lost source symbols
  for (unsigned j = 0; j < k; ++j) {
    if (place[j] == kAbsent) y.push_back(static_cast<uint8_t>(j));
  }
  for (unsigned i = k; i < kMaxBlockSymbols && x.size() < y.size(); ++i) {
    if (place[i] != kAbsent) x.push_back(static_cast<uint8_t>(i));
  }

  // What the lost symbols alone contribute to each repair symbol: the known ones are subtracted.
  const auto multiply_add = kernels().gf256_multiply_add;
  std::vector<uint8_t> syndromes(x.size() * symbol_size);
  for (size_t a = 0; a < x.size(); ++a) {
    uint8_t* syndrome = syndromes.data() + a * symbol_size;
    if (symbol_size > 0) std::memcpy(syndrome, received(x[a]), symbol_size);
    for (unsigned j = 0; j < k; ++j) {
      if (place[j] != kAbsent) multiply_add(syndrome, received(j), symbol_size, inverse(x[a] ^ j));
    }
  }
  for (unsigned j = 0; j < k; ++j) {
    if (place[j] != kAbsent && symbol_size > 0)
      std::memcpy(source.data() + j * symbol_size, received(j), symbol_size);
  }
  const std::vector<uint8_t> matrix = cauchy_inverse(x, y);
  for (size_t b = 0; b < y.size(); ++b) {
    uint8_t* lost = source.data() + y[b] * symbol_size;
    std::fill_n(lost, symbol_size, uint8_t{0});
    for (size_t a = 0; a < x.size(); ++a)
      multiply_add(lost, syndromes.data() + a * symbol_size, symbol_size, matrix[b * x.size() + a]);
  }
  return std::nullopt;
}

}  // namespace swathpack
