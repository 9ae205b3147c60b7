#include "campaign.h"

#include <time.h>

#include "allocations.h"
#include "mutate.h"
#include "swathpack/scan.h"

namespace swathpack::fuzz {
namespace {

using test::AnyTarget;
using test::Case;

constexpr size_t kMostRecordBytes = 2000;
constexpr unsigned kRandomSubjects = 300, kRealSubjects = 40, kConvoys = 60, kMostBroken = 20;

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Buffer encoded(const Case& c) {
  Buffer record;
  RecordEncoder encoder(c.context(), c.source());
  if (encoder.encode(c.header, record)) record.clear();
  return record;
}

// The slow half of `record`'s masks: what an encoder is told to write it again.
void masks_of(const Case& c, const Buffer& record, const Buffer& decoded_tokens, Buffer& tile_mask,
              Buffer& token_mask) {
  uint64_t packed = 0;
  std::memcpy(&packed, record.data(), 8);
  const RecordHeader h = RecordHeader::unpack(packed);
  std::fill(tile_mask.begin(), tile_mask.end(), uint8_t{0});
  std::fill(token_mask.begin(), token_mask.end(), uint8_t{0});
  const size_t n_tokens = c.plane().n_frequencies();
  for (uint32_t t = 0; t < h.tile_count(); ++t) {
    if (!h.is_compact() && record[8] & 1) tile_mask[h.first_tile + t] = record[9 + t / 8] >> t % 8 & 1;
  }
  if (h.layer != 0) return;
  const auto first = static_cast<ptrdiff_t>(h.first_tile * n_tokens);
  std::copy_n(decoded_tokens.begin() + first, h.tile_count() * n_tokens, token_mask.begin() + first);
}

// The same in the other of the two kinds (§5.1): as a rule what no encoder would write.
void say_otherwise(Buffer& record) {
  uint64_t packed = 0;
  std::memcpy(&packed, record.data(), 8);
  RecordHeader h = RecordHeader::unpack(packed);
  const auto form = record.begin() + kRecordHeaderBytes;
  if (h.is_compact()) {
    h.kind = static_cast<uint8_t>(RecordKind::kCoefficients);
    record.insert(form, static_cast<uint8_t>(h.state_form << 2));
  } else if (h.is_coefficients() && record.size() > kRecordHeaderBytes + 1 + kRecordCrcBytes) {
    h.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
    h.state_form = *form >> 2 & 7;
    record.erase(form);
  }
  const uint64_t said = h.pack();
  for (unsigned at = 0; at < 5; ++at) record[at] = static_cast<uint8_t>(said >> (8 * at));
}

uint64_t hash_of(const std::string& text) {
  uint64_t h = 0xCBF29CE484222325u;
  for (const char c : text) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001B3u;
  return h;
}

}  // namespace

// A case with its intact record, decoders that have seen many damaged ones before, and an encoder for what
// they make of them.
struct Campaign::Subject {
  Subject(Case given, Buffer r, Buffer file, ElementType type, Order order)
      : c(std::move(given)),
        record(std::move(r)),
        table_file(std::move(file)),
        symbols(c, ElementType::kInt16, Order::kTile),
        other(c, type, order),
        tile_mask(c.tile_mask.size()),
        token_mask(c.token_mask.size()),
        symbol_decoder(c.context(), symbols.target()),
        other_decoder(c.context(), other.target()),
        encoder(c.context(),
                {symbols.values.data(), ElementType::kInt16, Order::kTile, tile_mask, token_mask}) {}

  Case c;
  Buffer record, table_file;
  AnyTarget symbols, other;
  Buffer tile_mask, token_mask;
  RecordDecoder symbol_decoder, other_decoder;
  RecordEncoder encoder;
};

// Records of equal shape in a row, and what they say.
struct Campaign::Convoy {
  Convoy(Case given, std::vector<Buffer> r)
      : c(std::move(given)),
        records(std::move(r)),
        intact(c, ElementType::kInt16, Order::kTile),
        expected(intact),
        found(intact),
        expected_decoder(c.context(), expected.target()),
        found_decoder(c.context(), found.target()) {
    RecordDecoder decoder(c.context(), intact.target());
    for (const Buffer& record : records) test::n_failures() += decoder.decode(record).has_value();
  }

  Case c;
  std::vector<Buffer> records;
  AnyTarget intact, expected, found;
  RecordDecoder expected_decoder, found_decoder;
};

Campaign::Campaign(Mode mode, uint64_t seed, const std::vector<Buffer>& table_files)
    : mode_(mode), seed_(seed), isas_(isa_names()) {
  Random random(seed);
  while (subjects_.size() < kRandomSubjects) {
    Buffer file;
    Case c = test::random_case(random, 40, 6, &file);
    const Buffer record = encoded(c);
    if (!record.empty() && record.size() <= kMostRecordBytes) add(std::move(c), record, file);
  }
  for (const Buffer& file : table_files) {
    for (unsigned i = 0; i < kRealSubjects; ++i) add_real(file, i % 2 == 0, random);
    for (unsigned i = 0; i < 2; ++i) add_convoy(real_case(file, 12, 0, random));
  }
  while (convoys_.size() < kConvoys) {
    Case c = test::random_case(random, 20, 70);
    if (c.n_tiles < 8) continue;
    if (random.chance(2)) {  // tiles that are masked alike
      for (Buffer* const mask : {&c.tile_mask, &c.token_mask, &c.derived})
        std::fill(mask->begin(), mask->end(), uint8_t{0});
    }
    add_convoy(std::move(c));
  }
  add_vast();
}
Campaign::~Campaign() = default;

void Campaign::add(Case c, const Buffer& record, const Buffer& table_file) {
  const size_t i = subjects_.size();
  subjects_.push_back(std::make_unique<Subject>(std::move(c), record, table_file, test::kElementTypes[i % 4],
                                                test::kOrders[i / 4 % 2]));
}

// Symbols as the tables of a model package expect them, in as many tiles as make a small record.
Case Campaign::real_case(const Buffer& table_file, uint32_t n_tiles, unsigned log2_lanes, Random& random) {
  Case c;
  c.tables = TableSet::parse(table_file).take();
  c.n_tiles = n_tiles;
  const Plane& plane = c.plane();
  c.symbols.assign(size_t{n_tiles} * plane.channels * plane.n_frequencies(), 0);
  for (;;) {
    test::fill_masks(c, random);
    RecordHeader h;
    h.layer = static_cast<uint8_t>(random.below(plane.n_layers));
    h.log2_lanes = static_cast<uint8_t>(log2_lanes);
    h.tile_count_code = static_cast<uint8_t>(n_tiles - 1);
    c.ladder_index = random.below(static_cast<uint32_t>(c.tables.ladder().size()));
    const auto e = c.tables.layer_index(plane, h.layer, static_cast<int>(c.ladder_index));
    if (!e) continue;
    c.header = h.pack() & 0xFFFFFFFFFFu;
    for (size_t i = 0; i < c.symbols.size(); ++i) {
      c.symbols[i] = 0;
      const size_t f = i % plane.n_frequencies(), channel = i / plane.n_frequencies() % plane.channels;
      const size_t cell = size_t{plane.band_of_frequency[f]} * plane.channels + channel;
      if (plane.layer_map[cell] != h.layer) continue;
      const Table& table = c.tables.tables()[c.tables.level(plane.class_map[cell], *e)];
      if (table.n_thresholds == 0) continue;
      unsigned k = table.find(random.below(65536));
      while (k >= table.n_thresholds && random.chance(2)) ++k;
      const int magnitude =
          k == 0 ? 0 : static_cast<int>(table.largest_of(k) - random.below(1u << table.low_bits));
      c.symbols[i] = static_cast<int16_t>(random.chance(2) ? -magnitude : magnitude);
    }
    const size_t n = encoded(c).size();
    if (n >= 30 && n <= kMostRecordBytes * (n_tiles > 4 ? 5 : 1)) return c;
  }
}

// A link record of one lane, or an archive record of several.
void Campaign::add_real(const Buffer& table_file, bool one_lane, Random& random) {
  Case c = real_case(table_file, 1 + random.below(2), one_lane ? 0 : 1 + random.below(7), random);
  const Buffer record = encoded(c);
  add(std::move(c), record, table_file);
}

// A record for each tile: what instruction sets may decode side by side, one-lane records most of all.
void Campaign::add_convoy(Case c) {
  RecordHeader h = RecordHeader::unpack(c.header);
  const auto lanes = static_cast<uint8_t>(convoys_.size() % 3 == 0 ? 1 + convoys_.size() % 7 : 0);
  std::vector<Buffer> records;
  for (uint32_t tile = 0; tile < c.n_tiles; ++tile) {
    h.first_tile = static_cast<uint16_t>(tile);
    h.tile_count_code = 0;
    h.log2_lanes = lanes;
    RecordEncoder encoder(c.context(), c.source());
    if (encoder.encode(h.pack() & 0xFFFFFFFFFFu, records.emplace_back())) return;
  }
  convoys_.push_back(std::make_unique<Convoy>(std::move(c), std::move(records)));
}

// A few bytes that speak for as many tiles as a record can name.
void Campaign::add_vast() {
  test::PlaneSpec p;
  p.channels = 3;
  p.layer_shift = {0};
  p.band_of_frequency = {0};
  p.layer_map = p.class_map = {0, 0, 0};
  const Buffer file = test::table_file({{1}}, {p});
  Case c;
  c.tables = TableSet::parse(file).take();
  c.n_tiles = 32768;
  c.symbols.assign(size_t{c.n_tiles} * 3, 0);
  c.tile_mask.assign(c.n_tiles, 0);
  c.token_mask.assign(c.n_tiles, 0);
  c.derived.assign(c.n_tiles, 0);
  RecordHeader h;
  h.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
  h.state_form = 7;
  h.tile_count_code = 255;
  Buffer record;
  test::put(record, h.pack(), 8);
  test::put(record, 0xFF123456u, 4);
  record.resize(record.size() + kRecordCrcBytes);
  test::reseal(record);
  add(std::move(c), record, file);
}

void Campaign::note(const std::string& said) { totals_.digest += Random(hash_of(said) ^ index_).next(); }

void Campaign::broken(const std::string& what) {
  if (++totals_.broken <= kMostBroken) {
    std::fprintf(stderr, "broken at mutation %llu of seed %llu: %s\n",
                 static_cast<unsigned long long>(index_), static_cast<unsigned long long>(seed_),
                 what.c_str());
  }
}

void Campaign::run(uint64_t index) {
  index_ = index;
  ++totals_.mutations;
  Random random(seed_ + Random(index).next());
  const std::string& isa = isas_[index % isas_.size()];
  if (isa != isa_name() && set_isa(isa)) broken("an instruction set is refused");
  if (mode_ == Mode::kKept) {
    random.chance(8) ? run_stream(random) : run_kept(random);
  } else {
    switch (random.below(64)) {
      case 0:
        return run_table_file(random);
      case 1:
      case 2:
        return run_convoy(random);
      default:
        return run_recomputed(random);
    }
  }
}

MaybeError Campaign::decode(Subject& s, const Buffer& record, bool as_other) {
  const Buffer exact(record);  // no byte of slack behind it
  const double start = processor_seconds();
  auto error = (as_other ? s.other_decoder : s.symbol_decoder).decode(exact);
  totals_.slowest_s = std::max(totals_.slowest_s, processor_seconds() - start);
  return error;
}

// --- checksums as they are ---

void Campaign::run_kept(Random& random) {
  Subject& s = *subjects_[random.below(static_cast<uint32_t>(subjects_.size()))];
  const Subject& donor = *subjects_[random.below(static_cast<uint32_t>(subjects_.size()))];
  Buffer record = s.record;
  do damage(record, 0, 0, donor.record, random);
  while (random.chance(3));
  const auto error = decode(s, record, false);
  note(test::refusal(error));
  if (error) {
    ++totals_.refused;
    // A checksum fails before anything is written.
    if (random.chance(8) && s.symbols != AnyTarget(s.c, ElementType::kInt16, Order::kTile)) {
      broken("a record with a wrong checksum has left something behind");
    }
    return;
  }
  if (record == s.record || record == donor.record) {
    ++totals_.undone;
  } else {
    ++totals_.decoded;
    broken("a damaged record was decoded");
  }
  s.symbols.reset(s.c);
}

// Several records in a row; only such as were sent may be found in what the damage leaves of them.
void Campaign::run_stream(Random& random) {
  std::vector<const Buffer*> sent;
  Buffer stream;
  for (unsigned n = 2 + random.below(4); n > 0; --n) {
    const Buffer& record = subjects_[random.below(static_cast<uint32_t>(subjects_.size()))]->record;
    sent.push_back(&record);
    stream.insert(stream.end(), record.begin(), record.end());
    stream.insert(stream.end(), random.below(3), uint8_t{0});
  }
  const Buffer whole = stream;
  const Buffer& donor = subjects_[random.below(static_cast<uint32_t>(subjects_.size()))]->record;
  do damage(stream, 0, 0, donor, random);
  while (random.chance(3));
  const auto found = scan_records(stream);
  note(std::to_string(found.size()));
  for (const FoundRecord& f : found) {
    const auto at = stream.begin() + static_cast<ptrdiff_t>(f.offset);
    const Buffer record(at, at + static_cast<ptrdiff_t>(RecordHeader::unpack(f.header).record_bytes()));
    if (record == donor ||
        std::any_of(sent.begin(), sent.end(), [&](const Buffer* r) { return *r == record; }))
      continue;
    ++totals_.decoded;
    broken("the scan found a record that was not sent");
  }
  ++(stream == whole ? totals_.undone : totals_.refused);
}

// --- checksums made right again ---

Buffer Campaign::damaged_record(const Subject& s, Random& random) {
  const Subject& donor = *subjects_[random.below(static_cast<uint32_t>(subjects_.size()))];
  Buffer record = s.record;
  if (random.chance(16)) {  // a payload out of nothing, under a form that may be right
    record.resize(kRecordHeaderBytes + 1);
    if (random.chance(3)) record.back() = static_cast<uint8_t>(random.next());
    for (unsigned n = 1 + random.below(random.chance(4) ? 600 : 30); n > 0; --n) {
      record.push_back(static_cast<uint8_t>(random.chance(4) ? 0 : random.next()));
    }
    record.resize(record.size() + kRecordCrcBytes);
  } else if (!random.chance(6)) {
    do damage(record, kRecordHeaderBytes, kRecordCrcBytes, donor.record, random);
    while (random.chance(3));
  }
  if (random.chance(12)) say_otherwise(record);
  if (random.chance(5)) {  // one field of the header
    static constexpr struct {
      unsigned first_bit, n_bits;
    } kFields[] = {{0, 3}, {3, 3}, {6, 4}, {10, 3}, {10, 3}, {10, 3}, {13, 3}, {16, 16}, {32, 8}};
    const auto field = kFields[random.below(9)];
    uint64_t packed = 0;
    std::memcpy(&packed, record.data(), 8);
    packed &= ~(((uint64_t{1} << field.n_bits) - 1) << field.first_bit);
    // Small numbers as a rule, since large ones end at the first check.
    const uint32_t value = random.chance(2) ? random.below(4) : random.below(1u << field.n_bits);
    packed |= uint64_t{value & ((1u << field.n_bits) - 1)} << field.first_bit;
    for (unsigned at = 0; at < 5; ++at) record[at] = static_cast<uint8_t>(packed >> (8 * at));
  }
  if (record.size() > 12 + kMaxPayloadBytes) record.resize(12 + kMaxPayloadBytes);
  test::reseal(record);
  return record;
}

void Campaign::run_recomputed(Random& random) {
  // The vast one costs a thousand times the others.
  Subject& s = random.chance(1000) ? *subjects_.back()
                                   : *subjects_[random.below(static_cast<uint32_t>(subjects_.size() - 1))];
  const Buffer record = damaged_record(s, random);
  const bool has_come = random.chance(8);  // the layer, by an earlier record
  const std::vector<uint16_t> before(s.c.n_tiles, has_come ? uint16_t{0xFFFF} : uint16_t{0});
  s.symbols.layers = before;

  const auto error = decode(s, record, false);
  note(test::refusal(error));
  if (error) {
    ++totals_.refused;
    if (error->kind == ErrorKind::kTruncated) broken("a whole record is called truncated");
    if (!is_left_alone(s.c, record, s.symbols, before)) broken("a refused record has left a trace");
  } else {
    ++totals_.decoded;
    masks_of(s.c, record, s.symbols.token_mask, s.tile_mask, s.token_mask);
    uint64_t packed = 0;
    std::memcpy(&packed, record.data(), 8);
    Buffer again;
    if (const auto refused = s.encoder.encode(asked_header(packed), again)) {
      broken("what was decoded cannot be encoded: " + refused->what);
    } else if (again != record) {
      broken("a decoded record is not canonical");
    }
  }

  if (random.chance(16)) {  // what the other instruction sets make of it
    for (const std::string& name : isas_) {
      const test::OnIsa on(name);
      AnyTarget target(s.c, ElementType::kInt16, Order::kTile);
      target.layers = before;
      const test::PeakMemory memory;
      RecordDecoder decoder(s.c.context(), target.target());
      const auto other = decoder.decode(record);
      totals_.peak_bytes = std::max(totals_.peak_bytes, memory.bytes());
      if (test::refusal(other) != test::refusal(error)) {
        broken(name + " says '" + test::refusal(other) + "', " + isa_name() + " '" + test::refusal(error) +
               "'");
      } else if (target != s.symbols) {
        broken(name + " leaves other arrays than " + isas_[index_ % isas_.size()]);
      }
    }
  }
  s.symbols.reset(s.c);

  if (!random.chance(2)) return;
  s.other.layers = before;
  const auto other = decode(s, record, true);
  note(test::refusal(other));
  if (other && !is_left_alone(s.c, record, s.other, before)) broken("a refused record has left a trace");
  // Other types have the same verdict, but that a number may be too large for them.
  if (other.has_value() != error.has_value() && !(other && other->kind == ErrorKind::kBadInput)) {
    broken("another array gets another verdict");
  }
  s.other.reset(s.c);
}

// One of many records decoded side by side is damaged: it gets the verdict that it gets alone, and its
// neighbours do not notice.
void Campaign::run_convoy(Random& random) {
  Convoy& v = *convoys_[random.below(static_cast<uint32_t>(convoys_.size()))];
  const auto n = static_cast<uint32_t>(v.records.size());
  const uint32_t tile = random.below(n);
  Buffer damaged = v.records[tile];
  const Buffer& donor = v.records[random.below(n)];
  do damage(damaged, kRecordHeaderBytes, kRecordCrcBytes, donor, random);
  while (random.chance(3));
  test::reseal(damaged);

  const size_t per_tile = v.intact.values.size() / n, n_tokens = v.c.plane().n_frequencies();
  v.expected = v.intact;  // of the same sizes, so that the decoder's spans stay where they are
  std::fill_n(v.expected.values.begin() + static_cast<ptrdiff_t>(tile * per_tile), per_tile,
              AnyTarget::kFill);
  std::fill_n(v.expected.token_mask.begin() + static_cast<ptrdiff_t>(tile * n_tokens), n_tokens, uint8_t{7});
  v.expected.layers[tile] = 0;
  const Buffer exact(damaged);
  const auto alone = v.expected_decoder.decode(exact);

  std::vector<std::span<const uint8_t>> records(v.records.begin(), v.records.end());
  records[tile] = exact;
  std::vector<MaybeError> outcomes(n);
  const double start = processor_seconds();
  v.found_decoder.decode(records, outcomes);
  totals_.slowest_s = std::max(totals_.slowest_s, (processor_seconds() - start) / n);
  note(test::refusal(outcomes[tile]));
  ++(outcomes[tile] ? totals_.refused : totals_.decoded);
  for (uint32_t i = 0; i < n; ++i) {
    if (test::refusal(outcomes[i]) != (i == tile ? test::refusal(alone) : std::string())) {
      broken("among others a record says '" + test::refusal(outcomes[i]) + "'");
    }
  }
  if (v.found != v.expected) broken("among others a record leaves other arrays");
  v.found.reset(v.c);
}

// A damaged table file is refused, or codes: an intact record of the sound one then is as good as any bytes.
void Campaign::run_table_file(Random& random) {
  const Subject& s = *subjects_[random.below(static_cast<uint32_t>(subjects_.size()))];
  Buffer file = s.table_file;
  const size_t first = random.chance(2) ? 12 : 4;
  do damage(file, first, 4, s.record, random);
  while (random.chance(3));
  if (file.size() < 16) file.resize(16);
  for (unsigned i = 0; i < 4; ++i) file[8 + i] = static_cast<uint8_t>(file.size() >> (8 * i));
  const uint32_t crc = crc32c(std::span(file).first(file.size() - 4));
  for (unsigned i = 0; i < 4; ++i) file[file.size() - 4 + i] = static_cast<uint8_t>(crc >> (8 * i));
  const Buffer exact(file);
  const double start = processor_seconds();
  auto parsed = TableSet::parse(exact);
  totals_.slowest_s = std::max(totals_.slowest_s, processor_seconds() - start);
  note(parsed.ok() ? "" : parsed.error().what);
  if (!parsed.ok()) {
    ++totals_.refused;
    return;
  }
  ++totals_.tables_taken;
  ++totals_.decoded;
  Case c;
  c.tables = parsed.take();
  const Plane &before = s.c.plane(), &after = c.plane();
  if (after.channels * after.n_frequencies() > 4 * before.channels * before.n_frequencies()) return;
  c.ladder_index = s.c.ladder_index;
  c.n_tiles = s.c.n_tiles;
  c.symbols.assign(size_t{c.n_tiles} * after.channels * after.n_frequencies(), 0);
  c.tile_mask.assign(c.n_tiles, 0);
  c.token_mask.assign(size_t{c.n_tiles} * after.n_frequencies(), 0);
  c.derived = c.token_mask;
  AnyTarget target(c, ElementType::kInt16, Order::kTile);
  RecordDecoder decoder(c.context(), target.target());
  const auto error = decoder.decode(s.record);
  note(test::refusal(error));
  if (error) {
    if (!is_left_alone(c, s.record, target, std::vector<uint16_t>(c.n_tiles, 0)))
      broken("a record refused under other tables has left a trace");
    return;
  }
  masks_of(c, s.record, target.token_mask, c.tile_mask, c.token_mask);
  uint64_t packed = 0;
  std::memcpy(&packed, s.record.data(), 8);
  RecordEncoder encoder(c.context(),
                        {target.values.data(), ElementType::kInt16, Order::kTile, c.tile_mask, c.token_mask});
  Buffer again;
  if (encoder.encode(asked_header(packed), again) || again != s.record) {
    broken("a record decoded under other tables is not canonical");
  }
}

}  // namespace swathpack::fuzz
