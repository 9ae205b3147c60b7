// Any table file under a right checksum and length is refused or usable: costs and levels of all it holds
// exist.
#include "input.h"

using namespace swathpack;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  test::Buffer file;
  if (in.byte() % 2 == 0) {
    test::Random random(in.byte());
    const std::vector<test::TableSpec> thresholds = {test::random_table(random), test::random_table(random)};
    const test::PlaneSpec first = test::random_plane(random, 5), second = test::random_plane(random, 3);
    file = test::table_file(thresholds, {first, second}, 1 + random.below(9));
    fuzz::require(TableSet::parse(file).ok(), "a legal table file is taken");
    fuzz::edit(file, 0, 4, in);
  } else {
    file = in.rest();
    (void)TableSet::parse(file);
  }
  if (file.size() < 16) return 0;
  for (unsigned i = 0; i < 4; ++i) {
    file[i] = static_cast<uint8_t>("NECT"[i]);
    file[8 + i] = static_cast<uint8_t>(file.size() >> (8 * i));
  }
  file[4] = 0;
  const uint32_t crc = crc32c(std::span(file).first(file.size() - 4));
  for (unsigned i = 0; i < 4; ++i) file[file.size() - 4 + i] = static_cast<uint8_t>(crc >> (8 * i));
  const auto parsed = TableSet::parse(file);
  if (!parsed.ok()) return 0;
  const TableSet& tables = parsed.value();
  for (unsigned p = 0; p < tables.planes().size(); ++p) {
    const Plane& plane = tables.planes()[p];
    const std::vector<int16_t> symbols(size_t{plane.channels} * plane.n_frequencies(), 300);
    for (unsigned layer = 0; layer < plane.n_layers; ++layer) {
      for (int q = -1; q <= static_cast<int>(tables.ladder().size()); ++q) {
        uint64_t cost = 0;
        (void)tile_costs(tables, p, layer, q, symbols.data(), ElementType::kInt16, Order::kTile, {&cost, 1});
        (void)coded_pairs(tables, p, layer, q);
      }
      if (plane.channels > 64) break;  // one layer of a large plane says enough
    }
  }
  for (const Table& table : tables.tables()) {
    if (table.n_thresholds == 0) continue;
    for (uint32_t slot = 0; slot < 65536; slot += 17) {
      const unsigned k = table.find(slot);
      fuzz::require(k <= table.n_thresholds && slot >= table.range[k].start &&
                        slot - table.range[k].start < table.range[k].frequency,
                    "a slot lies in the range of its symbol");
      fuzz::require(table.share(k) >= 1, "each magnitude has a slot");
    }
  }
  return 0;
}
