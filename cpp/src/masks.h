// Own tokens of a tile and the two masks of a record (bitstream §3.1, §5.1).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bit_string.h"
#include "swathpack/error.h"

namespace swathpack {

// The own tokens of a tile: rows row … row_end − 1, columns col … col_end − 1.
struct OwnTokens {
  unsigned row, row_end, col, col_end;
  [[nodiscard]] unsigned n_rows() const { return row_end - row; }
  [[nodiscard]] unsigned n_cols() const { return col_end - col; }
  [[nodiscard]] uint64_t full_row() const {
    return n_cols() == 64 ? ~uint64_t{0} : (uint64_t{1} << n_cols()) - 1;
  }
};

// The tokens of one tile that are not derived-invalid, if they are a rectangle and not empty.
[[nodiscard]] std::optional<OwnTokens> own_tokens(std::span<const uint8_t> derived, unsigned rows,
                                                  unsigned cols);

// The own part of a token row as bits, first column lowest, 1 = masked.
[[nodiscard]] uint64_t mask_row(std::span<const uint8_t> token_mask, unsigned cols, const OwnTokens& own,
                                unsigned row);

// Appends one partly masked tile: per own row a repeat bit, or a clear bit and the row.
void put_token_rows(BitWriter& out, std::span<const uint64_t> rows, const OwnTokens& own);

// Reads what put_token_rows writes; appends own.n_rows() rows. Refuses what no encoder writes.
[[nodiscard]] const char* take_token_rows(BitReader& in, const OwnTokens& own, std::vector<uint64_t>& rows);

}  // namespace swathpack
