#include "lane_tables.h"

#include <algorithm>

#include "reconstruction.h"

namespace swathpack {

LaneGroups::LaneGroups(const TableSet& tables, const LayerPlan& plan, unsigned lanes, float half_step)
    : tables_(tables), plan_(plan), half_step_(half_step) {
  size_t n_bytes = 0;
  for (size_t first = 0; first < plan.coded.size();) {
    const size_t end = plan.group_end(first, lanes);
    LaneTables t;
    t.lanes = static_cast<unsigned>(end - first);
    t.width = t.lanes <= 32 ? 32 : t.lanes <= 64 ? 64 : 128;
    for (size_t run = first; run < end; ++run) {
      t.n_thresholds = std::max(t.n_thresholds, tables.tables()[plan.coded[run].level].n_thresholds);
    }
    n_bytes += n_rows(t) * sizeof(Row);
    groups_.push_back({first, end, t});
    first = end;
  }
  all_kept_ = n_bytes <= kMostKept;
  if (!all_kept_) {
    kept_.emplace_back();
    return;
  }
  for (LaneGroup& group : groups_) fill(group, kept_.emplace_back());
}

const LaneGroup& LaneGroups::at(size_t i) {
  if (!all_kept_) fill(groups_[i], kept_.front());
  return groups_[i];
}

// K + 1 of each kind that has one for every symbol, and five single ones.
size_t LaneGroups::n_rows(const LaneTables& t) const {
  return (size_t{half_step_ != 0 ? 4u : 3u} * (t.n_thresholds + 1) + 5) * (t.width / 32);
}

void LaneGroups::fill(LaneGroup& group, Store& store) const {
  constexpr uint16_t kBias = 0x8000;
  LaneTables& t = group.tables;
  for (unsigned lane = 0; lane < t.lanes; ++lane) {
    store.tables[lane] = &tables_.tables()[plan_.coded[group.first + lane].level];
  }
  t.tables = store.tables.data();
  store.rows.assign(n_rows(t), Row{});

  const unsigned k_rows = t.n_thresholds + 1, n_kinds = half_step_ != 0 ? 4 : 3;
  const auto row = [&](unsigned i) { return store.rows[0].lane + size_t{i} * t.width; };
  uint16_t *const thresholds = row(0), *const starts = row(k_rows), *const frequencies = row(2 * k_rows),
                  *const half = row(3 * k_rows), *const last = row(n_kinds * k_rows),
                  *const escape = row(n_kinds * k_rows + 1), *const final = row(n_kinds * k_rows + 2),
                  *const present = row(n_kinds * k_rows + 3), *const first_row = row(n_kinds * k_rows + 4);
  for (unsigned k = 0; k < k_rows; ++k) std::fill_n(thresholds + size_t{k} * t.width, t.width, kBias);
  for (unsigned lane = 0; lane < t.lanes; ++lane) {
    const Table& table = *t.tables[lane];
    const unsigned n = table.n_thresholds;
    for (unsigned k = 0; k <= n; ++k) {
      const size_t at = size_t{k} * t.width + lane;
      if (k < n) thresholds[at] = static_cast<uint16_t>(table.range[k + 1].start ^ kBias);
      starts[at] = table.range[k].start;
      frequencies[at] = table.range[k].frequency;
    }
    for (unsigned k = 0; half_step_ != 0 && k < k_rows; ++k) {
      half[size_t{k} * t.width + lane] = k <= n ? half_of(value_of(table, half_step_, static_cast<int>(k)))
                                                : half[size_t{n} * t.width + lane];
    }
    last[lane] = escape[lane] = static_cast<uint16_t>(n);
    final[lane] = static_cast<uint16_t>(table.range[n].start ^ kBias);
    first_row[lane] = static_cast<uint16_t>(table.range[1].start ^ kBias);
    present[lane] = 65535;
  }
  for (unsigned lane = t.lanes; lane < t.width; ++lane) {
    escape[lane] = 255;
    final[lane] = first_row[lane] = 65535 ^ kBias;
  }
  t.thresholds = thresholds;
  t.starts = starts;
  t.frequencies = frequencies;
  t.last = last;
  t.escape = escape;
  t.first = first_row;
  t.final = final;
  t.present = present;
  if (half_step_ != 0) t.half_values = half;
}

}  // namespace swathpack
