// Every instruction set that runs here, every type and order of the arrays: the same bytes, the same values,
// the same refusals. The slow truth is the scalar back end on int16 in tile order; that one is checked
// against the format elsewhere.
#include <bit>
#include <cmath>

#include "cases.h"
#include "swathpack/isa.h"

namespace swathpack::test {
namespace {

class EachIsa {
 public:
  explicit EachIsa(const std::string& name) {
    if (const auto error = set_isa(name)) fail(__FILE__, __LINE__, error->what);
  }
  ~EachIsa() { CHECK(!set_isa(before_)); }

 private:
  std::string before_ = isa_name();
};

// A case whose lane groups are whole rows of a token-ordered array, most of them: one layer for all channels
// of a band.
Case wide_case(Random& random) {
  std::vector<TableSpec> tables;
  for (unsigned i = 1 + random.below(6); i > 0; --i) tables.push_back(random_table(random));
  PlaneSpec p = random_plane(random, 1);
  static constexpr unsigned kChannels[] = {2, 16, 31, 32, 33, 64, 65, 100, 128, 200};
  p.channels = kChannels[random.below(10)];
  p.layer_map.clear();
  p.class_map.clear();
  const bool has_gaps = random.chance(3);
  for (unsigned b = 0; b < p.n_bands; ++b) {
    const auto layer = static_cast<uint8_t>(random.below(p.n_layers));
    const auto class_index = static_cast<uint8_t>(random.below(12));
    for (unsigned c = 0; c < p.channels; ++c) {
      p.layer_map.push_back(has_gaps && random.chance(20) ? kNeverSent : layer);
      p.class_map.push_back(static_cast<uint8_t>(random.chance(5) ? random.below(12) : class_index));
    }
  }
  auto parsed = TableSet::parse(table_file(tables, {p}));
  CHECK(parsed.ok());
  Case c;
  c.tables = parsed.take();
  c.ladder_index = 4;
  c.n_tiles = 1 + random.below(random.chance(4) ? 60 : 6);
  c.symbols.assign(size_t{c.n_tiles} * c.plane().channels * c.plane().n_frequencies(), 0);
  fill_masks(c, random);
  RecordHeader h;
  h.layer = c.plane().layer_map[0] == kNeverSent ? uint8_t{0} : c.plane().layer_map[0];
  h.log2_lanes = static_cast<uint8_t>(random.below(8));
  h.tile_count_code = static_cast<uint8_t>(c.n_tiles - 1);
  c.header = h.pack() & 0xFFFFFFFFFFu;
  fill_symbols(c, h.layer, *c.tables.layer_index(c.plane(), h.layer, 4), random);
  return c;
}

template <class To>
std::vector<To> in_token_order(const Case& c, const std::vector<To>& values) {
  const size_t channels = c.plane().channels, n = c.plane().n_frequencies();
  std::vector<To> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t tile = i / n / channels, channel = i / n % channels, f = i % n;
    out[(tile * n + f) * channels + channel] = values[i];
  }
  return out;
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& values) {
  return {values.begin(), values.end()};
}

template <class Element>
MaybeError encode_as(const Case& c, const std::vector<Element>& values, ElementType type, Order order,
                     Buffer& out) {
  const std::vector<Element> arranged = order == Order::kTile ? values : in_token_order(c, values);
  RecordEncoder encoder(c.context(), {arranged.data(), type, order, c.tile_mask, c.token_mask});
  return encoder.encode(c.header, out);
}

// What a decoder leaves in an array of one type and order, and its refusal as text.
template <class Element>
struct Outcome {
  std::vector<Element> values;
  Buffer token_mask;
  std::vector<uint16_t> layers;
  std::string refusal;
  bool operator==(const Outcome&) const = default;
};

template <class Element>
Outcome<Element> decode_as(const Case& c, const Buffer& record, ElementType type, Order order, Element fill) {
  Outcome<Element> o{std::vector<Element>(c.symbols.size(), fill), Buffer(c.token_mask.size(), 7),
                     std::vector<uint16_t>(c.n_tiles, 0), ""};
  RecordDecoder decoder(c.context(), {o.values.data(), type, order, o.token_mask, o.layers});
  const Buffer exact(record);
  if (const auto error = decoder.decode(exact))
    o.refusal = std::string(kind_name(error->kind)) + ": " + error->what;
  return o;
}

// §8.1, in double until the end: with the powers of two below every intermediate number is exact.
double value_of_symbol(const Table& table, float step, int symbol) {
  const int magnitude = std::abs(symbol);
  if (magnitude == 0) return 0;
  const double value = double{step} * (magnitude == 1 ? double{table.r1} : magnitude + double{table.r2});
  return symbol < 0 ? -value : value;
}

template <class Run>
void on_every_isa(Run run) {
  for (const std::string& name : isa_names()) {
    const EachIsa isa(name);
    run();
  }
}

TEST_CASE("symbols of any type and order give the same record on every instruction set") {
  Random random(31);
  for (int i = 0; i < 400; ++i) {
    Case c = i % 2 ? wide_case(random) : random_case(random, 40, 5);
    const bool is_narrow = random.chance(2);
    if (is_narrow) {
      for (int16_t& s : c.symbols) s = std::clamp<int16_t>(s, -128, 127);
    }
    Buffer expected;
    {
      const EachIsa scalar("scalar");
      if (encode_as(c, c.symbols, ElementType::kInt16, Order::kTile, expected))
        continue;  // too long a record
    }
    on_every_isa([&] {
      for (const Order order : {Order::kTile, Order::kToken}) {
        Buffer record;
        CHECK(!encode_as(c, c.symbols, ElementType::kInt16, order, record));
        CHECK(record == expected);
        if (!is_narrow) continue;
        Buffer narrow;
        CHECK(!encode_as(c, converted<int8_t>(c.symbols), ElementType::kInt8, order, narrow));
        CHECK(narrow == expected);
      }
    });
  }
}

TEST_CASE("a record decodes to the same symbols and values on every instruction set") {
  Random random(32);
  for (int i = 0; i < 400; ++i) {
    const Case c = i % 2 ? wide_case(random) : random_case(random, 40, 5);
    Buffer record;
    if (encode_as(c, c.symbols, ElementType::kInt16, Order::kTile, record)) continue;  // too long a record
    const RecordHeader h = RecordHeader::unpack(c.header);
    const unsigned e =
        *c.tables.layer_index(c.plane(), h.layer, static_cast<int>(c.ladder_index) + h.ladder_offset);
    const float step = c.tables.ladder()[e];
    Outcome<int16_t> truth;
    {
      const EachIsa scalar("scalar");
      truth = decode_as<int16_t>(c, record, ElementType::kInt16, Order::kTile, 77);
    }
    CHECK(truth.refusal.empty());
    const auto other =
        decode_as<int16_t>(c, record, ElementType::kInt16, Order::kTile, 78);  // what is the same was written
    const size_t channels = c.plane().channels, n = c.plane().n_frequencies();
    std::vector<float> values(truth.values.size(), 77.0f);
    bool fits_half = true;
    for (size_t s = 0; s < values.size(); ++s) {
      const size_t cell = c.plane().band_of_frequency[s % n] * channels + s / n % channels;
      if (truth.values[s] != other.values[s]) continue;
      const Table& table = c.tables.tables()[c.tables.level(c.plane().class_map[cell], e)];
      values[s] = static_cast<float>(value_of_symbol(table, step, truth.values[s]));
      // Not only what occurs: where the largest symbol without escape does not fit, float16 is refused.
      fits_half &= std::abs(values[s]) < 65520 &&
                   value_of_symbol(table, step, static_cast<int>(table.n_thresholds)) < 65520;
    }
    on_every_isa([&] {
      for (const Order order : {Order::kTile, Order::kToken}) {
        const auto arranged = [&]<class T>(const std::vector<T>& v) {
          return order == Order::kTile ? v : in_token_order(c, v);
        };
        const auto wide = decode_as<int16_t>(c, record, ElementType::kInt16, order, 77);
        CHECK(wide.refusal.empty() && wide.values == arranged(truth.values));
        CHECK(wide.token_mask == truth.token_mask && wide.layers == truth.layers);
        const auto narrow = decode_as<int8_t>(c, record, ElementType::kInt8, order, 77);
        const bool fits = std::all_of(truth.values.begin(), truth.values.end(),
                                      [](int v) { return v >= -128 && v <= 127; });
        CHECK_EQUAL(narrow.refusal.empty(), fits);
        if (fits) CHECK(narrow.values == converted<int8_t>(arranged(truth.values)));
        const auto floats = decode_as<float>(c, record, ElementType::kFloat32, order, 77.0f);
        CHECK(floats.refusal.empty() && floats.values == arranged(values));
        const auto halves = decode_as<uint16_t>(c, record, ElementType::kFloat16, order, 0x54D0);  // 77
        if (!fits_half) {
          continue;
        }
        CHECK(halves.refusal.empty());
        // To the nearest: within half a unit of 11 digits, or of 2^-24 where float16 has no more.
        const auto expected = arranged(values);
        for (size_t s = 0; s < expected.size(); ++s) {
          const uint16_t bits = halves.values[s];
          const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
          const double magnitude =
              exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
          const double found = bits >> 15 ? -magnitude : magnitude;
          const double wanted = expected[s];
          CHECK(std::abs(found - wanted) <= std::max(std::abs(wanted) / 2048, std::ldexp(1.0, -25)));
        }
      }
    });
  }
}

TEST_CASE("damaged records get the same verdict and leave the same arrays on every instruction set") {
  Random random(33);
  unsigned n_refused = 0;
  for (int i = 0; i < 1500; ++i) {
    const Case c = i % 2 ? wide_case(random) : random_case(random, 40, 5);
    Buffer record;
    if (encode_as(c, c.symbols, ElementType::kInt16, Order::kTile, record)) continue;  // too long a record
    for (unsigned n = 1 + random.below(3); n > 0; --n) {
      const size_t at = kRecordHeaderBytes + random.below(static_cast<uint32_t>(record.size() - 12));
      record[at] =
          static_cast<uint8_t>(random.chance(2) ? random.next() : record[at] ^ 1u << random.below(8));
    }
    if (random.chance(3))
      record.resize(record.size() -
                    random.below(static_cast<uint32_t>(std::min<size_t>(20, record.size() - 12))));
    reseal(record);
    const Order order = random.chance(2) ? Order::kTile : Order::kToken;
    std::vector<Outcome<int16_t>> found;
    on_every_isa([&] { found.push_back(decode_as<int16_t>(c, record, ElementType::kInt16, order, 77)); });
    for (const auto& outcome : found) CHECK(outcome == found.front());
    n_refused += !found.front().refusal.empty();
  }
  CHECK(n_refused > 700);
}

TEST_CASE("latents go through the reference quantiser on their way into a record") {
  Random random(34);
  for (int i = 0; i < 300; ++i) {
    Case c = i % 2 ? wide_case(random) : random_case(random, 40, 5);
    const RecordHeader h = RecordHeader::unpack(c.header);
    const unsigned e =
        *c.tables.layer_index(c.plane(), h.layer, static_cast<int>(c.ladder_index) + h.ladder_offset);
    const float inverse = 1.0f / c.tables.ladder()[e];
    const size_t channels = c.plane().channels, n = c.plane().n_frequencies();
    std::vector<float> latents(c.symbols.size());
    for (size_t s = 0; s < latents.size(); ++s) {
      latents[s] = (static_cast<float>(random.below(4001)) - 2000) / (random.chance(2) ? 256.0f : 4096.0f);
      if (random.chance(40)) latents[s] *= 1e6f;
      if (random.chance(80)) latents[s] = random.chance(2) ? INFINITY : -INFINITY;
      const size_t cell = c.plane().band_of_frequency[s % n] * channels + s / n % channels;
      const Table& table = c.tables.tables()[c.tables.level(c.plane().class_map[cell], e)];
      // §10.1 as it is written.
      const float scaled = std::fmax(std::fabs(latents[s]) * inverse - table.theta, 0.0f);
      const float q = std::copysign(std::fmin(std::nearbyint(scaled), 32767.0f), latents[s]);
      c.symbols[s] = table.n_thresholds == 0 ? int16_t{0} : static_cast<int16_t>(q);
    }
    Buffer expected;
    if (encode_as(c, c.symbols, ElementType::kInt16, Order::kTile, expected)) continue;  // too long a record
    on_every_isa([&] {
      for (const Order order : {Order::kTile, Order::kToken}) {
        Buffer record;
        CHECK(!encode_as(c, latents, ElementType::kFloat32, order, record));
        CHECK(record == expected);
      }
    });
  }
}

TEST_CASE("a latent that is not a number is refused wherever it stands in the layer") {
  Random random(35);
  unsigned n_refused = 0;
  for (int i = 0; i < 300; ++i) {
    const Case c = i % 2 ? wide_case(random) : random_case(random, 40, 5);
    const RecordHeader h = RecordHeader::unpack(c.header);
    std::vector<float> latents(c.symbols.size(), 0.0f);
    const size_t channels = c.plane().channels, n = c.plane().n_frequencies();
    const size_t at = random.below(static_cast<uint32_t>(latents.size())), tile = at / n / channels;
    latents[at] = NAN;
    const bool is_meant =
        tile >= h.first_tile && tile < h.first_tile + h.tile_count() && c.tile_mask[tile] == 0 &&
        c.plane().layer_map[c.plane().band_of_frequency[at % n] * channels + at / n % channels] == h.layer;
    for (const Order order : {Order::kTile, Order::kToken}) {
      Buffer record;
      const auto error = encode_as(c, latents, ElementType::kFloat32, order, record);
      if (error && error->kind == ErrorKind::kLimit) continue;
      CHECK_EQUAL(error && error->kind == ErrorKind::kBadInput, is_meant);
      if (!error) continue;
      ++n_refused;
      CHECK(error->what.find("tile " + std::to_string(tile) + ", channel " +
                             std::to_string(at / n % channels)) != std::string::npos);
      CHECK(record.empty());
    }
  }
  CHECK(n_refused > 50);
}

}  // namespace
}  // namespace swathpack::test
