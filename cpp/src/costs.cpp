#include <bit>
#include <cstdlib>

#include "layer_plan.h"
#include "layout.h"
#include "record_context.h"
#include "swathpack/records.h"

namespace swathpack {
namespace {

template <class Symbol>
void add_costs(const TableSet& tables, const Plane& plane, const LayerPlan& plan, const Layout& layout,
               const Symbol* symbols, std::span<uint64_t> costs) {
  for (uint64_t& cost : costs) {
    cost = 0;
    for (const Run& run : plan.coded) {
      const Table& table = tables.tables()[run.level];
      const Symbol* channel = symbols + run.channel * layout.channel;
      for (const uint16_t f : plane.band(run.band)) {
        const unsigned magnitude = static_cast<unsigned>(std::abs(int{channel[f * layout.frequency]}));
        const unsigned k = table.index_of(magnitude);
        if (k < table.n_thresholds) {
          cost += table.cost[k];
        } else {
          const unsigned n = static_cast<unsigned>(std::bit_width(k - table.n_thresholds + 1)) - 1;
          cost += table.cost[table.n_thresholds] + 256u * (2 * n + 1);
        }
      }
    }
    symbols += layout.tile;
  }
}

}  // namespace

MaybeError tile_costs(const TableSet& tables, unsigned plane_index, unsigned layer, int q,
                      const void* symbols, ElementType type, Order order, std::span<uint64_t> costs) {
  auto place = find_layer(tables, plane_index, layer, q);
  if (!place.ok()) return place.error();
  const Plane& plane = tables.planes()[plane_index];
  const LayerPlan plan = make_layer_plan(tables, plane, layer, place.value());
  const Layout layout(plane, order);
  if (type == ElementType::kInt8) {
    add_costs(tables, plane, plan, layout, static_cast<const int8_t*>(symbols), costs);
  } else {
    add_costs(tables, plane, plan, layout, static_cast<const int16_t*>(symbols), costs);
  }
  return std::nullopt;
}

Result<uint32_t> coded_pairs(const TableSet& tables, unsigned plane_index, unsigned layer, int q) {
  auto place = find_layer(tables, plane_index, layer, q);
  if (!place.ok()) return place.error();
  return static_cast<uint32_t>(
      make_layer_plan(tables, tables.planes()[plane_index], layer, place.value()).coded.size());
}

}  // namespace swathpack
