// Many records in one call say what they say one after the other: on any number of threads, and where the
// instruction set decodes records of one lane side by side.
#include "any_array.h"
#include "plain_case.h"
#include "swathpack/batch.h"

namespace swathpack::test {
namespace {

struct Batch {
  Case c;
  std::vector<uint64_t> headers;
};

// Records of `per_record` tiles each, most of one lane, of all layers.
Batch many_records(Random& random, unsigned n_tiles, unsigned per_record) {
  Batch b{random_case(random, 1 + random.below(30), 1), {}};
  Case& c = b.c;
  c.n_tiles = n_tiles;
  c.symbols.assign(size_t{n_tiles} * c.plane().channels * c.plane().n_frequencies(), 0);
  fill_masks(c, random);
  if (random.chance(2)) {  // no masks: what goes side by side
    std::fill(c.tile_mask.begin(), c.tile_mask.end(), uint8_t{0});
    std::fill(c.token_mask.begin(), c.token_mask.end(), uint8_t{0});
    std::fill(c.derived.begin(), c.derived.end(), uint8_t{0});
  }
  for (unsigned layer = 0; layer < c.plane().n_layers; ++layer) {
    if (!c.tables.layer_index(c.plane(), layer, static_cast<int>(c.ladder_index))) continue;
    fill_symbols(c, layer, *c.tables.layer_index(c.plane(), layer, static_cast<int>(c.ladder_index)), random);
    for (unsigned first = 0; first < n_tiles; first += per_record) {
      RecordHeader h;
      h.layer = static_cast<uint8_t>(layer);
      h.first_tile = static_cast<uint16_t>(first);
      h.tile_count_code = static_cast<uint8_t>(std::min(per_record, n_tiles - first) - 1);
      h.log2_lanes = static_cast<uint8_t>(random.chance(40) ? random.below(8) : 0);
      b.headers.push_back(h.pack() & 0xFFFFFFFFFFu);
    }
  }
  return b;
}

std::vector<std::string> texts(const std::vector<MaybeError>& outcomes) {
  std::vector<std::string> all;
  for (const MaybeError& e : outcomes)
    all.push_back(e ? std::string(kind_name(e->kind)) + ": " + e->what : "");
  return all;
}

TEST_CASE("a batch decodes to what its records say one after the other") {
  Random random(41);
  const std::string before = isa_name();
  unsigned n_refused = 0, n_read = 0;
  for (int i = 0; i < 120; ++i) {
    const Batch b = many_records(random, 1 + random.below(150), 1 + random.below(3));
    const auto encoded = encode_batch(b.c.context(), b.c.source(), b.headers, 1 + random.below(3));
    CHECK(std::holds_alternative<EncodedRecords>(encoded));
    std::vector<Buffer> records;
    for (size_t r = 0; r < b.headers.size(); ++r) {
      const auto bytes = std::get<EncodedRecords>(encoded).record(r);
      records.emplace_back(bytes.begin(), bytes.end());
      if (random.chance(12)) {  // damaged, with a right checksum
        Buffer& record = records.back();
        const size_t at = kRecordHeaderBytes + random.below(static_cast<uint32_t>(record.size() - 12));
        record[at] = static_cast<uint8_t>(record[at] ^ 1u << random.below(8));
        reseal(record);
      }
      if (random.chance(60)) records.back().back() ^= 1;
    }
    if (random.chance(3)) records.push_back(records.front());  // the same tiles once more

    CHECK(!set_isa("scalar"));
    Decoded expected(b.c);
    std::vector<MaybeError> one_by_one;
    {
      RecordDecoder decoder(b.c.context(), expected.target());
      for (const Buffer& record : records) one_by_one.push_back(decoder.decode(record));
    }
    for (const auto& e : one_by_one) (e ? n_refused : n_read) += 1;
    const std::vector<std::span<const uint8_t>> spans(records.begin(), records.end());
    for (const std::string& name : isa_names()) {
      CHECK(!set_isa(name));
      for (const unsigned threads : {1u, 2u, 5u}) {
        Decoded found(b.c);
        const auto outcomes = decode_batch(b.c.context(), found.target(), spans, threads);
        CHECK(texts(outcomes) == texts(one_by_one));
        CHECK(found.token_mask == expected.token_mask && found.layers == expected.layers);
        // Where a record was refused its layer is as it was or zero: one may be the one, the other the other.
        for (size_t s = 0; s < found.symbols.size(); ++s) {
          const int f = found.symbols[s], e = expected.symbols[s];
          CHECK(f == e || ((f == 0 || f == 77) && (e == 0 || e == 77)));
        }
      }
    }
    CHECK(!set_isa(before));
  }
  CHECK(n_refused > 200 && n_read > 3000);
}

TEST_CASE("the bytes of a batch do not depend on the number of threads, and the first bad header is named") {
  Random random(42);
  for (int i = 0; i < 30; ++i) {
    Batch b = many_records(random, 1 + random.below(60), 1 + random.below(3));
    const auto one = encode_batch(b.c.context(), b.c.source(), b.headers, 1);
    const auto four = encode_batch(b.c.context(), b.c.source(), b.headers, 4);
    for (size_t r = 0; r < b.headers.size(); ++r) {
      const auto x = std::get<EncodedRecords>(one).record(r), y = std::get<EncodedRecords>(four).record(r);
      CHECK(std::equal(x.begin(), x.end(), y.begin(), y.end()));
    }
    const size_t bad = random.below(static_cast<uint32_t>(b.headers.size()));
    for (size_t r = bad; r < b.headers.size(); r += 2) b.headers[r] |= uint64_t{1} << 40;
    const auto refused = encode_batch(b.c.context(), b.c.source(), b.headers, 3);
    CHECK(std::holds_alternative<RecordError>(refused) && std::get<RecordError>(refused).record == bad);
  }
}

// Of 98 % ones, which are cheap: more than a state of four bytes has signs for, and in the end no word for
// more.
TEST_CASE("of two errors in a record side by side with others the first is the one that is said") {
  Random random(44);
  Case c = plain_case({1311}, 200, 1, 1, 32);
  std::vector<Buffer> records;
  for (uint16_t tile = 0; tile < 32; ++tile) {
    RecordHeader h;
    h.first_tile = tile;
    c.header = h.pack() & 0xFFFFFFFFFFu;
    records.push_back(bare_record(c, 0x80000000u | static_cast<uint32_t>(random.next())));
  }
  std::vector<std::string> expected;
  {
    const OnIsa on("scalar");
    Decoded one_by_one(c);
    RecordDecoder decoder(c.context(), one_by_one.target());
    for (const Buffer& record : records) expected.push_back(refusal(decoder.decode(record)));
  }
  CHECK(std::count(expected.begin(), expected.end(), "corrupt: more non-zero symbols than sign bits") > 8);
  const std::vector<std::span<const uint8_t>> spans(records.begin(), records.end());
  for (const std::string& name : isa_names()) {
    const OnIsa on(name);
    Decoded found(c);
    std::vector<std::string> said;
    for (const MaybeError& error : decode_batch(c.context(), found.target(), spans, 1))
      said.push_back(refusal(error));
    CHECK(said == expected);
  }
}

}  // namespace
}  // namespace swathpack::test
