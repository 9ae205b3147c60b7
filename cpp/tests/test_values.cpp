// The ends of the ranges of float16 and float32: symbols of several lanes are decoded straight to values, of
// which some are 0 and some cannot be said.
#include <functional>

#include "any_array.h"
#include "plain_case.h"

namespace swathpack::test {
namespace {

// Two records, of two tiles, of symbols with these magnitudes, on every instruction set and number of lanes.
void decode_every_way(const std::vector<uint16_t>& thresholds, const Points& points,
                      const std::vector<int>& magnitudes, ElementType type,
                      const std::function<void(const Case&, const AnyTarget&, const MaybeError&)>& judge) {
  Random random(53);
  Case plain = plain_case(thresholds, 70, 2, 3, 2, points);
  for (int16_t& symbol : plain.symbols) {
    const int magnitude = magnitudes[random.below(static_cast<uint32_t>(magnitudes.size()))];
    symbol = static_cast<int16_t>(random.chance(2) ? -magnitude : magnitude);
  }
  for (unsigned log2_lanes = 0; log2_lanes <= 7; ++log2_lanes) {
    Case c = with_lanes(plain, log2_lanes);
    std::array<Buffer, 2> records;
    RecordEncoder encoder(c.context(), c.source());
    for (uint16_t tile = 0; tile < 2; ++tile) {
      RecordHeader h = RecordHeader::unpack(c.header);
      h.first_tile = tile;
      h.tile_count_code = 0;
      CHECK(!encoder.encode(h.pack() & 0xFFFFFFFFFFu, records[tile]));
    }
    const std::array<std::span<const uint8_t>, 2> spans = {records[0], records[1]};
    for (const std::string& isa : isa_names()) {
      const OnIsa on(isa);
      for (const Order order : kOrders) {
        AnyTarget target(c, type, order);
        std::array<MaybeError, 2> outcomes;
        RecordDecoder decoder(c.context(), target.target());
        decoder.decode(spans, outcomes);
        for (const MaybeError& outcome : outcomes) judge(c, target, outcome);
      }
    }
  }
}

template <class Value>
Value value_at(const Case& c, const AnyTarget& target, size_t i) {
  Value value;
  std::memcpy(&value, target.values.data() + position(c.plane(), target.order, i) * sizeof value,
              sizeof value);
  return value;
}

// Multiples of 2^-26 as float16, whose least number is 2^-24: 1 and 2 (a tie) give 0, 3 gives 2^-24.
TEST_CASE("values too small for float16 become 0 and leave the others their signs") {
  decode_every_way({40000, 50000, 60000}, {0x1p-26f, 1, 0}, {0, 0, 1, 2, 3}, ElementType::kFloat16,
                   [](const Case& c, const AnyTarget& target, const MaybeError& error) {
                     CHECK(!error);
                     for (size_t i = 0; i < c.symbols.size(); ++i) {
                       const auto half = value_at<uint16_t>(c, target, i);
                       if (std::abs(c.symbols[i]) == 3) {
                         CHECK_EQUAL(half, uint16_t(c.symbols[i] < 0 ? 0x8001 : 0x0001));
                       } else {
                         CHECK_EQUAL(half & 0x7FFF, 0);
                       }
                     }
                   });
}

TEST_CASE("values too small for float32 become 0 and leave the others their signs") {
  decode_every_way({40000, 50000, 60000}, {0x1p-140f, 0x1p-30f, 0}, {0, 0, 1, 2, 3}, ElementType::kFloat32,
                   [](const Case& c, const AnyTarget& target, const MaybeError& error) {
                     CHECK(!error);
                     for (size_t i = 0; i < c.symbols.size(); ++i) {
                       const int symbol = std::abs(c.symbols[i]) == 1 ? 0 : c.symbols[i];
                       CHECK(value_at<float>(c, target, i) == static_cast<float>(symbol) * 0x1p-140f);
                     }
                   });
}

// r1 = 2 and r2 = −1: magnitude 1 is 2 steps, magnitude 2 is 1 step.
TEST_CASE("a value beyond float16 is refused though larger magnitudes have smaller ones") {
  decode_every_way({40000, 60000}, {40000, 2, -1}, {0, 1}, ElementType::kFloat16,
                   [](const Case&, const AnyTarget&, const MaybeError& error) {
                     CHECK(error && error->kind == ErrorKind::kBadInput);
                   });
}

TEST_CASE("what a table could say beyond float16 does not matter where no symbol says it") {
  decode_every_way({40000, 60000}, {40000, 2, -1}, {0, 2}, ElementType::kFloat16,
                   [](const Case& c, const AnyTarget& target, const MaybeError& error) {
                     CHECK(!error);
                     for (size_t i = 0; i < c.symbols.size(); ++i) {
                       const uint16_t half = c.symbols[i] == 0 ? 0 : c.symbols[i] < 0 ? 0xF8E2 : 0x78E2;
                       CHECK_EQUAL(value_at<uint16_t>(c, target, i), half);  // 40000 = 1250 · 32
                     }
                   });
}

}  // namespace
}  // namespace swathpack::test
