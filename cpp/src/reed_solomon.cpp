#include "swathpack/reed_solomon.h"

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "cauchy.h"
#include "isa/gf256.h"

namespace swathpack {
namespace {

Error bad(std::string what, std::string expected, std::string found) {
  return Error{ErrorKind::kBadInput, std::move(what), std::nullopt, std::move(expected), std::move(found)};
}

MaybeError check_counts(unsigned k, unsigned r) {
  if (k < 1 || k > kMaxBlockSymbols || r > kMaxBlockSymbols - k) {
    return bad("a block has at least 1 source symbol and at most 255 symbols", "1 ≤ k, k + r ≤ 255",
               "k = " + std::to_string(k) + ", r = " + std::to_string(r));
  }
  return std::nullopt;
}

// By division: a product of unchecked sizes may wrap round to the right number.
MaybeError check_size(const char* name, size_t n_bytes, size_t n_symbols, size_t symbol_size) {
  const bool fits =
      n_symbols == 0 ? n_bytes == 0 : n_bytes % n_symbols == 0 && n_bytes / n_symbols == symbol_size;
  if (fits) return std::nullopt;
  return bad(std::string("the buffer of ") + name + " symbols has the wrong size",
             std::to_string(n_symbols) + " × " + std::to_string(symbol_size) + " bytes",
             std::to_string(n_bytes) + " bytes");
}

}  // namespace

MaybeError rs_encode(std::span<const uint8_t> source, unsigned k, unsigned r, size_t symbol_size,
                     std::span<uint8_t> repair) {
  if (auto error = check_counts(k, r)) return error;
  if (auto error = check_size("source", source.size(), k, symbol_size)) return error;
  if (auto error = check_size("repair", repair.size(), r, symbol_size)) return error;
  if (repair.empty()) return std::nullopt;

  std::array<uint8_t, kMaxCoefficients> coefficients;
  repair_matrix(k, r, coefficients.data());
  std::array<const uint8_t*, kMaxBlockSymbols> sources;
  std::array<uint8_t*, kMaxBlockSymbols> targets;
  for (unsigned j = 0; j < k; ++j) sources[j] = source.data() + j * symbol_size;
  for (unsigned i = 0; i < r; ++i) targets[i] = repair.data() + i * symbol_size;
  gf256_kernels().product(targets.data(), r, sources.data(), k, coefficients.data(), symbol_size);
  return std::nullopt;
}

MaybeError rs_decode(std::span<const uint8_t> symbols, std::span<const int64_t> indices, unsigned k,
                     size_t symbol_size, std::span<uint8_t> source) {
  if (auto error = check_counts(k, 0)) return error;
  if (auto error = check_size("received", symbols.size(), indices.size(), symbol_size)) return error;
  if (auto error = check_size("source", source.size(), k, symbol_size)) return error;
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
  if (source.empty()) return std::nullopt;

  // Every lost source symbol is stood in for by the next repair symbol.
  std::vector<uint8_t> inputs(k);
  unsigned next_repair = k;
  for (unsigned j = 0; j < k; ++j) {
    inputs[j] = static_cast<uint8_t>(j);
    if (place[j] != kAbsent) continue;
    while (place[next_repair] == kAbsent) ++next_repair;  // there is one: k distinct indices came
    inputs[j] = static_cast<uint8_t>(next_repair++);
  }
  std::array<const uint8_t*, kMaxBlockSymbols> sources;
  std::array<uint8_t*, kMaxBlockSymbols> targets;
  for (unsigned j = 0; j < k; ++j) {
    sources[j] = symbols.data() + place[inputs[j]] * symbol_size;
    if (inputs[j] == j) std::memcpy(source.data() + j * symbol_size, sources[j], symbol_size);
  }
  if (next_repair == k) return std::nullopt;  // nothing was lost
  const Restoration& restore = restoration(inputs);
  const size_t n_lost = restore.lost.size();
  for (size_t b = 0; b < n_lost; ++b) targets[b] = source.data() + restore.lost[b] * symbol_size;
  gf256_kernels().product(targets.data(), static_cast<unsigned>(n_lost), sources.data(), k,
                          restore.coefficients.data(), symbol_size);
  return std::nullopt;
}

}  // namespace swathpack
