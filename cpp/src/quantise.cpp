#include "swathpack/quantise.h"

#include <string>

#include "isa/kernels.h"
#include "layer_plan.h"
#include "layout.h"
#include "record_context.h"

namespace swathpack {
MaybeError quantise_layer(const TableSet& tables, unsigned plane_index, unsigned layer, int q,
                          std::span<const float> latents, Order order, std::span<int16_t> symbols) {
  auto place = find_layer(tables, plane_index, layer, q);
  if (!place.ok()) return place.error();
  const Plane& plane = tables.planes()[plane_index];
  const LayerPlan plan = make_layer_plan(tables, plane, layer, place.value());
  const Layout layout(plane, order);
  const auto quantise_row = kernels().quantise_row;
  const float inv_step = 1.0f / tables.ladder()[place.value()];
  const auto refuse = [&](size_t at) {
    return Error{ErrorKind::kBadInput,
                 "a latent of tile " + std::to_string(at / layout.tile) + ", channel " +
                     std::to_string(at / layout.channel % plane.channels) + " is not a number",
                 std::nullopt,
                 "finite values",
                 "NaN",
                 "look for NaN pixels or weights before the encoder; mark unmeasured pixels invalid instead"};
  };
  for (size_t tile = 0; tile + layout.tile <= latents.size(); tile += layout.tile) {
    for (const LayerPlan::Range& range : plan.silent) {
      for (unsigned c = range.channel; c < unsigned{range.channel} + range.n; ++c) {
        for (const uint16_t f : plane.band(range.band)) {
          const size_t at = tile + c * layout.channel + f * layout.frequency;
          if (latents[at] != latents[at]) return refuse(at);
          symbols[at] = 0;
        }
      }
    }
    for (const Run& run : plan.coded) {
      const float theta = tables.tables()[run.level].theta;
      for (const uint16_t f : plane.band(run.band)) {
        const size_t at = tile + run.channel * layout.channel + f * layout.frequency;
        if (quantise_row(&latents[at], inv_step, &theta, 1, &symbols[at])) return refuse(at);
      }
    }
  }
  return std::nullopt;
}

}  // namespace swathpack
