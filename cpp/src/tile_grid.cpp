#include "swathpack/tile_grid.h"

#include <algorithm>

namespace swathpack {
namespace {

// Own token rows (or columns) of the tile-th tile row (column). A token boundary may fall inside a pixel.
std::vector<uint8_t> own_axis(uint64_t extent, uint64_t core, uint64_t n_tokens, uint64_t tile) {
  const uint64_t first = tile * core, latest = extent > core ? extent - core : 0;
  const uint64_t doubled = first - std::min(first, latest);  // pixels, 0 but where the tile shifted inward
  const uint64_t inside = std::min(extent, core);
  std::vector<uint8_t> own(n_tokens);
  for (uint64_t t = 0; t < n_tokens; ++t) {
    own[t] = (t + 1) * core > doubled * n_tokens && t * core < inside * n_tokens;
  }
  return own;
}

}  // namespace

std::vector<uint8_t> derived_invalid(const TileGrid& grid, unsigned rows, unsigned cols) {
  const uint64_t n_rows = grid.n_rows(), n_cols = grid.n_cols();
  // Along an axis only the last tile differs from the others.
  const auto row = own_axis(grid.scene_height, grid.core_height, rows, 0),
             last_row = own_axis(grid.scene_height, grid.core_height, rows, n_rows - 1),
             col = own_axis(grid.scene_width, grid.core_width, cols, 0),
             last_col = own_axis(grid.scene_width, grid.core_width, cols, n_cols - 1);
  std::vector<uint8_t> out;
  out.reserve(static_cast<size_t>(grid.n_tiles() * rows * cols));
  for (uint64_t r = 0; r < n_rows; ++r) {
    for (uint64_t c = 0; c < n_cols; ++c) {
      for (const uint8_t own_row : r + 1 < n_rows ? row : last_row) {
        for (const uint8_t own_col : c + 1 < n_cols ? col : last_col) out.push_back(!(own_row && own_col));
      }
    }
  }
  return out;
}

}  // namespace swathpack
