// What a record may cost: memory in proportion to the bytes that are there, symbols up to the format's limit,
// and the ends of the range of probabilities.
#include <cmath>

#include "allocations.h"
#include "any_array.h"
#include "guarded.h"

namespace swathpack::test {
namespace {

// A plane of one layer and one band, of which all channels use table 0.
Case plain_case(const std::vector<uint16_t>& thresholds, unsigned channels, unsigned rows, unsigned cols,
                uint32_t n_tiles) {
  PlaneSpec p;
  p.rows = rows;
  p.cols = cols;
  p.channels = channels;
  p.layer_shift = {0};
  p.band_of_frequency.assign(rows * cols, 0);
  p.layer_map.assign(channels, 0);
  p.class_map.assign(channels, 0);
  auto parsed = TableSet::parse(table_file({thresholds}, {p}));
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

Case with_lanes(Case c, unsigned log2_lanes) {
  c.header |= uint64_t{log2_lanes} << 10;
  return c;
}

// States, where needed a form, and nothing else: the shortest record that begins to decode.
Buffer bare_record(const Case& c, uint32_t state) {
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

TEST_CASE(
    "symbols of the least and the greatest probability come back at their cost on every instruction set") {
  static const std::vector<std::vector<uint16_t>> kTables = {
      {1}, {65535}, {1, 65535}, {1, 2}, {65534, 65535}};
  for (const auto& thresholds : kTables) {
    for (unsigned log2_lanes = 0; log2_lanes <= 7; ++log2_lanes) {
      for (unsigned k = 0; k < thresholds.size(); ++k) {  // each symbol but the escape, alone
        Case c = with_lanes(plain_case(thresholds, 150, 2, 5, 2), log2_lanes);
        std::fill(c.symbols.begin(), c.symbols.end(), static_cast<int16_t>(k % 2 ? -static_cast<int>(k) : k));
        Buffer expected;
        for (const std::string& isa : isa_names()) {
          const OnIsa on(isa);
          Buffer record;
          RecordEncoder encoder(c.context(), c.source());
          CHECK(!encoder.encode(c.header, record));
          if (expected.empty()) expected = record;
          CHECK(record == expected);
          Decoded decoded(c);
          CHECK(!decode_exactly(c, record, decoded));
          CHECK(decoded.symbols == c.symbols);
        }
        const Table& table = c.tables.tables()[0];
        const double bits =
            static_cast<double>(c.symbols.size()) * (16 - std::log2(table.range[k].frequency) + (k > 0));
        const double overhead = 13 + 4.0 * (1u << log2_lanes) + 3;  // header, form, CRC, states, padding
        CHECK(static_cast<double>(expected.size()) <= 1.002 * bits / 8 + overhead);
      }
    }
  }
}

// 2^26 symbols are decoded in tests/core; one step more is refused before a byte of the arrays is touched.
TEST_CASE("a record of more than 2^26 symbols is refused without touching its arrays") {
  Guarded nothing(1);
  uint8_t* const forbidden = nothing.at_end(0).data();  // the guard page itself
  Case c = plain_case({60000}, 4, 64, 64, 1);
  c.n_tiles = 4352;
  const Buffer derived(size_t{c.n_tiles} * 4096, 0);
  for (unsigned log2_lanes = 0; log2_lanes <= 7; ++log2_lanes) {
    RecordHeader h;
    h.log2_lanes = static_cast<uint8_t>(log2_lanes);
    h.tile_count_code = *tile_count_code(c.n_tiles);
    c.header = h.pack() & 0xFFFFFFFFFFu;
    c.derived = derived;
    std::vector<uint16_t> layers(c.n_tiles, 0);
    for (const ElementType type : kElementTypes) {
      const DecodeTarget target{forbidden, type, Order::kToken, {forbidden, derived.size()}, layers};
      RecordDecoder decoder(c.context(), target);
      const auto error = decoder.decode(bare_record(c, 65536));
      CHECK(error && error->kind == ErrorKind::kLimit);
    }
  }
}

// The bound of docs/safety.md: a constant, and multiples of the bytes of the record and of the table file.
size_t memory_bound(size_t record_bytes, size_t table_file_bytes) {
  return (size_t{2} << 20) + 200 * record_bytes + 64 * table_file_bytes;
}

size_t peak_of(const Case& c, const Buffer& record, ElementType type) {
  AnyTarget target(c, type, Order::kTile);
  const PeakMemory memory;
  RecordDecoder decoder(c.context(), target.target());
  (void)decoder.decode(record);
  return memory.bytes();
}

TEST_CASE("a few bytes that speak for many symbols get memory for a few bytes") {
  if (!allocations_are_counted()) return;
  Random random(51);
  for (const std::vector<uint16_t>& thresholds : {std::vector<uint16_t>{1}, {65535}, {32768, 65000}}) {
    const Case wide = plain_case(thresholds, 3, 8, 8, 32768);  // 6,291,456 symbols, of 100 bytes of tables
    for (unsigned log2_lanes = 0; log2_lanes <= 7; ++log2_lanes) {
      const Case c = with_lanes(wide, log2_lanes);
      for (const ElementType type : {ElementType::kInt8, ElementType::kFloat32}) {
        const Buffer record = bare_record(c, 0x80000000u | static_cast<uint32_t>(random.next()));
        CHECK(peak_of(c, record, type) <= memory_bound(record.size(), 150));
      }
    }
  }
}

TEST_CASE("the longest payload gets memory for its bytes, whatever it says") {
  if (!allocations_are_counted()) return;
  Random random(52);
  for (unsigned log2_lanes = 0; log2_lanes <= 7; log2_lanes += log2_lanes == 0 ? 1 : 3) {
    for (const std::vector<uint16_t>& thresholds : {std::vector<uint16_t>{1}, {1, 2, 3}, {30000}}) {
      const Case c = with_lanes(plain_case(thresholds, 16, 8, 8, 512), log2_lanes);
      for (const bool is_noise : {false, true}) {
        Buffer record = bare_record(c, 0xFFFFFFFFu);
        while (record.size() < 12 + kMaxPayloadBytes) {
          record.push_back(static_cast<uint8_t>(is_noise ? random.next() : 0xFF));
        }
        reseal(record);
        for (const ElementType type : {ElementType::kInt8, ElementType::kFloat32}) {
          CHECK(peak_of(c, record, type) <= memory_bound(record.size(), 200));
        }
      }
    }
  }
}

// Two lanes: as many lane groups as half the channels, each with the rows of its longest table.
TEST_CASE("tables of 256 symbols for every channel get memory for the bytes of the table file") {
  if (!allocations_are_counted()) return;
  std::vector<uint16_t> thresholds;
  for (unsigned k = 1; k <= 255; ++k) thresholds.push_back(static_cast<uint16_t>(257 * k));
  for (unsigned log2_lanes = 1; log2_lanes <= 7; ++log2_lanes) {
    const Case c = with_lanes(plain_case(thresholds, 4096, 1, 1, 1), log2_lanes);
    const size_t table_file_bytes = 700 + 2 * 4096;
    const Buffer record = bare_record(c, 65536);
    for (const ElementType type : {ElementType::kInt8, ElementType::kFloat16}) {
      const size_t peak = peak_of(c, record, type);
      if (peak > memory_bound(record.size(), table_file_bytes)) {
        fail(__FILE__, __LINE__,
             std::to_string(1u << log2_lanes) + " lanes: " + std::to_string(peak) +
                 " bytes for a record of " + std::to_string(record.size()) + " and a table file of " +
                 std::to_string(table_file_bytes));
      }
    }
  }
}

}  // namespace
}  // namespace swathpack::test
