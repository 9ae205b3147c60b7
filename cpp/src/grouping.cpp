#include "swathpack/grouping.h"

#include <algorithm>
#include <bit>
#include <string>

#include "masks.h"
#include "swathpack/record_header.h"

namespace swathpack {
namespace {

constexpr uint64_t kStateBytes = 2;           // what one lane's state takes beyond symbols
constexpr uint64_t kFormBytes = 1;            // where there are masks (§5.1)
constexpr uint64_t kCostUnitsPerByte = 2048;  // 8 bits of 256
constexpr uint64_t kManyLanesFrom = 4096;     // payload bytes
constexpr uint64_t kBytesPerLane = 512;
constexpr unsigned kMaxLog2Lanes = 6;

Error bad(std::string what, std::string expected, std::string found) {
  return Error{ErrorKind::kBadInput, std::move(what), std::nullopt, std::move(expected), std::move(found)};
}

// What the masks of one tile take in a record (§5.1).
struct TileBits {
  bool is_masked = false;
  bool is_partial = false;
  unsigned token_bits = 0;  // 0 in masked tiles
};

// Nothing when the own tokens are no rectangle, or all masked in a tile that is not.
std::optional<TileBits> tile_bits(const Plane& plane, std::span<const uint8_t> derived,
                                  std::span<const uint8_t> token_mask, bool is_masked) {
  if (is_masked) return TileBits{true, false, 0};
  const auto own = own_tokens(derived, plane.rows, plane.cols);
  if (!own) return std::nullopt;
  TileBits bits{false, false, 1};
  uint64_t before = 0, any = 0, all = own->full_row();
  unsigned row_bits = 0;
  for (unsigned r = own->row; r < own->row_end; ++r) {
    const uint64_t row = mask_row(token_mask, plane.cols, *own, r);
    row_bits += row == before ? 1 : 1 + own->n_cols();
    any |= row;
    all &= row;
    before = row;
  }
  if (all == own->full_row()) return std::nullopt;
  if (any != 0) {
    bits.is_partial = true;
    bits.token_bits += row_bits;
  }
  return bits;
}

// The payload estimate of a run that grows tile by tile; it never falls.
class Estimate {
 public:
  explicit Estimate(bool has_token_mask) : has_token_mask_(has_token_mask) {}

  void add(const TileBits& tile, uint64_t cost) {
    ++n_tiles_;
    any_masked_ |= tile.is_masked;
    any_partial_ |= tile.is_partial && has_token_mask_;
    token_bits_ += tile.token_bits;
    // Costs are a caller's: their sum stops at the top instead of wrapping round.
    if (!tile.is_masked) cost_ = cost > ~cost_ ? ~uint64_t{0} : cost_ + cost;
  }

  [[nodiscard]] uint64_t bytes() const {
    return kStateBytes + cost_ / kCostUnitsPerByte + (cost_ % kCostUnitsPerByte != 0) +
           (any_masked_ || any_partial_ ? kFormBytes : 0) + (any_masked_ ? (n_tiles_ + 7) / 8 : 0) +
           (any_partial_ ? (token_bits_ + 7) / 8 : 0);
  }

 private:
  bool has_token_mask_;
  bool any_masked_ = false, any_partial_ = false;
  uint64_t n_tiles_ = 0, token_bits_ = 0, cost_ = 0;
};

// The coefficients of one tile that the layer map gives the layer.
uint64_t coefficients_per_tile(const Plane& plane, unsigned layer) {
  uint64_t n = 0;
  for (unsigned b = 0; b < plane.n_bands; ++b) {
    const auto* const row = plane.layer_map.data() + size_t{b} * plane.channels;
    n += plane.band(b).size() * static_cast<uint64_t>(std::count(row, row + plane.channels, layer));
  }
  return n;
}

}  // namespace

unsigned log2_lanes_for(uint64_t estimate) {
  if (estimate < kManyLanesFrom) return 0;
  return std::min(kMaxLog2Lanes, static_cast<unsigned>(std::bit_width(estimate / kBytesPerLane)) - 1);
}

uint32_t largest_writable(uint32_t count) {
  count = std::min(count, tile_count_of(255));
  if (count <= 128) return count;
  // Writable counts have five significant bits beyond the leading one's 2^(7+e): multiples of 2^(3+e) (§4.2).
  const unsigned e = static_cast<unsigned>(std::bit_width(count - 1)) - 8;
  const uint32_t step = 8u << e, down = count / step * step;
  return down;
}

Result<std::vector<TileRun>> group_tiles(const PlaneContext& context, unsigned layer,
                                         std::span<const uint64_t> costs, std::span<const uint8_t> tile_mask,
                                         std::span<const uint8_t> token_mask, uint32_t target_bytes) {
  constexpr uint32_t kOverhead = kRecordHeaderBytes + kRecordCrcBytes;
  const auto& planes = context.tables->planes();
  if (context.plane >= planes.size()) {
    return bad("the tables have no such plane", "below " + std::to_string(planes.size()),
               std::to_string(context.plane));
  }
  const Plane& plane = planes[context.plane];
  if (layer >= plane.n_layers) {
    return bad("the plane has no such layer", "below " + std::to_string(plane.n_layers),
               std::to_string(layer));
  }
  if (target_bytes < kOverhead + 1) {
    return bad("no record is that small", "at least " + std::to_string(kOverhead + 1) + " bytes",
               std::to_string(target_bytes));
  }
  const size_t n_tokens = plane.n_frequencies();
  const uint64_t n_mask = uint64_t{context.n_tiles} * n_tokens;
  if (costs.size() != context.n_tiles || tile_mask.size() != context.n_tiles || token_mask.size() != n_mask ||
      context.derived.size() != n_mask) {
    return bad("costs and masks do not fit the plane",
               std::to_string(context.n_tiles) + " tiles of " + std::to_string(n_tokens) + " tokens",
               std::to_string(costs.size()) + " costs, " + std::to_string(tile_mask.size()) + " and " +
                   std::to_string(token_mask.size()) + " mask bytes");
  }
  std::vector<TileBits> bits(context.n_tiles);
  for (uint32_t t = 0; t < context.n_tiles; ++t) {
    const auto tile = tile_bits(plane, context.derived.subspan(t * n_tokens, n_tokens),
                                token_mask.subspan(t * n_tokens, n_tokens), tile_mask[t] != 0);
    if (!tile) {
      return bad("the masks of tile " + std::to_string(t) + " contradict each other",
                 "a rectangle of own tokens, and the tile mask set where none of them is valid", "neither");
    }
    bits[t] = *tile;
  }
  const uint64_t fit = kMaxRecordSymbols / std::max<uint64_t>(1, coefficients_per_tile(plane, layer));
  const auto most = static_cast<uint32_t>(std::clamp<uint64_t>(fit, 1, tile_count_of(255)));
  std::vector<TileRun> runs;
  for (uint32_t first = 0; first < context.n_tiles;) {
    const uint32_t end = std::min(context.n_tiles - first, most);
    uint32_t n = 0;
    for (Estimate grown(layer == 0); n < end; ++n) {
      grown.add(bits[first + n], costs[first + n]);
      if (n > 0 && grown.bytes() > target_bytes - kOverhead) break;
    }
    TileRun run{first, largest_writable(n)};
    Estimate estimate(layer == 0);
    for (uint32_t t = first; t < first + run.count; ++t) estimate.add(bits[t], costs[t]);
    run.estimate = estimate.bytes();
    run.log2_lanes = log2_lanes_for(run.estimate);
    runs.push_back(run);
    first += run.count;
  }
  return runs;
}

}  // namespace swathpack
