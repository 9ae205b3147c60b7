// What a record may cost: memory in proportion to the bytes that are there, symbols up to the format's limit,
// and the ends of the range of probabilities.
#include <cmath>

#include "allocations.h"
#include "any_array.h"
#include "guarded.h"
#include "plain_case.h"

namespace swathpack::test {
namespace {

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

// 16 layers at 8 offsets in 7 numbers of lanes: each kind of record has tables of lanes of its own.
TEST_CASE("records of a thousand kinds in one call do not get memory for all their tables") {
  if (!allocations_are_counted()) return;
  PlaneSpec p;
  p.channels = 4096;
  p.n_layers = 16;
  p.layer_shift.assign(16, 0);
  p.band_of_frequency = {0};
  for (unsigned c = 0; c < p.channels; ++c) p.layer_map.push_back(static_cast<uint8_t>(c / 256));
  p.class_map.assign(p.channels, 0);
  std::vector<uint16_t> thresholds;
  for (unsigned k = 1; k <= 255; ++k) thresholds.push_back(static_cast<uint16_t>(257 * k));
  Case c = plain_case(thresholds, 1, 1, 1, 1);
  auto parsed = TableSet::parse(table_file({thresholds}, {p}));
  CHECK(parsed.ok());
  c.tables = parsed.take();
  c.ladder_index = 4;
  c.symbols.assign(p.channels, 0);
  std::vector<Buffer> records;
  for (uint8_t layer = 0; layer < 16; ++layer) {
    for (int offset = -4; offset < 4; ++offset) {
      for (uint8_t log2_lanes = 1; log2_lanes <= 7; ++log2_lanes) {
        RecordHeader h;
        h.layer = layer;
        h.ladder_offset = static_cast<int8_t>(offset);
        h.log2_lanes = log2_lanes;
        c.header = h.pack() & 0xFFFFFFFFFFu;
        records.push_back(bare_record(c, 65536));
      }
    }
  }
  AnyTarget target(c, ElementType::kInt16, Order::kToken);
  const PeakMemory memory;
  RecordDecoder decoder(c.context(), target.target());
  for (const Buffer& record : records) (void)decoder.decode(record);
  CHECK(memory.bytes() < size_t{24} << 20);
}

}  // namespace
}  // namespace swathpack::test
