// Cases of one table, for tests that say everything else themselves.
#pragma once

#include "cases.h"

namespace swathpack::test {

// Ladder and points of a table file: the ladder has multiples of the step.
struct Points {
  float step = 0.5f, r1 = 1, r2 = 0;
};

// Writes them into a file of table_file(), of which they are those of the first table (§6).
inline Buffer with_points(Buffer file, const Points& points) {
  const auto store = [&file](size_t at, uint32_t bits) {
    for (unsigned i = 0; i < 4; ++i) file[at + i] = static_cast<uint8_t>(bits >> (8 * i));
  };
  for (unsigned i = 0; i < 8; ++i)
    store(12 + 4 * i, std::bit_cast<uint32_t>(static_cast<float>(i + 1) * points.step));
  store(12 + 32 + 4, std::bit_cast<uint32_t>(points.r1));
  store(12 + 32 + 8, std::bit_cast<uint32_t>(points.r2));
  store(file.size() - 4, crc32c(std::span(file).first(file.size() - 4)));
  return file;
}

// A plane of one layer and one band, of which all channels use table 0.
inline Case plain_case(const std::vector<uint16_t>& thresholds, unsigned channels, unsigned rows,
                       unsigned cols, uint32_t n_tiles, const Points& points = {}) {
  PlaneSpec p;
  p.rows = rows;
  p.cols = cols;
  p.channels = channels;
  p.layer_shift = {0};
  p.band_of_frequency.assign(rows * cols, 0);
  p.layer_map.assign(channels, 0);
  p.class_map.assign(channels, 0);
  auto parsed = TableSet::parse(with_points(table_file({thresholds}, {p}), points));
  CHECK(parsed.ok());
  Case c;
  c.tables = parsed.take();
  c.n_tiles = n_tiles;
  c.symbols.assign(size_t{n_tiles} * channels * rows * cols, 0);
  c.tile_mask.assign(n_tiles, 0);
  c.token_mask.assign(size_t{n_tiles} * rows * cols, 0);
  c.derived = c.token_mask;
  RecordHeader h;
  h.tile_count_code = *tile_count_code(n_tiles);
  c.header = h.pack() & 0xFFFFFFFFFFu;
  return c;
}

inline Case with_lanes(Case c, unsigned log2_lanes) {
  c.header |= uint64_t{log2_lanes} << 10;
  return c;
}

// States, where needed a form, and nothing else: the shortest record that begins to decode.
inline Buffer bare_record(const Case& c, uint32_t state) {
  Buffer record;
  RecordHeader h = RecordHeader::unpack(c.header);
  if (h.log2_lanes == 0) {
    h.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
    h.state_form = 7;
  }
  put(record, h.pack(), 8);
  if (!h.is_compact()) record.push_back(0x1c);
  for (unsigned lane = 0; lane < h.lanes(); ++lane) put(record, state, 4);
  record.resize(record.size() + kRecordCrcBytes);
  reseal(record);
  return record;
}

}  // namespace swathpack::test
