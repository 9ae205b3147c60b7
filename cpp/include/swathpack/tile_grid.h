// How tiles cover a scene, and which tokens are a tile's own (bitstream §3.1).
#pragma once

#include <cstdint>
#include <vector>

namespace swathpack {

// Pixels. Tiles that are no raster: scene_height = n · core_height, scene_width = core_width.
struct TileGrid {
  uint32_t scene_height = 0, scene_width = 0;
  uint16_t core_height = 0, core_width = 0;

  [[nodiscard]] bool is_legal() const {  // 1 to 65,536 tiles
    return scene_height && scene_width && core_height && core_width && n_tiles() <= 65536;
  }
  [[nodiscard]] uint64_t n_rows() const { return (uint64_t{scene_height} + core_height - 1) / core_height; }
  [[nodiscard]] uint64_t n_cols() const { return (uint64_t{scene_width} + core_width - 1) / core_width; }
  [[nodiscard]] uint64_t n_tiles() const { return n_rows() * n_cols(); }
};

// n_tiles × rows × cols bytes, 1 = derived-invalid: wholly in what an earlier tile owns, or outside a scene
// that is smaller than a tile. The grid must be legal.
[[nodiscard]] std::vector<uint8_t> derived_invalid(const TileGrid& grid, unsigned rows, unsigned cols);

}  // namespace swathpack
