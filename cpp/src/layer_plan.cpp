#include "layer_plan.h"

namespace swathpack {
namespace {

void extend(std::vector<LayerPlan::Range>& ranges, const Run& run) {
  if (!ranges.empty() && ranges.back().band == run.band &&
      ranges.back().channel + ranges.back().n == run.channel) {
    ++ranges.back().n;
  } else {
    ranges.push_back({run.channel, 1, run.band});
  }
}

}  // namespace

LayerPlan make_layer_plan(const TableSet& tables, const Plane& plane, unsigned layer, unsigned e) {
  LayerPlan plan;
  std::vector<bool> is_used(tables.tables().size(), false);
  for (unsigned b = 0; b < plane.n_bands; ++b) {
    for (unsigned c = 0; c < plane.channels; ++c) {
      const size_t cell = size_t{b} * plane.channels + c;
      if (plane.layer_map[cell] != layer) continue;
      const unsigned level = tables.level(plane.class_map[cell], e);
      const Run run{static_cast<uint16_t>(c), static_cast<uint8_t>(b), static_cast<uint8_t>(level)};
      extend(plan.all, run);
      if (tables.tables()[level].n_thresholds == 0) {
        extend(plan.silent, run);
      } else {
        plan.coded.push_back(run);
        is_used[level] = true;
        plan.symbols_per_tile += plane.band(b).size();
      }
    }
  }
  for (size_t level = 0; level < is_used.size(); ++level) {
    if (is_used[level]) plan.levels.push_back(static_cast<uint8_t>(level));
  }
  return plan;
}

}  // namespace swathpack
