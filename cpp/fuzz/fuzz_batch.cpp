// Two threads say of a batch what one says and leave the same arrays, also where records claim the same
// tiles; and two encode to the bytes of one.
#include "any_array.h"
#include "input.h"
#include "swathpack/batch.h"

using namespace swathpack;

namespace {

std::vector<std::string> decoded(const test::Case& c, const std::vector<test::Buffer>& records,
                                 test::AnyTarget& target, unsigned threads) {
  const std::vector<std::span<const uint8_t>> spans(records.begin(), records.end());
  std::vector<std::string> said;
  for (const auto& error : decode_batch(c.context(), target.target(), spans, threads)) {
    said.push_back(test::refusal(error));
  }
  return said;
}

// More tiles than the other targets have, so that records go side by side.
const test::Case& long_case(uint32_t number) {
  static std::vector<std::optional<test::Case>> cases(256);
  auto& found = cases[number % cases.size()];
  if (!found) {
    test::Random random(1000 + number % cases.size());
    do found = test::random_case(random, 12, 50);
    while (found->n_tiles < 10);
  }
  return *found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  const test::Case& c = long_case(in.number());
  const unsigned choice = in.byte();

  // Records of single tiles in all layers, most of one lane, some of them damaged, some twice.
  std::vector<uint64_t> headers;
  for (unsigned layer = 0; layer < c.plane().n_layers; ++layer) {
    for (uint32_t tile = 0; tile < c.n_tiles; ++tile) {
      RecordHeader h = RecordHeader::unpack(c.header);
      h.layer = static_cast<uint8_t>(layer);
      h.first_tile = static_cast<uint16_t>(tile);
      h.tile_count_code = 0;
      h.log2_lanes = static_cast<uint8_t>((choice + tile) % 16 == 0 ? choice / 16 % 8 : 0);
      headers.push_back(h.pack() & 0xFFFFFFFFFFu);
    }
  }
  const auto one = encode_batch(c.context(), c.source(), headers, 1);
  const auto two = encode_batch(c.context(), c.source(), headers, 2);
  fuzz::require(one.index() == two.index(), "the same verdict on an array");
  std::vector<test::Buffer> records;
  if (const auto* const sound = std::get_if<EncodedRecords>(&one)) {
    const auto& again = std::get<EncodedRecords>(two);
    for (size_t i = 0; i < headers.size(); ++i) {
      const auto record = sound->record(i), same = again.record(i);
      fuzz::require(std::equal(record.begin(), record.end(), same.begin(), same.end()), "the same bytes");
      records.emplace_back(record.begin(), record.end());
    }
  } else {
    const auto &first = std::get<RecordError>(one), &other = std::get<RecordError>(two);
    fuzz::require(first.record == other.record && first.error.what == other.error.what, "the same refusal");
  }
  while (!in.empty() && records.size() < 400) {
    const unsigned what = in.byte();
    fuzz::Input piece = in.piece(1 + in.byte() % 32);
    if (what % 4 == 0 || records.empty()) {
      const auto record = fuzz::hostile_record(c, piece);
      if (record)
        records.insert(records.begin() + static_cast<ptrdiff_t>(in.byte() % (records.size() + 1)), *record);
    } else {
      test::Buffer& record = records[in.number() % records.size()];
      fuzz::edit(record, kRecordHeaderBytes, kRecordCrcBytes, piece);
      test::reseal(record);
    }
  }
  test::AnyTarget by_one(c, test::kElementTypes[choice % 4], test::kOrders[choice / 4 % 2]), by_two = by_one;
  const auto said = decoded(c, records, by_one, 1);
  fuzz::require(said == decoded(c, records, by_two, 2), "the same verdicts");
  fuzz::require(by_one == by_two, "the same arrays");
  return 0;
}
