// Which tiles share a record, and with how many lanes (bitstream §10.3): integers only, so every encoder
// agrees.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "swathpack/error.h"
#include "swathpack/records.h"

namespace swathpack {

// Bytes of a record, header and CRC included: one default packet of the link; an archive's.
inline constexpr uint32_t kLinkTarget = 960;
inline constexpr uint32_t kArchiveTarget = 61440;

// The tiles first … first + count − 1 in one record.
struct TileRun {
  uint32_t first = 0, count = 0;
  uint64_t estimate = 0;  // payload bytes, one lane
  unsigned log2_lanes = 0;
};

// One lane below an estimate of 4096 bytes, else the largest power of two ≤ estimate / 512, at most 64.
[[nodiscard]] unsigned log2_lanes_for(uint64_t estimate);

// The largest number of tiles ≤ count that one record can carry (§4.2); count ≥ 1.
[[nodiscard]] uint32_t largest_writable(uint32_t count);

// Cuts the tiles of one (plane, layer), in order, into records: each takes the largest writable count whose
// estimate, with header and CRC, is at most `target_bytes` and whose tiles have at most kMaxRecordSymbols
// coefficients in the layer; at least one tile. `costs` are those of tile_costs (n_tiles), the masks those of
// EncodeSource. The context's ladder index has no part in it. Refused with kBadInput: arrays of wrong size, a
// plane or layer that is not there, masks that contradict each other, a target no record fits.
[[nodiscard]] Result<std::vector<TileRun>> group_tiles(const PlaneContext& context, unsigned layer,
                                                       std::span<const uint64_t> costs,
                                                       std::span<const uint8_t> tile_mask,
                                                       std::span<const uint8_t> token_mask,
                                                       uint32_t target_bytes);

}  // namespace swathpack
