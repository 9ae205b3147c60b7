// A refused record of one layer must not take another layer's symbols with it, whatever thread it is on.
#include "cases.h"
#include "swathpack/batch.h"

namespace swathpack::test {
namespace {

TEST_CASE("a refused record spares the layer that another thread decodes in the same tile") {
  constexpr unsigned kTiles = 512;
  PlaneSpec p;
  p.rows = p.cols = 8;
  p.channels = 128;
  p.n_layers = 2;
  p.n_bands = 2;
  p.kind = 1;
  p.layer_shift = {0, 0};
  for (unsigned f = 0; f < 64; ++f) p.band_of_frequency.push_back(f >= 32);
  for (unsigned b = 0; b < 2; ++b) p.layer_map.insert(p.layer_map.end(), 128, static_cast<uint8_t>(b));
  p.class_map.assign(256, 0);
  Case c;
  c.tables = TableSet::parse(table_file({{65000}}, {p})).take();
  c.n_tiles = kTiles;
  c.symbols.assign(size_t{kTiles} * 128 * 64, 0);
  c.tile_mask.assign(kTiles, 0);
  c.token_mask.assign(kTiles * 64, 0);
  c.derived = c.token_mask;
  const auto encoded = [&c](unsigned layer, unsigned first, unsigned n) {
    RecordHeader h;
    h.layer = static_cast<uint8_t>(layer);
    h.log2_lanes = 5;
    h.first_tile = static_cast<uint16_t>(first);
    h.tile_count_code = *tile_count_code(n);
    Buffer record;
    RecordEncoder encoder(c.context(), c.source());
    CHECK(!encoder.encode(h.pack() & 0xFFFFFFFFFFu, record));
    return record;
  };
  const Buffer whole = encoded(1, 0, kTiles);
  std::vector<Buffer> records = {whole};
  records[0][9 + 4 * 5] ^= 0x55;  // a lane's state: wrong, as is seen at the end
  reseal(records[0]);
  for (unsigned tile = 0; tile < kTiles; tile += 8) records.push_back(encoded(0, tile, 8));
  const std::vector<std::span<const uint8_t>> first = {whole}, second(records.begin(), records.end());
  for (const unsigned threads : {1u, 2u}) {
    unsigned n_lost = 0;
    for (unsigned round = 0; round < 20; ++round) {
      Decoded decoded(c);
      CHECK(!decode_batch(c.context(), decoded.target(), first, 1)[0]);
      const auto outcomes = decode_batch(c.context(), decoded.target(), second, threads);
      CHECK(outcomes[0].has_value());
      for (size_t i = 1; i < outcomes.size(); ++i) CHECK(!outcomes[i]);
      n_lost += decoded.symbols != c.symbols;  // all layers of all tiles have come: layers says so
    }
    if (n_lost > 0)
      fail(__FILE__, __LINE__,
           std::to_string(threads) + " threads: lost in " + std::to_string(n_lost) + " of 20 rounds");
  }
}

}  // namespace
}  // namespace swathpack::test
