#include "lane_tables.h"

#include <algorithm>

#include "reconstruction.h"

namespace swathpack {

LaneGroups::LaneGroups(const TableSet& tables, const LayerPlan& plan, unsigned lanes, float half_step)
    : tables_(tables), plan_(plan), half_step_(half_step) {
  size_t n_bytes = 0, n_largest = 0;
  for (size_t first = 0; first < plan.coded.size();) {
    const size_t end = plan.group_end(first, lanes);
    LaneTables t;
    t.lanes = static_cast<unsigned>(end - first);
    t.width = t.lanes <= 32 ? 32 : t.lanes <= 64 ? 64 : 128;
    bool is_wide = false;
    for (size_t run = first; run < end; ++run) {
      const Table& table = tables.tables()[plan.coded[run].level];
      t.n_thresholds = std::max(t.n_thresholds, table.n_thresholds);
      is_wide |= table.low_bits > 0;
    }
    groups_.push_back({first, end, is_wide, t});
    const size_t n = sizeof(Store) + n_rows(groups_.back()) * sizeof(Row);
    n_bytes += n;
    n_largest = std::max(n_largest, n);
    first = end;
  }
  all_kept_ = n_bytes <= kMostKept;
  bytes_ = groups_.size() * sizeof(LaneGroup) + (all_kept_ ? n_bytes : n_largest);
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

// K + 1 of each kind that has one for every symbol, and single ones.
size_t LaneGroups::n_rows(const LaneGroup& group) const {
  const LaneTables& t = group.tables;
  const size_t n_kinds = has_half_values(group) ? 4 : 3;
  return (n_kinds * (t.n_thresholds + 1) + 5 + (group.is_wide ? 4 : 0)) * (t.width / 32);
}

void LaneGroups::fill(LaneGroup& group, Store& store) const {
  constexpr uint16_t kBias = 0x8000;
  LaneTables& t = group.tables;
  for (unsigned lane = 0; lane < t.lanes; ++lane) {
    store.tables[lane] = &tables_.tables()[plan_.coded[group.first + lane].level];
  }
  t.tables = store.tables.data();
  store.rows.assign(n_rows(group), Row{});

  const bool has_half = has_half_values(group);
  const unsigned k_rows = t.n_thresholds + 1, n_kinds = has_half ? 4 : 3;
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
      frequencies[at] = static_cast<uint16_t>(table.share(k));
    }
    for (unsigned k = 0; has_half && k < k_rows; ++k) {
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
  if (has_half) t.half_values = half;
  if (group.is_wide) fill_low_bits(t, row(n_kinds * k_rows + 5));
}

void LaneGroups::fill_low_bits(LaneTables& t, uint16_t* rows) {
  uint16_t *const low_bits = rows, *const scale = rows + t.width, *const inverse = rows + 2 * t.width,
                  *const below_escape = rows + 3 * t.width;
  for (unsigned lane = 0; lane < t.width; ++lane) {
    const unsigned b = lane < t.lanes ? t.tables[lane]->low_bits : 0;
    low_bits[lane] = static_cast<uint16_t>(b);
    scale[lane] = static_cast<uint16_t>(1u << b);
    inverse[lane] = static_cast<uint16_t>(1u << (15 - b));
    below_escape[lane] = static_cast<uint16_t>(
        lane < t.lanes ? t.tables[lane]->largest_of(t.tables[lane]->n_thresholds - 1) : kMaxMagnitude);
  }
  t.low_bits = low_bits;
  t.low_scale = scale;
  t.low_inverse = inverse;
  t.low_final = below_escape;
}

}  // namespace swathpack
