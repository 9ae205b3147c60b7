// Where the coefficients of one plane lie in a caller's array, and which of them a block of steps means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "layer_plan.h"
#include "swathpack/records.h"

namespace swathpack {

// Distances in elements.
struct Layout {
  size_t tile, channel, frequency;

  Layout(const Plane& plane, Order order)
      : tile(size_t{plane.channels} * plane.n_frequencies()),
        channel(order == Order::kTile ? plane.n_frequencies() : 1),
        frequency(order == Order::kTile ? 1 : plane.channels) {}
};

// Steps first … first + n − 1 of a lane group: (tile, frequency) pairs in coding order, for all channels of
// `runs`.
struct Steps {
  std::span<const Run> runs;
  std::span<const uint16_t> band;   // its frequencies
  std::span<const uint32_t> tiles;  // that are coded
  uint32_t first, n;

  [[nodiscard]] bool channels_are_consecutive() const {
    return size_t{runs.back().channel} - runs.front().channel + 1 == runs.size();
  }

  // Whether the lanes of a step lie side by side in the array, so that a step is one row of it.
  [[nodiscard]] bool are_rows(const Layout& layout) const {
    return layout.channel == 1 && channels_are_consecutive();
  }

  // Where the row of each step begins. Byte is uint8_t or const uint8_t.
  template <class Byte, class Pointer>
  void rows(Byte* array, size_t element_bytes, const Layout& layout, Pointer* out) const {
    each_tile([&](uint32_t tile, std::span<const uint16_t> frequencies, uint32_t) {
      Byte* const base = array + (tile * layout.tile + runs.front().channel) * element_bytes;
      for (const uint16_t f : frequencies) *out++ = base + f * layout.frequency * element_bytes;
    });
  }

  // Calls visit(tile, frequencies, row of the first) for each tile's share.
  template <class Visit>
  void each_tile(Visit visit) const {
    const auto size = static_cast<uint32_t>(band.size());
    for (uint32_t step = first, end = first + n; step < end;) {
      const uint32_t f = step % size, count = size - f < end - step ? size - f : end - step;
      visit(tiles[step / size], band.subspan(f, count), step - first);
      step += count;
    }
  }
};

}  // namespace swathpack
