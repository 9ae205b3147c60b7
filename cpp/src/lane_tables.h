// The tables of a layer's lane groups, laid out for kernels that code many lanes at once.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <tuple>
#include <vector>

#include "isa/kernels.h"
#include "layer_plan.h"

namespace swathpack {

// Up to `lanes` consecutive coded channels of one band (§5.2), which are coded side by side.
struct LaneGroup {
  size_t first = 0, end = 0;  // runs of the plan
  bool is_wide = false;       // a lane has low bits
  LaneTables tables;

  // Of what Kernels::collect_lanes makes of one step.
  [[nodiscard]] size_t row_bytes() const { return size_t{tables.width} * (is_wide ? 2 : 1); }
};

// All lane groups of one layer, in coding order. `half_step` is the step width Δ where values are wanted as
// float16, else 0. A table file of 128 KiB may describe a gigabyte of these: they are kept as far as
// kMostKept goes, and beyond it made anew for each use.
class LaneGroups {
 public:
  LaneGroups(const TableSet& tables, const LayerPlan& plan, unsigned lanes, float half_step);

  [[nodiscard]] size_t size() const { return groups_.size(); }
  [[nodiscard]] size_t bytes() const { return bytes_; }  // that it takes at most
  // Holds until the next call, if not longer.
  [[nodiscard]] const LaneGroup& at(size_t i);

 private:
  static constexpr size_t kMostKept = size_t{1} << 20;  // bytes

  struct alignas(64) Row {  // vectors load whole cache lines
    uint16_t lane[32];
  };
  struct Store {
    std::vector<Row> rows;
    std::array<const Table*, kMostLanes> tables;
  };
  // Values of wide groups are too many for a row each.
  [[nodiscard]] bool has_half_values(const LaneGroup& group) const {
    return half_step_ != 0 && !group.is_wide;
  }
  [[nodiscard]] size_t n_rows(const LaneGroup& group) const;  // of 32 lanes
  void fill(LaneGroup& group, Store& store) const;
  static void fill_low_bits(LaneTables& t, uint16_t* rows);

  const TableSet& tables_;
  const LayerPlan& plan_;
  float half_step_;
  std::vector<LaneGroup> groups_;
  std::deque<Store> kept_;  // of all groups, or of the one in use
  bool all_kept_ = true;
  size_t bytes_ = 0;
};

// Made once per (layer, e, lanes) and call, while all of them stay below kMostKept: small records of many
// kinds would else ask for a gigabyte.
class LaneGroupSets {
 public:
  // Holds until it is asked for another.
  [[nodiscard]] LaneGroups& at(const TableSet& tables, const LayerPlan& plan, unsigned layer, unsigned e,
                               unsigned lanes, float half_step) {
    const auto key = std::make_tuple(layer, e, lanes);
    auto it = sets_.find(key);
    if (it != sets_.end()) return it->second;
    if (bytes_ > kMostKept) {
      sets_.clear();
      bytes_ = 0;
    }
    it = sets_.try_emplace(key, tables, plan, lanes, half_step).first;
    bytes_ += it->second.bytes();
    return it->second;
  }

 private:
  static constexpr size_t kMostKept = size_t{16} << 20;  // bytes
  size_t bytes_ = 0;
  std::map<std::tuple<unsigned, unsigned, unsigned>, LaneGroups> sets_;
};

}  // namespace swathpack
