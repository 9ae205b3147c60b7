// Records: round trips, canonical form, and damaged bytes in buffers that end where they say.
#include "cases.h"

namespace swathpack::test {
namespace {

Buffer encode(const Case& c) {
  Buffer record;
  RecordEncoder encoder(c.context(), c.source());
  if (const auto error = encoder.encode(c.header, record)) fail(__FILE__, __LINE__, error->what);
  return record;
}

bool in_record(const Case& c, uint32_t tile) {
  const RecordHeader h = RecordHeader::unpack(c.header);
  return tile >= h.first_tile && tile < h.first_tile + h.tile_count();
}

void check_decoded(const Case& c, const Decoded& decoded) {
  const Plane& plane = c.plane();
  const RecordHeader h = RecordHeader::unpack(c.header);
  const unsigned n_frequencies = plane.n_frequencies();
  for (uint32_t tile = 0; tile < c.n_tiles; ++tile) {
    for (unsigned ch = 0; ch < plane.channels; ++ch) {
      for (unsigned f = 0; f < n_frequencies; ++f) {
        const size_t i = (size_t{tile} * plane.channels + ch) * n_frequencies + f;
        const bool written =
            in_record(c, tile) &&
            plane.layer_map[size_t{plane.band_of_frequency[f]} * plane.channels + ch] == h.layer;
        CHECK_EQUAL(decoded.symbols[i], written ? c.symbols[i] : int16_t{77});
      }
    }
    CHECK_EQUAL(decoded.layers[tile], static_cast<uint16_t>(in_record(c, tile) ? 1u << h.layer : 0u));
    for (unsigned t = 0; t < n_frequencies; ++t) {
      const size_t i = size_t{tile} * n_frequencies + t;
      const uint8_t expected =
          !in_record(c, tile) || h.layer != 0 ? 7 : c.token_mask[i] || c.derived[i] || c.tile_mask[tile];
      CHECK_EQUAL(decoded.token_mask[i], expected);
    }
  }
}

// What a refused record may leave behind: zeros in its layer and tiles, where that layer had not come before.
void check_left_alone(const Case& c, const Decoded& decoded, const Buffer& record, const Decoded& before) {
  const Plane& plane = c.plane();
  uint64_t packed = 0;
  std::memcpy(&packed, record.data(), 8);
  const RecordHeader h = RecordHeader::unpack(packed);
  const unsigned n_frequencies = plane.n_frequencies();
  for (size_t i = 0; i < decoded.symbols.size(); ++i) {
    if (decoded.symbols[i] == before.symbols[i]) continue;
    const size_t tile = i / n_frequencies / plane.channels, channel = i / n_frequencies % plane.channels;
    const unsigned band = plane.band_of_frequency[i % n_frequencies];
    CHECK(decoded.symbols[i] == 0 && plane.layer_map[band * plane.channels + channel] == h.layer);
    CHECK(tile >= h.first_tile && tile < h.first_tile + h.tile_count());
    CHECK((before.layers[tile] >> h.layer & 1) == 0);
  }
  CHECK(decoded.token_mask == before.token_mask && decoded.layers == before.layers);
}

TEST_CASE("a record decodes to what was encoded and encodes again to the same bytes") {
  Random random(1);
  for (int i = 0; i < 600; ++i) {
    const Case c = random_case(random, i % 10 == 0 ? 300 : 9);
    const Buffer record = encode(c);
    Decoded decoded(c);
    const auto error = decode_exactly(c, record, decoded);
    if (error) fail(__FILE__, __LINE__, "case " + std::to_string(i) + ": " + error->what);
    check_decoded(c, decoded);
    CHECK(encode_again(c, record, decoded) == record);
  }
}

TEST_CASE("int8 symbols give the bytes of int16 symbols and come back") {
  Random random(2);
  for (int i = 0; i < 200; ++i) {
    Case c = random_case(random);
    std::vector<int8_t> narrow;
    for (int16_t& s : c.symbols) narrow.push_back(static_cast<int8_t>(s = std::clamp<int16_t>(s, -128, 127)));
    const Buffer record = encode(c);
    Buffer other;
    RecordEncoder encoder(c.context(),
                          {narrow.data(), ElementType::kInt8, Order::kTile, c.tile_mask, c.token_mask});
    CHECK(!encoder.encode(c.header, other));
    CHECK(other == record);
    Decoded decoded(c);
    std::vector<int8_t> out(c.symbols.size());
    DecodeTarget target = decoded.target();
    target.symbols = out.data();
    target.type = ElementType::kInt8;
    RecordDecoder decoder(c.context(), target);
    CHECK(!decoder.decode(record));
    for (size_t s = 0; s < out.size(); ++s) CHECK(out[s] == 0 || out[s] == narrow[s]);
  }
}

TEST_CASE("every truncation and every bit flip of a record is refused and writes nothing") {
  Random random(3);
  for (int i = 0; i < 60; ++i) {
    const Case c = random_case(random, 5, 4);
    const Buffer record = encode(c);
    if (record.size() > 200) continue;
    const Decoded untouched(c);
    Decoded decoded(c);
    for (size_t n = 0; n < record.size(); ++n) {
      const auto error =
          decode_exactly(c, Buffer(record.begin(), record.begin() + static_cast<ptrdiff_t>(n)), decoded);
      CHECK(error && error->kind == ErrorKind::kTruncated);
    }
    for (size_t bit = 0; bit < 8 * record.size(); ++bit) {
      Buffer flipped = record;
      flipped[bit / 8] = static_cast<uint8_t>(flipped[bit / 8] ^ 1u << bit % 8);
      CHECK(decode_exactly(c, flipped, decoded).has_value());
    }
    CHECK(decoded.symbols == untouched.symbols && decoded.token_mask == untouched.token_mask);
    CHECK(decoded.layers == untouched.layers);
  }
}

// With the checksums made right again, a changed payload is either refused or is itself canonical.
TEST_CASE("a resealed mutation is refused without a trace or decodes to what encodes to it") {
  Random random(4);
  unsigned n_refused = 0, n_decoded = 0;
  for (int i = 0; i < 4000; ++i) {
    const Case c = random_case(random, 5, 4);
    Buffer record = encode(c);
    for (unsigned n = 1 + random.below(3); n > 0; --n) {
      const size_t at = kRecordHeaderBytes + random.below(static_cast<uint32_t>(record.size() - 12));
      switch (random.below(4)) {
        case 0:
          record[at] = static_cast<uint8_t>(record[at] ^ 1u << random.below(8));
          break;
        case 1:
          record[at] = static_cast<uint8_t>(random.next());
          break;
        case 2:
          if (record.size() > 13) record.erase(record.begin() + static_cast<ptrdiff_t>(at));
          break;
        default:
          record.insert(record.begin() + static_cast<ptrdiff_t>(at), static_cast<uint8_t>(random.next()));
      }
    }
    reseal(record);
    const Decoded untouched(c);
    Decoded decoded(c);
    if (decode_exactly(c, record, decoded)) {
      ++n_refused;
      check_left_alone(c, decoded, record, untouched);
      // Where the layer has come before, nothing at all may change.
      Decoded filled(c);
      std::fill(filled.layers.begin(), filled.layers.end(), uint16_t{0xFFFF});
      const Decoded before = filled;
      CHECK(decode_exactly(c, record, filled));
      CHECK(filled.symbols == before.symbols && filled.token_mask == before.token_mask &&
            filled.layers == before.layers);
    } else {
      ++n_decoded;
      CHECK(encode_again(c, record, decoded) == record);
    }
  }
  CHECK(n_refused > 1000 && n_decoded > 20);
}

// A payload cut anywhere inside, with checksums that hold: nothing may be read behind it.
TEST_CASE("every resealed prefix of a payload is refused or is canonical") {
  Random random(7);
  for (int i = 0; i < 150; ++i) {
    const Case c = random_case(random, 5, 4);
    const Buffer whole = encode(c);
    for (size_t n = 1; n < std::min<size_t>(whole.size() - 12, 700); ++n) {
      Buffer record(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(kRecordHeaderBytes + n));
      record.resize(record.size() + kRecordCrcBytes);
      reseal(record);
      Decoded decoded(c);
      if (!decode_exactly(c, record, decoded)) CHECK(encode_again(c, record, decoded) == record);
    }
  }
}

// One tile, one channel, thresholds 16384 and 49152: payloads by hand, each breaking one rule of §5.
TEST_CASE("hand-made payloads that break one rule each are corrupt") {
  PlaneSpec p;
  p.n_layers = 2;
  p.n_bands = 2;
  p.cols = 2;
  p.layer_shift = {0, 0};
  p.band_of_frequency = {0, 1};
  p.layer_map = {0, 1};
  p.class_map = {0, 0};
  auto parsed = TableSet::parse(table_file({{16384, 49152}}, {p}));
  CHECK(parsed.ok());
  Case c;
  c.tables = parsed.take();
  c.n_tiles = 2;
  c.symbols.assign(4, 0);
  c.tile_mask = {0, 0};
  c.token_mask.assign(4, 0);
  c.derived.assign(4, 0);
  // The symbol is 0 when the state's low 16 bits are below 16384, and then x becomes 16384 · (x >> 16) + low;
  // from there to 49151 it is ±1, and x becomes 32768 · (x >> 16) + low − 16384.
  constexpr int kOne = -8;  // plus bits 2–4 of the form: a compact record
  const struct {
    const char* why;
    unsigned layer;
    int log2_lanes;
    Buffer payload;
    bool legal;
  } kRows[] = {
      {"a zero alone", 0, kOne + 0, {0x01}, true},
      {"a zero alone in a record that is not compact", 0, 0, {0x00, 0x01}, false},
      {"reserved bits of the form", 0, 0, {0x22, 0b0101, 0x01}, false},
      {"a token mask in layer 1", 1, 0, {0x02, 0b0101, 0x01}, false},
      {"a token mask without a partly masked tile", 0, 0, {0x02, 0x00, 0x01}, false},
      {"a partly masked tile with no token masked", 0, 0, {0x02, 0b11, 0x01}, false},
      {"a partly masked tile with every token masked", 0, 0, {0x02, 0b1101, 0x01}, false},
      {"a partly masked tile", 0, 0, {0x02, 0b0101, 0x01}, true},
      {"padding of a token mask", 0, 0, {0x02, 0b11000101, 0x01}, false},
      {"a state of two bytes that needs one", 0, kOne + 1, {0x01, 0x00}, false},
      {"a state of 0", 0, kOne + 0, {0x00}, false},
      {"half a word behind the state", 0, kOne + 0, {0x01, 0x00}, false},
      {"a one alone, its sign in the state", 0, kOne + 1, {0x02, 0x40}, true},
      {"the same in a record that is not compact", 0, 0, {0x04, 0x02, 0x40}, false},
      {"a word behind a state below 65536 that ends right", 0, kOne + 1, {0x00, 0x40, 0x02, 0x00}, false},
      {"an end state that is no start state", 0, kOne + 0, {0x02}, false},
      {"the long form without need", 0, kOne + 6, {0x00, 0x00, 0x04}, false},
      {"the long form and a state of one byte", 0, kOne + 4, {0x01}, false},
      {"the long form and a state of two bytes", 0, kOne + 5, {0x02, 0x40}, false},
      {"a payload that ends in the state", 0, kOne + 1, {0x01}, false},
      {"several lanes in short form", 0, 1, {0x0c, 0, 0, 4, 0, 0, 0, 1, 0}, false},
      {"an idle lane that is not 65536", 0, 1, {0x1c, 0, 0, 4, 0, 1, 0, 1, 0}, false},
      {"two lanes, a zero", 0, 1, {0x1c, 0, 0, 4, 0, 0, 0, 1, 0}, true},
      {"a lane below 65536 and the word that mends it", 0, 1, {0x1c, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0}, false},
      {"a byte left over", 0, 1, {0x1c, 0, 0, 4, 0, 0, 0, 1, 0, 0}, false},
  };
  for (const auto& row : kRows) {
    RecordHeader h;
    h.layer = static_cast<uint8_t>(row.layer);
    if (row.log2_lanes < 0) {
      h.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
      h.state_form = static_cast<uint8_t>(row.log2_lanes - kOne);
    } else {
      h.log2_lanes = static_cast<uint8_t>(row.log2_lanes);
    }
    Buffer record;
    put(record, h.pack(), 8);
    record.insert(record.end(), row.payload.begin(), row.payload.end());
    record.resize(record.size() + kRecordCrcBytes);
    reseal(record);
    Decoded decoded(c);
    const auto error = decode_exactly(c, record, decoded);
    if (error.has_value() == row.legal || (error && error->kind != ErrorKind::kCorrupt)) {
      fail(__FILE__, __LINE__, std::string(row.why) + ": " + (error ? error->what : "taken"));
    }
  }
}

TEST_CASE("a right checksum does not excuse a wrong check byte or length") {
  Random random(9);
  for (int i = 0; i < 50; ++i) {
    const Case c = random_case(random, 5, 4);
    const auto refused = [&c](Buffer record) {
      record.resize(record.size() - kRecordCrcBytes);
      put(record, crc32c(record), 4);
      Decoded decoded(c);
      const auto error = decode_exactly(c, record, decoded);
      return error && error->kind == ErrorKind::kCorrupt;
    };
    Buffer record = encode(c);
    record[7] ^= 1;
    CHECK(refused(record));
    record[7] ^= 1;
    record.insert(record.end() - 4, uint8_t{0});
    CHECK(refused(record));
  }
}

TEST_CASE("a header field beyond the file is refused before anything is read or written") {
  Random random(8);
  for (int i = 0; i < 600; ++i) {
    const Case c = random_case(random, 5, 4);
    Buffer record = encode(c);
    uint64_t packed = 0;
    std::memcpy(&packed, record.data(), 8);
    static constexpr struct {
      unsigned first_bit, n_bits;
    } kFields[] = {{0, 3}, {3, 3}, {6, 4}, {13, 3}, {16, 16}, {32, 8}};
    const auto field = kFields[random.below(6)];
    packed &= ~(((uint64_t{1} << field.n_bits) - 1) << field.first_bit);
    packed |= uint64_t{random.below(1u << field.n_bits)} << field.first_bit;
    for (unsigned at = 0; at < 5; ++at) record[at] = static_cast<uint8_t>(packed >> (8 * at));
    reseal(record);
    const RecordHeader h = RecordHeader::unpack(packed);
    Decoded decoded(c);
    const auto error = decode_exactly(c, record, decoded);
    const bool legal =
        h.is_coefficients() && h.plane == 0 && h.layer < c.plane().n_layers &&
        h.first_tile + h.tile_count() <= c.n_tiles &&
        c.tables.layer_index(c.plane(), h.layer, static_cast<int>(c.ladder_index) + h.ladder_offset);
    CHECK(error.has_value() || legal);
  }
}

// With a threshold of 1 nearly every state is an escape that costs next to nothing, so that a few bytes say
// thousands of them; their signs and codes are not there.
TEST_CASE("more non-zero symbols than the payload has bits are refused within bounds") {
  PlaneSpec p;
  p.channels = 3;
  p.layer_shift = {0};
  p.band_of_frequency = {0};
  p.layer_map = p.class_map = {0, 0, 0};
  auto parsed = TableSet::parse(table_file({{1}}, {p}));
  CHECK(parsed.ok());
  Case c;
  c.tables = parsed.take();
  c.n_tiles = 32768;
  c.symbols.assign(c.n_tiles * 3, 0);
  c.tile_mask.assign(c.n_tiles, 0);
  c.token_mask.assign(c.n_tiles, 0);
  c.derived.assign(c.n_tiles, 0);
  Random random(14);
  for (unsigned log2_lanes = 0; log2_lanes < 3; ++log2_lanes) {
    bool bound_reached = false;
    for (int i = 0; i < 20; ++i) {
      RecordHeader h;
      h.tile_count_code = 255;
      h.log2_lanes = static_cast<uint8_t>(log2_lanes);
      if (log2_lanes == 0) {
        h.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
        h.state_form = 7;
      }
      Buffer record;
      put(record, h.pack(), 8);
      if (log2_lanes > 0) record.push_back(0x1c);
      for (unsigned lane = 0; lane < 1u << log2_lanes; ++lane) put(record, random.next() | 1u << 31, 4);
      record.resize(record.size() + kRecordCrcBytes);
      reseal(record);
      Decoded decoded(c);
      const auto error = decode_exactly(c, record, decoded);
      CHECK(error && error->kind == ErrorKind::kCorrupt);
      CHECK(decoded.symbols[0] == (log2_lanes == 0 ? 77 : 0));
      bound_reached |= error && error->what == "more non-zero symbols than sign bits";
    }
    CHECK(bound_reached || log2_lanes > 0);
  }
}

TEST_CASE("a record too long for its length field is refused and leaves the output alone") {
  Random random(5);
  Case c;
  PlaneSpec p;
  p.channels = 4096;
  p.rows = p.cols = 4;
  p.layer_shift = {0};
  p.band_of_frequency.assign(16, 0);
  p.layer_map.assign(4096, 0);
  p.class_map.assign(4096, 0);
  auto parsed = TableSet::parse(table_file({{1}}, {p}));
  CHECK(parsed.ok());
  c.tables = parsed.take();
  c.symbols.assign(4096 * 16, 32767);
  c.tile_mask = {0};
  c.token_mask.assign(16, 0);
  c.derived.assign(16, 0);
  for (const uint64_t log2_lanes : {0u, 6u}) {
    Buffer out = {1, 2, 3};
    RecordEncoder encoder(c.context(), c.source());
    const auto error = encoder.encode(1 | log2_lanes << 10, out);
    CHECK(error && error->kind == ErrorKind::kLimit);
    CHECK(out == Buffer({1, 2, 3}));
  }
}

TEST_CASE("tile-count codes are those of the table in the format") {
  CHECK_EQUAL(tile_count_of(0), 1u);
  CHECK_EQUAL(tile_count_of(127), 128u);
  CHECK_EQUAL(tile_count_of(128), 136u);
  CHECK_EQUAL(tile_count_of(143), 256u);
  CHECK_EQUAL(tile_count_of(144), 272u);
  CHECK_EQUAL(tile_count_of(255), 32768u);
  uint32_t next = 0;
  for (uint32_t count = 0; count <= 40000; ++count) {
    const auto code = tile_count_code(count);
    if (!code) continue;
    CHECK_EQUAL(tile_count_of(*code), count);
    CHECK_EQUAL(uint32_t{*code}, next++);
  }
  CHECK_EQUAL(next, 256u);
}

TEST_CASE("every packed header unpacks and packs to itself") {
  Random random(6);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t packed = random.next() & 0xFFFFFFFFFFFFFFu;
    CHECK_EQUAL(RecordHeader::unpack(packed).pack() & 0xFFFFFFFFFFFFFFu, packed);
  }
}

}  // namespace
}  // namespace swathpack::test
