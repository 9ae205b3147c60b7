// Table files and random coding cases for tests and fuzz targets, written from docs/bitstream.md §4 to §6.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <utility>
#include <vector>

#include "check.h"
#include "swathpack/checksum.h"
#include "swathpack/record_header.h"
#include "swathpack/records.h"
#include "swathpack/tables.h"

namespace swathpack::test {

using Buffer = std::vector<uint8_t>;

inline void put(Buffer& out, uint64_t value, unsigned n_bytes) {
  for (unsigned i = 0; i < n_bytes; ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}
inline void put_float(Buffer& out, float value) { put(out, std::bit_cast<uint32_t>(value), 4); }

struct PlaneSpec {
  unsigned rows = 1, cols = 1, channels = 1, n_layers = 1, n_bands = 1, kind = 1;
  std::vector<int8_t> layer_shift;
  Buffer band_of_frequency, layer_map, class_map;
};

struct TableSpec {
  std::vector<uint16_t> thresholds;
  unsigned low_bits = 0;
  float r1 = 1.0f, r2 = 0.0f, theta = 0.25f;
  TableSpec(std::vector<uint16_t> t, unsigned b = 0) : thresholds(std::move(t)), low_bits(b) {}
  TableSpec(std::initializer_list<uint16_t> t) : thresholds(t) {}
};

inline Buffer table_file(const std::vector<TableSpec>& tables, const std::vector<PlaneSpec>& planes,
                         unsigned n_ladder = 8, float step = 0.5f) {
  Buffer body;
  for (unsigned i = 0; i < n_ladder; ++i) put_float(body, static_cast<float>(i + 1) * step);
  for (const TableSpec& table : tables) {
    put(body, table.thresholds.size(), 1);
    put(body, table.low_bits, 1);
    put(body, 0, 2);
    put_float(body, table.r1);
    put_float(body, table.r2);
    put_float(body, table.theta);
    for (const uint16_t t : table.thresholds) put(body, t, 2);
  }
  for (const PlaneSpec& p : planes) {
    put(body, p.rows, 1);
    put(body, p.cols, 1);
    put(body, p.channels, 2);
    put(body, p.n_layers, 1);
    put(body, p.n_bands, 1);
    put(body, p.kind, 1);
    put(body, 0, 1);
    for (const int8_t s : p.layer_shift) put(body, static_cast<uint8_t>(s), 1);
    body.insert(body.end(), p.band_of_frequency.begin(), p.band_of_frequency.end());
    body.insert(body.end(), p.layer_map.begin(), p.layer_map.end());
    body.insert(body.end(), p.class_map.begin(), p.class_map.end());
  }
  Buffer file = {'N', 'E', 'C', 'T', 0};
  put(file, planes.size(), 1);
  put(file, tables.size(), 1);
  put(file, n_ladder, 1);
  put(file, 12 + body.size() + 4, 4);
  file.insert(file.end(), body.begin(), body.end());
  put(file, crc32c(file), 4);
  return file;
}

// Strictly increasing thresholds: dense, sparse, and the extremes 1 and 65535.
inline std::vector<uint16_t> random_thresholds(Random& random) {
  static constexpr unsigned kSizes[] = {0, 1, 1, 2, 3, 8, 40, 255};
  const unsigned n = kSizes[random.below(8)];
  std::vector<uint16_t> t;
  switch (random.below(3)) {
    case 0:  // most of the mass on 0
      for (unsigned k = 0; k < n; ++k) t.push_back(static_cast<uint16_t>(65535 - (n - 1 - k)));
      break;
    case 1:  // most on the escape
      for (unsigned k = 0; k < n; ++k) t.push_back(static_cast<uint16_t>(1 + k));
      break;
    default:
      while (t.size() < n) {
        t.push_back(static_cast<uint16_t>(1 + random.below(65535)));
        if (t.size() == n) {
          std::sort(t.begin(), t.end());
          t.erase(std::unique(t.begin(), t.end()), t.end());
        }
      }
  }
  return t;
}

// What is left of thresholds when they have to be multiples of 2^b; all of them when that is nothing.
inline TableSpec with_low_bits(const std::vector<uint16_t>& fine, unsigned b) {
  std::vector<uint16_t> coarse;
  for (const uint16_t t : fine) {
    const auto multiple = static_cast<uint16_t>(t >> b << b);
    const bool is_next = multiple > (coarse.empty() ? 0 : coarse.back());
    if (is_next && (coarse.size() + 1) << b <= kMaxMagnitude) coarse.push_back(multiple);
  }
  if (coarse.empty()) return {fine, 0};
  return {coarse, b};
}

// One table in three has low bits.
inline TableSpec random_table(Random& random) {
  const std::vector<uint16_t> fine = random_thresholds(random);
  return with_low_bits(fine, random.chance(3) ? 1 + random.below(kMaxLowBits) : 0);
}

inline PlaneSpec random_plane(Random& random, unsigned max_channels) {
  PlaneSpec p;
  p.rows = 1 + random.below(5);
  p.cols = 1 + random.below(random.chance(8) ? 64 : 5);
  p.channels = 1 + random.below(max_channels);
  p.n_layers = 1 + random.below(3);
  const unsigned n_frequencies = p.rows * p.cols;
  p.n_bands = 1 + random.below(std::min(n_frequencies, 4u));
  for (unsigned f = 0; f < n_frequencies; ++f) {
    p.band_of_frequency.push_back(static_cast<uint8_t>(f < p.n_bands ? f : random.below(p.n_bands)));
  }
  for (unsigned l = 0; l < p.n_layers; ++l)
    p.layer_shift.push_back(static_cast<int8_t>(static_cast<int>(random.below(3)) - 1));
  for (unsigned i = 0; i < p.n_bands * p.channels; ++i) {
    p.layer_map.push_back(static_cast<uint8_t>(random.chance(9) ? kNeverSent : random.below(p.n_layers)));
    p.class_map.push_back(static_cast<uint8_t>(random.below(12)));
  }
  return p;
}

// One plane, all arguments of a coding call and the header of one record of it.
struct Case {
  TableSet tables;
  unsigned ladder_index = 0;
  uint32_t n_tiles = 1;
  std::vector<int16_t> symbols;
  Buffer tile_mask, token_mask, derived;
  uint64_t header = 0;

  [[nodiscard]] const Plane& plane() const { return tables.planes()[0]; }
  [[nodiscard]] PlaneContext context() const { return {&tables, 0, ladder_index, n_tiles, derived}; }
  [[nodiscard]] EncodeSource source() const {
    return {symbols.data(), ElementType::kInt16, Order::kTile, tile_mask, token_mask};
  }
};

// Symbols of layer `layer` at q where the format has something to say; all others stay 0.
inline void fill_symbols(Case& c, unsigned layer, unsigned e, Random& random) {
  const Plane& plane = c.plane();
  const unsigned n_frequencies = plane.n_frequencies();
  const uint32_t zeros = 1 + random.below(12);
  for (uint32_t tile = 0; tile < c.n_tiles; ++tile) {
    if (c.tile_mask[tile]) continue;
    for (unsigned b = 0; b < plane.n_bands; ++b) {
      for (unsigned ch = 0; ch < plane.channels; ++ch) {
        const size_t cell = size_t{b} * plane.channels + ch;
        if (plane.layer_map[cell] != layer) continue;
        if (c.tables.tables()[c.tables.level(plane.class_map[cell], e)].n_thresholds == 0) continue;
        for (const uint16_t f : plane.band(b)) {
          if (!random.chance(zeros)) continue;
          int value = random.chance(50) ? 32767 - static_cast<int>(random.below(300))
                                        : static_cast<int>(1 + random.below(4));
          if (random.chance(20)) value = static_cast<int>(random.below(300));
          c.symbols[(size_t{tile} * plane.channels + ch) * n_frequencies + f] =
              static_cast<int16_t>(random.chance(2) ? -value : value);
        }
      }
    }
  }
}

inline void fill_masks(Case& c, Random& random) {
  const Plane& plane = c.plane();
  const unsigned n_tokens = plane.n_frequencies();
  c.tile_mask.assign(c.n_tiles, 0);
  c.token_mask.assign(size_t{c.n_tiles} * n_tokens, 0);
  c.derived.assign(size_t{c.n_tiles} * n_tokens, 0);
  const bool with_masks = !random.chance(3);
  for (uint32_t tile = 0; tile < c.n_tiles; ++tile) {
    const unsigned row = random.chance(4) ? random.below(plane.rows) : 0;
    const unsigned col = random.chance(4) ? random.below(plane.cols) : 0;
    bool any_valid = false;
    const unsigned style = with_masks ? random.below(4) : 0;  // 0: all valid, 1: wholly masked, else: some
    for (unsigned r = 0; r < plane.rows; ++r) {
      const bool repeat = random.chance(2);
      for (unsigned k = 0; k < plane.cols; ++k) {
        const size_t token = size_t{tile} * n_tokens + r * plane.cols + k;
        const bool own = r >= row && k >= col;
        c.derived[token] = !own;
        if (!own) continue;
        if (style == 1) c.token_mask[token] = 1;
        if (style > 1)
          c.token_mask[token] = repeat && r > row ? c.token_mask[token - plane.cols] : random.chance(3);
        any_valid |= c.token_mask[token] == 0;
      }
    }
    c.tile_mask[tile] = !any_valid;
  }
}

inline Case random_case(Random& random, unsigned max_channels = 9, unsigned max_tiles = 9,
                        Buffer* its_table_file = nullptr) {
  std::vector<TableSpec> tables;
  for (unsigned i = 1 + random.below(6); i > 0; --i) tables.push_back(random_table(random));
  // Values that vanish and values that overflow: float16 ends at 65504, float32 below 2^-149.
  const float step = random.chance(3) ? std::ldexp(1.0f, static_cast<int>(random.below(160)) - 148) : 0.5f;
  for (TableSpec& table : tables) {
    if (!random.chance(4)) continue;
    table.r1 = random.chance(2) ? 2.0f : std::ldexp(1.0f, -static_cast<int>(random.below(140)));
    table.r2 = static_cast<float>(random.below(9)) * 0.25f - 1.0f;
    table.theta = static_cast<float>(random.below(3)) * 0.25f;
  }
  const Buffer file = table_file(tables, {random_plane(random, max_channels)}, 8, step);
  if (its_table_file != nullptr) *its_table_file = file;
  auto parsed = TableSet::parse(file);
  CHECK(parsed.ok());
  Case c;
  c.tables = parsed.take();
  c.ladder_index = 4 + random.below(2);
  c.n_tiles = 1 + random.below(max_tiles);
  c.symbols.assign(size_t{c.n_tiles} * c.plane().channels * c.plane().n_frequencies(), 0);
  fill_masks(c, random);
  RecordHeader h;
  h.layer = static_cast<uint8_t>(random.below(c.plane().n_layers));
  h.log2_lanes = static_cast<uint8_t>(random.chance(2) ? 0 : random.below(8));
  h.ladder_offset = static_cast<int8_t>(static_cast<int>(random.below(3)) - 1);
  h.first_tile = static_cast<uint16_t>(random.below(c.n_tiles));
  h.tile_count_code = static_cast<uint8_t>(random.below(c.n_tiles - h.first_tile));
  c.header = h.pack() & 0xFFFFFFFFFFu;
  fill_symbols(c, h.layer,
               *c.tables.layer_index(c.plane(), h.layer, static_cast<int>(c.ladder_index) + h.ladder_offset),
               random);
  return c;
}

// What a decoder wrote, in buffers of exactly the size it was told, so that AddressSanitizer sees a byte too
// many.
struct Decoded {
  explicit Decoded(const Case& c)
      : symbols(c.symbols.size(), 77), token_mask(c.token_mask.size(), 7), layers(c.n_tiles, 0) {}
  std::vector<int16_t> symbols;
  Buffer token_mask;
  std::vector<uint16_t> layers;
  [[nodiscard]] DecodeTarget target() {
    return {symbols.data(), ElementType::kInt16, Order::kTile, token_mask, layers};
  }
};

// Decodes from a heap copy of exactly the record's size.
inline MaybeError decode_exactly(const Case& c, const Buffer& record, Decoded& out) {
  const Buffer exact(record);
  RecordDecoder decoder(c.context(), out.target());
  return decoder.decode(exact);
}

// Length, check byte and CRC made right for the bytes that stand there: what a hostile sender would do.
inline void reseal(Buffer& record) {
  const size_t payload = record.size() - kRecordHeaderBytes - kRecordCrcBytes;
  record[5] = static_cast<uint8_t>(payload - 1);
  record[6] = static_cast<uint8_t>((payload - 1) >> 8);
  record[7] = crc8(std::span(record).first(7));
  const uint32_t crc = crc32c(std::span(record).first(record.size() - kRecordCrcBytes));
  for (unsigned i = 0; i < 4; ++i) record[record.size() - 4 + i] = static_cast<uint8_t>(crc >> (8 * i));
}

// Encodes again what was decoded from `record`, under its own header; the result must be `record` (§5.6).
inline Buffer encode_again(const Case& c, const Buffer& record, const Decoded& decoded) {
  Case again = c;
  again.symbols = decoded.symbols;
  uint64_t packed = 0;
  std::memcpy(&packed, record.data(), 8);  // tests run on little-endian machines
  const RecordHeader h = RecordHeader::unpack(packed);
  again.header = asked_header(packed);
  const unsigned n_tokens = c.plane().n_frequencies();
  std::fill(again.tile_mask.begin(), again.tile_mask.end(), uint8_t{0});
  std::fill(again.token_mask.begin(), again.token_mask.end(), uint8_t{0});
  if (!h.is_compact() && record[8] & 1) {
    for (uint32_t t = 0; t < h.tile_count(); ++t)
      again.tile_mask[h.first_tile + t] = record[9 + t / 8] >> t % 8 & 1;
  }
  if (h.layer == 0) {
    for (uint32_t tile = h.first_tile; tile < h.first_tile + h.tile_count(); ++tile) {
      for (size_t i = size_t{tile} * n_tokens; i < size_t{tile + 1} * n_tokens; ++i) {
        again.token_mask[i] = decoded.token_mask[i];
      }
    }
  }
  Buffer out;
  RecordEncoder encoder(again.context(), again.source());
  if (const auto error = encoder.encode(again.header, out)) {
    fail(__FILE__, __LINE__, "a decoded record cannot be encoded again: " + error->what);
  }
  return out;
}

}  // namespace swathpack::test
