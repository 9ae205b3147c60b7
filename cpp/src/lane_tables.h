// The tables of a layer's lane groups, laid out for kernels that code many lanes at once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "isa/kernels.h"
#include "layer_plan.h"

namespace swathpack {

// Up to `lanes` consecutive coded channels of one band (§5.2), which are coded side by side.
struct LaneGroup {
  size_t first, end;  // runs of the plan
  LaneTables tables;
};

// All lane groups of one layer, in coding order. `half_step` is the step width Δ where values are wanted as
// float16, else 0.
class LaneGroups {
 public:
  LaneGroups(const TableSet& tables, const LayerPlan& plan, unsigned lanes, float half_step);

  [[nodiscard]] const std::vector<LaneGroup>& all() const { return groups_; }

 private:
  struct alignas(64) Row {  // vectors load whole cache lines
    uint16_t lane[32];
  };
  std::vector<LaneGroup> groups_;
  std::vector<std::unique_ptr<Row[]>> rows_;
  std::vector<std::unique_ptr<const Table*[]>> tables_;
};

// Made once per (layer, e, lanes) and call.
class LaneGroupSets {
 public:
  [[nodiscard]] const std::vector<LaneGroup>& at(const TableSet& tables, const LayerPlan& plan,
                                                 unsigned layer, unsigned e, unsigned lanes,
                                                 float half_step) {
    const auto key = std::make_tuple(layer, e, lanes);
    auto it = sets_.find(key);
    if (it == sets_.end()) it = sets_.try_emplace(key, tables, plan, lanes, half_step).first;
    return it->second.all();
  }

 private:
  std::map<std::tuple<unsigned, unsigned, unsigned>, LaneGroups> sets_;
};

}  // namespace swathpack
