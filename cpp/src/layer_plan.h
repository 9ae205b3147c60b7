// Which (band, channel) pairs of a layer have symbols, and in which order they come (bitstream §5.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "swathpack/tables.h"

namespace swathpack {

// All coefficients of one channel in one band: one table codes them.
struct Run {
  uint16_t channel;
  uint8_t band;
  uint8_t level;
};

struct LayerPlan {
  std::vector<Run> coded;       // coding order: bands, then channels, ascending
  std::vector<uint8_t> levels;  // of these, each once, ascending

  // Consecutive channels of one band.
  struct Range {
    uint16_t channel, n;
    uint8_t band;
  };
  std::vector<Range> silent;  // in this layer, but their tables have no threshold: always 0
  std::vector<Range> all;     // all of the layer
  uint64_t symbols_per_tile = 0;

  // The end of the lane group that begins at `first`: up to `lanes` consecutive coded channels of one band.
  [[nodiscard]] size_t group_end(size_t first, unsigned lanes) const {
    size_t end = first + 1;
    while (end < coded.size() && end - first < lanes && coded[end].band == coded[first].band) ++end;
    return end;
  }
};

// Calls visit(first element, number of elements) for every stretch of a tile that a range covers in one
// piece.
template <class Visit>
void each_stretch(const LayerPlan::Range& range, std::span<const uint16_t> band, size_t channel_stride,
                  size_t frequency_stride, Visit visit) {
  if (channel_stride == 1) {
    for (const uint16_t f : band) visit(f * frequency_stride + range.channel, size_t{range.n});
    return;
  }
  if (band.size() == channel_stride) return visit(range.channel * channel_stride, range.n * channel_stride);
  const bool is_one_piece = size_t{band.back()} - band.front() + 1 == band.size();
  for (size_t channel = range.channel; channel < size_t{range.channel} + range.n; ++channel) {
    const size_t first = channel * channel_stride;
    if (is_one_piece) {
      visit(first + band.front(), band.size());
    } else {
      for (const uint16_t f : band) visit(first + f, size_t{1});
    }
  }
}

[[nodiscard]] LayerPlan make_layer_plan(const TableSet& tables, const Plane& plane, unsigned layer,
                                        unsigned e);

// Plans are made once per (layer, e) and call: tiny records have fewer symbols than the maps have cells.
class LayerPlans {
 public:
  LayerPlans(const TableSet& tables, const Plane& plane) : tables_(tables), plane_(plane) {}

  [[nodiscard]] const LayerPlan& at(unsigned layer, unsigned e) {
    const auto [it, is_new] = plans_.try_emplace(layer << 8 | e);
    if (is_new) it->second = make_layer_plan(tables_, plane_, layer, e);
    return it->second;
  }

 private:
  const TableSet& tables_;
  const Plane& plane_;
  std::unordered_map<unsigned, LayerPlan> plans_;
};

}  // namespace swathpack
