#include "lane_tables.h"

#include <algorithm>

#include "reconstruction.h"

namespace swathpack {

LaneGroups::LaneGroups(const TableSet& tables, const LayerPlan& plan, unsigned lanes, float half_step) {
  constexpr uint16_t kBias = 0x8000;
  for (size_t first = 0; first < plan.coded.size();) {
    const size_t end = plan.group_end(first, lanes);
    LaneTables t;
    t.lanes = static_cast<unsigned>(end - first);
    t.width = t.lanes <= 32 ? 32 : t.lanes <= 64 ? 64 : 128;
    auto& lane_tables = tables_.emplace_back(std::make_unique<const Table*[]>(t.lanes));
    for (unsigned lane = 0; lane < t.lanes; ++lane) {
      lane_tables[lane] = &tables.tables()[plan.coded[first + lane].level];
      t.n_thresholds = std::max(t.n_thresholds, lane_tables[lane]->n_thresholds);
    }
    t.tables = lane_tables.get();

    const unsigned k_rows = t.n_thresholds + 1, n_rows = k_rows * (half_step != 0 ? 2 : 1) + 5;
    auto& rows = rows_.emplace_back(std::make_unique<Row[]>(size_t{n_rows} * t.width / 32));
    uint16_t* const base = rows[0].lane;
    const auto row = [&](unsigned i) { return base + size_t{i} * t.width; };
    uint16_t *const last = row(k_rows), *const escape = row(k_rows + 1), *const final = row(k_rows + 2),
                    *const present = row(k_rows + 3), *const first_row = row(k_rows + 4),
                    *const half = row(k_rows + 5);
    for (unsigned lane = 0; lane < t.width; ++lane) {
      const bool is_there = lane < t.lanes;
      const unsigned n = is_there ? t.tables[lane]->n_thresholds : 0;
      for (unsigned k = 0; k < k_rows; ++k) {
        row(k)[lane] = static_cast<uint16_t>((k < n ? t.tables[lane]->range[k + 1].start : 0u) ^ kBias);
        if (half_step != 0) {
          half[size_t{k} * t.width + lane] =
              is_there ? half_of(value_of(*t.tables[lane], half_step, static_cast<int>(std::min(k, n))))
                       : uint16_t{0};
        }
      }
      last[lane] = static_cast<uint16_t>(n);
      escape[lane] = static_cast<uint16_t>(is_there ? n : 255);
      final[lane] = static_cast<uint16_t>((is_there ? t.tables[lane]->range[n].start : 65535u) ^ kBias);
      first_row[lane] = static_cast<uint16_t>((is_there ? t.tables[lane]->range[1].start : 65535u) ^ kBias);
      present[lane] = is_there ? 65535 : 0;
    }
    t.thresholds = base;
    t.last = last;
    t.escape = escape;
    t.first = first_row;
    t.final = final;
    t.present = present;
    if (half_step != 0) t.half_values = half;
    groups_.push_back({first, end, t});
    first = end;
  }
}

}  // namespace swathpack
