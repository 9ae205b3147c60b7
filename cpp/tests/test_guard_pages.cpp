// Not a byte outside what was handed over is read or written: everything lies between guard pages, at the end
// of a page and at the begin of one. Vectors load more than they use, which an allocator's slack would hide.
#include <memory>

#include "any_array.h"
#include "guarded.h"
#include "swathpack/reed_solomon.h"
#include "swathpack/scan.h"

namespace swathpack::test {
namespace {

enum class Shape : uint8_t {
  kWide,  // one tile, a symbol in each channel: the last lane group is a ragged one
  kTall,  // few channels, many tiles: many steps
};

// n symbols for `lanes` lanes, in tables from two symbols up to 256. Magnitudes fit int8.
Case sized_case(unsigned n, unsigned log2_lanes, Shape shape, Random& random) {
  static constexpr unsigned kSizes[] = {1, 2, 7, 40, 255};
  std::vector<TableSpec> tables;
  for (unsigned t = 0; t < 3; ++t) {
    std::vector<uint16_t> thresholds;
    const unsigned k = n == 0 ? 0 : kSizes[random.below(5)];
    while (thresholds.size() < k) {
      thresholds.push_back(static_cast<uint16_t>(1 + random.below(65535)));
      std::sort(thresholds.begin(), thresholds.end());
      thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    }
    tables.push_back(with_low_bits(thresholds, random.chance(3) ? 1 + random.below(kMaxLowBits) : 0));
  }
  PlaneSpec p;
  p.layer_shift = {0};
  p.band_of_frequency = {0};
  const unsigned channels = shape == Shape::kWide ? std::max(n, 1u) : 1 + n % 7;
  p.channels = channels;
  p.layer_map.assign(channels, 0);
  for (unsigned ch = 0; ch < channels; ++ch) p.class_map.push_back(static_cast<uint8_t>(4 + random.below(3)));
  auto parsed = TableSet::parse(table_file(tables, {p}));
  CHECK(parsed.ok());
  Case c;
  c.tables = parsed.take();
  c.ladder_index = 4;
  c.n_tiles = std::max(n / channels, 1u);
  c.symbols.assign(size_t{c.n_tiles} * channels, 0);
  c.tile_mask.assign(c.n_tiles, 0);
  c.token_mask.assign(c.n_tiles, 0);
  c.derived.assign(c.n_tiles, 0);
  if (n > 0) {
    const uint32_t zeros = 1 + random.below(6);
    for (int16_t& s : c.symbols) {
      if (random.chance(zeros)) s = static_cast<int16_t>(static_cast<int>(random.below(255)) - 127);
    }
  }
  RecordHeader h;
  h.log2_lanes = static_cast<uint8_t>(log2_lanes);
  uint32_t count = c.n_tiles;
  while (!tile_count_code(count)) --count;
  h.tile_count_code = *tile_count_code(count);
  c.header = h.pack() & 0xFFFFFFFFFFu;
  return c;
}

// All that one call is given, between guard pages.
class Stage {
 public:
  // The outcome of decoding there; the values stand in values() until the next call.
  MaybeError decode(const Case& c, std::span<const uint8_t> record, ElementType type, Order order, bool end) {
    values_ = values_memory_.at(end, c.symbols.size() * element_bytes(type));
    std::fill(values_.begin(), values_.end(), AnyTarget::kFill);
    token_mask_ = tokens_memory_.at(end, c.token_mask.size());
    std::fill(token_mask_.begin(), token_mask_.end(), uint8_t{7});
    const auto layers = layers_memory_.at(end, 2 * size_t{c.n_tiles});
    std::fill(layers.begin(), layers.end(), uint8_t{0});
    layers_ = {reinterpret_cast<uint16_t*>(layers.data()), c.n_tiles};
    PlaneContext context = c.context();
    context.derived = derived_memory_.copy(end, c.derived);
    RecordDecoder decoder(context, {values_.data(), type, order, token_mask_, layers_});
    return decoder.decode(record_memory_.copy(end, record));
  }

  Buffer encode(const Case& c, ElementType type, Order order, bool end) {
    const size_t size = element_bytes(type);
    values_ = values_memory_.at(end, c.symbols.size() * size);
    for (size_t i = 0; i < c.symbols.size(); ++i) {
      uint8_t* const to = values_.data() + position(c.plane(), order, i) * size;
      const auto narrow = static_cast<int8_t>(c.symbols[i]);
      std::memcpy(to, size == 1 ? static_cast<const void*>(&narrow) : &c.symbols[i], size);
    }
    PlaneContext context = c.context();
    context.derived = derived_memory_.copy(end, c.derived);
    RecordEncoder encoder(context, {values_.data(), type, order, layers_memory_.copy(end, c.tile_mask),
                                    tokens_memory_.copy(end, c.token_mask)});
    Buffer record;
    if (const auto error = encoder.encode(c.header, record)) fail(__FILE__, __LINE__, error->what);
    return record;
  }

  // What stands at tile-order position i, of int8 or int16.
  [[nodiscard]] int symbol(const Case& c, ElementType type, Order order, size_t i) const {
    const size_t at = position(c.plane(), order, i);
    if (type == ElementType::kInt8) return static_cast<int8_t>(values_[at]);
    int16_t value = 0;
    std::memcpy(&value, values_.data() + 2 * at, 2);
    return value;
  }
  [[nodiscard]] Buffer values() const { return {values_.begin(), values_.end()}; }

 private:
  Guarded record_memory_{80000}, values_memory_{4096}, tokens_memory_{4096}, layers_memory_{4096},
      derived_memory_{4096};
  std::span<uint8_t> values_, token_mask_;
  std::span<uint16_t> layers_;
};

TEST_CASE("0 to 300 symbols on 1 to 128 lanes go and come without touching a byte outside their arrays") {
  Random random(41);
  Stage stage;
  for (unsigned n = 0; n <= 300; ++n) {
    for (unsigned log2_lanes = 0; log2_lanes <= 7; ++log2_lanes) {
      const Case c = sized_case(n, log2_lanes, (n + log2_lanes) % 2 ? Shape::kTall : Shape::kWide, random);
      Buffer record;
      {
        const OnIsa scalar("scalar");
        RecordEncoder encoder(c.context(), c.source());
        CHECK(!encoder.encode(c.header, record));
      }
      const size_t n_sent = RecordHeader::unpack(c.header).tile_count() * size_t{c.plane().channels};
      for (const Order order : kOrders) {
        const bool end = (n + static_cast<unsigned>(order)) % 3 != 0;
        Buffer floats, halves;
        for (const std::string& isa : isa_names()) {
          const OnIsa on(isa);
          for (const ElementType type : {ElementType::kInt8, ElementType::kInt16}) {
            CHECK(stage.encode(c, type, order, end) == record);
            const auto error = stage.decode(c, record, type, order, end);
            CHECK_EQUAL(refusal(error), std::string());
            for (size_t i = 0; i < n_sent; ++i) CHECK_EQUAL(stage.symbol(c, type, order, i), c.symbols[i]);
          }
          for (Buffer* const seen : {&floats, &halves}) {
            const auto type = seen == &floats ? ElementType::kFloat32 : ElementType::kFloat16;
            CHECK_EQUAL(refusal(stage.decode(c, record, type, order, end)), std::string());
            if (seen->empty()) *seen = stage.values();
            CHECK(*seen == stage.values());
          }
        }
      }
    }
  }
}

// With checksums that hold, so that the damage reaches the coder.
TEST_CASE("every truncation and every flipped bit of small records stays between the guard pages") {
  Random random(42);
  Stage stage;
  unsigned n_refused = 0, n_decoded = 0;
  for (unsigned i = 0; i < 32; ++i) {
    const Case c = sized_case(1 + random.below(40), i % 8, i / 8 % 2 ? Shape::kTall : Shape::kWide, random);
    const Buffer whole = stage.encode(c, ElementType::kInt16, Order::kTile, true);
    const size_t n_payload = whole.size() - kRecordHeaderBytes - kRecordCrcBytes;
    const size_t step = n_payload > 200 ? 7 : 1;  // states of many lanes are much alike
    std::vector<Buffer> damaged;
    for (size_t left = 1; left < n_payload; ++left) {
      damaged.emplace_back(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(kRecordHeaderBytes + left));
      damaged.back().resize(damaged.back().size() + kRecordCrcBytes);
    }
    for (size_t bit = 0; bit < 8 * n_payload; bit += step) {
      damaged.push_back(whole);
      damaged.back()[kRecordHeaderBytes + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    }
    for (Buffer& record : damaged) {
      reseal(record);
      const auto type = kElementTypes[random.below(4)];
      const auto order = kOrders[random.below(2)];
      const bool end = !random.chance(3);
      std::string first_said;
      Buffer first_values;
      for (const std::string& isa : isa_names()) {
        const OnIsa on(isa);
        const auto error = stage.decode(c, record, type, order, end);
        if (isa == isa_names().front()) {
          first_said = refusal(error);
          first_values = stage.values();
          ++(error ? n_refused : n_decoded);
          CHECK(!error || error->kind == ErrorKind::kCorrupt || error->kind == ErrorKind::kBadInput);
        }
        CHECK_EQUAL(refusal(error), first_said);
        CHECK(stage.values() == first_values);
      }
      if (!first_said.empty()) continue;
      Decoded decoded(c);
      CHECK(!decode_exactly(c, record, decoded));
      CHECK(encode_again(c, record, decoded) == record);
    }
  }
  CHECK(n_refused > 5000 && n_decoded > 50);
}

TEST_CASE("every truncation and every flipped bit of small records is refused when checksums stay") {
  Random random(43);
  Stage stage;
  for (unsigned i = 0; i < 16; ++i) {
    const Case c = sized_case(1 + random.below(40), i % 8, i / 8 ? Shape::kTall : Shape::kWide, random);
    const Buffer whole = stage.encode(c, ElementType::kInt16, Order::kTile, true);
    for (const std::string& isa : isa_names()) {
      const OnIsa on(isa);
      for (size_t n = 0; n < whole.size(); ++n) {
        const auto error =
            stage.decode(c, std::span(whole).first(n), ElementType::kInt16, Order::kToken, true);
        CHECK(error && error->kind == ErrorKind::kTruncated);
      }
      for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
        Buffer flipped = whole;
        flipped[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
        CHECK(stage.decode(c, flipped, ElementType::kInt16, Order::kTile, bit % 2 == 0).has_value());
      }
    }
  }
}

// Each record ends, or begins, at a guard of its own.
TEST_CASE("records decoded side by side stay between the guard pages, damaged ones among them") {
  Random random(46);
  constexpr unsigned kRecords = 40;
  std::vector<std::unique_ptr<Guarded>> places;
  while (places.size() < kRecords) places.push_back(std::make_unique<Guarded>(4096));
  Guarded values_memory(1 << 16), tokens_memory(4096);
  unsigned n_refused = 0;
  for (unsigned i = 0; i < 60; ++i) {
    Case c = random_case(random, 12, 1);
    if (c.plane().n_frequencies() > 25) continue;
    c.n_tiles = kRecords;
    c.symbols.assign(size_t{kRecords} * c.plane().channels * c.plane().n_frequencies(), 0);
    c.tile_mask.assign(kRecords, 0);
    c.token_mask.assign(size_t{kRecords} * c.plane().n_frequencies(), 0);
    c.derived = c.token_mask;
    RecordHeader h = RecordHeader::unpack(c.header);
    h.log2_lanes = 0;
    fill_symbols(
        c, h.layer,
        *c.tables.layer_index(c.plane(), h.layer, static_cast<int>(c.ladder_index) + h.ladder_offset),
        random);
    const bool end = !random.chance(4);
    std::vector<std::span<const uint8_t>> records;
    for (unsigned tile = 0; tile < kRecords; ++tile) {
      h.first_tile = static_cast<uint16_t>(tile);
      Buffer record;
      RecordEncoder encoder(c.context(), c.source());
      CHECK(!encoder.encode(h.pack() & 0xFFFFFFFFFFu, record));
      if (random.chance(6)) {
        const size_t at = kRecordHeaderBytes + random.below(static_cast<uint32_t>(record.size() - 12));
        if (random.chance(2))
          record.resize(std::max(at, size_t{9}) + kRecordCrcBytes);
        else
          record[at] = static_cast<uint8_t>(random.next());
        reseal(record);
      }
      records.push_back(places[tile]->copy(end, record));
    }
    for (const ElementType type : kElementTypes) {
      std::vector<std::string> first_said;
      Buffer first_values;
      for (const std::string& isa : isa_names()) {
        const OnIsa on(isa);
        const auto values = values_memory.at(end, c.symbols.size() * element_bytes(type));
        std::fill(values.begin(), values.end(), AnyTarget::kFill);
        const auto tokens = tokens_memory.at(end, c.token_mask.size());
        std::fill(tokens.begin(), tokens.end(), uint8_t{7});
        std::vector<uint16_t> layers(kRecords, 0);
        RecordDecoder decoder(c.context(), {values.data(), type, kOrders[i % 2], tokens, layers});
        std::vector<MaybeError> outcomes(kRecords);
        decoder.decode(records, outcomes);
        std::vector<std::string> said;
        for (const auto& outcome : outcomes) said.push_back(refusal(outcome));
        if (first_said.empty()) {
          first_said = said;
          first_values.assign(values.begin(), values.end());
          for (const auto& outcome : outcomes) n_refused += outcome.has_value();
        }
        CHECK(said == first_said);
        CHECK(Buffer(values.begin(), values.end()) == first_values);
      }
    }
  }
  CHECK(n_refused > 200);
}

TEST_CASE("checksums, the scan and the table parser stay between the guard pages") {
  Random random(44);
  Guarded memory(8192);
  for (unsigned n = 0; n <= 300; ++n) {
    Buffer bytes(n);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.next());
    if (n >= 13 && n % 2) reseal(bytes);
    uint32_t expected = 0xFFFFFFFF;  // bit by bit, from the polynomial
    for (const uint8_t byte : bytes) {
      expected ^= byte;
      for (unsigned bit = 0; bit < 8; ++bit) expected = expected >> 1 ^ (expected & 1 ? 0x82F63B78u : 0);
    }
    for (const bool end : {false, true}) {
      const auto place = memory.copy(end, bytes);
      for (const std::string& isa : isa_names()) {
        const OnIsa on(isa);
        CHECK_EQUAL(crc32c(place), ~expected);
      }
      if (n >= 13 && n % 2) CHECK_EQUAL(scan_records(place).size(), size_t{(bytes[0] & 7) != 0});
      CHECK(!TableSet::parse(place).ok());
    }
  }
  const Buffer file = table_file({random_table(random), random_table(random)}, {random_plane(random, 3)});
  for (size_t n = 0; n <= file.size(); ++n) {
    CHECK_EQUAL(TableSet::parse(memory.copy(true, std::span(file).first(n))).ok(), n == file.size());
  }
}

TEST_CASE("the erasure code stays between the guard pages for symbols of 0 to 300 bytes") {
  Random random(45);
  Guarded source(8192), repair(8192), received(8192), out(8192);
  constexpr unsigned kSource = 5, kRepair = 3;
  const std::vector<int64_t> indices = {7, 1, 5, 3, 6};
  for (size_t size = 0; size <= 300; ++size) {
    const bool end = size % 4 != 0;
    Buffer block(kSource * size);
    for (uint8_t& byte : block) byte = static_cast<uint8_t>(random.next());
    Buffer first_repair;
    for (const std::string& isa : isa_names()) {
      const OnIsa on(isa);
      const auto made = repair.at(end, kRepair * size);
      CHECK(!rs_encode(source.copy(end, block), kSource, kRepair, size, made));
      if (first_repair.empty()) first_repair.assign(made.begin(), made.end());
      CHECK(Buffer(made.begin(), made.end()) == first_repair);
      Buffer arrived;
      for (const int64_t index : indices) {
        const auto at = static_cast<size_t>(index < kSource ? index : index - kSource) * size;
        const auto* const from = (index < kSource ? block : first_repair).data() + at;
        arrived.insert(arrived.end(), from, from + size);
      }
      const auto back = out.at(end, kSource * size);
      CHECK(!rs_decode(received.copy(end, arrived), indices, kSource, size, back));
      CHECK(Buffer(back.begin(), back.end()) == block);
    }
  }
}

}  // namespace
}  // namespace swathpack::test
