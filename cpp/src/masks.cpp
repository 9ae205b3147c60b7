#include "masks.h"

#include <algorithm>

namespace swathpack {

std::optional<OwnTokens> own_tokens(std::span<const uint8_t> derived, unsigned rows, unsigned cols) {
  OwnTokens own{rows, 0, cols, 0};
  size_t n_own = 0;
  for (unsigned r = 0; r < rows; ++r) {
    for (unsigned c = 0; c < cols; ++c) {
      if (derived[size_t{r} * cols + c]) continue;
      own.row = std::min(own.row, r);
      own.row_end = r + 1;
      own.col = std::min(own.col, c);
      own.col_end = std::max(own.col_end, c + 1);
      ++n_own;
    }
  }
  if (n_own == 0 || n_own != size_t{own.n_rows()} * own.n_cols()) return std::nullopt;
  return own;
}

uint64_t mask_row(std::span<const uint8_t> token_mask, unsigned cols, const OwnTokens& own, unsigned row) {
  uint64_t bits = 0;
  for (unsigned c = own.col; c < own.col_end; ++c) {
    bits |= uint64_t{token_mask[size_t{row} * cols + c] != 0} << (c - own.col);
  }
  return bits;
}

void put_token_rows(BitWriter& out, std::span<const uint64_t> rows, const OwnTokens& own) {
  uint64_t before = 0;
  for (const uint64_t row : rows) {
    out.put(row == before, 1);
    if (row != before) out.put(row, own.n_cols());
    before = row;
  }
}

const char* take_token_rows(BitReader& in, const OwnTokens& own, std::vector<uint64_t>& rows) {
  uint64_t before = 0, all_masked = own.full_row(), any_masked = 0;
  for (unsigned r = 0; r < own.n_rows(); ++r) {
    uint64_t row = before;
    if (in.bit() == 0) {
      row = in.bits(own.n_cols());
      if (in.overrun()) return "the payload ends in the token mask";
      if (row == before) return "a token mask row repeats the one before it without saying so";
    }
    rows.push_back(row);
    all_masked &= row;
    any_masked |= row;
    before = row;
  }
  if (in.overrun()) return "the payload ends in the token mask";
  if (any_masked == 0) return "a partly masked tile has no masked token";
  if (all_masked == own.full_row()) return "a partly masked tile has no valid token";
  return nullptr;
}

}  // namespace swathpack
