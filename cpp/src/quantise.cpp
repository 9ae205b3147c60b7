#include "swathpack/quantise.h"

#include <string>

#include "layer_plan.h"
#include "layout.h"
#include "record_context.h"

namespace swathpack {
namespace {

// To be compiled without contraction. Adding 2^23 and taking it away rounds a float below 2^22 to the nearest
// integer, ties to even.
int16_t quantised(float x, float inv_step, float theta) {
  constexpr float kRound = 8388608.0f, kMaxMagnitude = 32767;
  const float magnitude = (x < 0 ? -x : x) * inv_step - theta;
  const float cut = magnitude > 0 ? (magnitude < kMaxMagnitude ? magnitude : kMaxMagnitude) : 0.0f;
  const auto q = static_cast<int32_t>((cut + kRound) - kRound);
  return static_cast<int16_t>(x < 0 ? -q : q);
}

}  // namespace

MaybeError quantise_layer(const TableSet& tables, unsigned plane_index, unsigned layer, int q,
                          std::span<const float> latents, Order order, std::span<int16_t> symbols) {
  auto place = find_layer(tables, plane_index, layer, q);
  if (!place.ok()) return place.error();
  const Plane& plane = tables.planes()[plane_index];
  const LayerPlan plan = make_layer_plan(tables, plane, layer, place.value());
  const Layout layout(plane, order);
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
        if (latents[at] != latents[at]) return refuse(at);
        symbols[at] = quantised(latents[at], inv_step, theta);
      }
    }
  }
  return std::nullopt;
}

}  // namespace swathpack
