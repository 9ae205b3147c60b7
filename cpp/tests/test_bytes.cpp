// Checksums, the scan, the erasure code and the table file at the level of bytes.
#include "cases.h"
#include "swathpack/reed_solomon.h"
#include "swathpack/scan.h"

namespace swathpack::test {
namespace {

Buffer random_bytes(Random& random, size_t n) {
  Buffer out(n);
  for (uint8_t& byte : out) byte = static_cast<uint8_t>(random.next());
  return out;
}

Buffer padding_free_record(Random& random, size_t n_payload) {
  Buffer record = random_bytes(random, kRecordHeaderBytes + n_payload + kRecordCrcBytes);
  record[0] = static_cast<uint8_t>((record[0] & 0xF8) | 1);
  reseal(record);
  return record;
}

TEST_CASE("checksums have the check values of the format") {
  const Buffer digits = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  CHECK_EQUAL(crc32c(digits), 0xE3069283u);
  CHECK_EQUAL(crc8(digits), uint8_t{0xDF});
  CHECK_EQUAL(crc32c({}), 0u);
}

TEST_CASE("a CRC from prefixes equals the CRC of the stretch") {
  Random random(10);
  const Buffer data = random_bytes(random, 70000);
  PrefixCrc crcs(data);
  for (int i = 0; i < 500; ++i) {
    const size_t begin = random.below(70001),
                 end = begin + random.below(static_cast<uint32_t>(70001 - begin));
    CHECK_EQUAL(crcs.of(begin, end), crc32c(std::span(data).subspan(begin, end - begin)));
  }
}

TEST_CASE("a scan finds the intact records between padding, noise and damaged ones") {
  Random random(11);
  for (int i = 0; i < 100; ++i) {
    Buffer data = random_bytes(random, random.below(40));
    std::fill(data.begin(), data.end(), uint8_t{0});
    std::vector<uint64_t> expected;
    for (int r = 0; r < 12; ++r) {
      Buffer record = padding_free_record(random, 1 + random.below(300));
      if (random.chance(3)) {
        record[random.below(static_cast<uint32_t>(record.size()))] ^= 4;
      } else {
        expected.push_back(data.size());
      }
      data.insert(data.end(), record.begin(), record.end());
      if (random.chance(2)) data.insert(data.end(), random.below(5), uint8_t{0});
    }
    const auto found = scan_records(data);
    CHECK_EQUAL(found.size(), expected.size());
    for (size_t k = 0; k < std::min(found.size(), expected.size()); ++k)
      CHECK_EQUAL(found[k].offset, expected[k]);
  }
}

// Each byte is the check byte of the seven before it, so that every position claims a record.
TEST_CASE("a scan of bytes that claim a record everywhere ends without finding one") {
  Buffer data = {0x11, 0x22, 0x31, 0x44, 0x55, 0xFF, 0xFF};
  while (data.size() < 300000) data.push_back(crc8(std::span(data).last(7)));
  const auto found = scan_records(data);
  for (const FoundRecord& r : found) {
    const size_t n = RecordHeader::unpack(r.header).record_bytes();
    CHECK_EQUAL(crc32c(std::span(data).subspan(r.offset, n)),
                0x48674BC7u);  // residue of data and its own CRC
  }
}

TEST_CASE("any k of the k + r symbols give the block back") {
  Random random(12);
  for (int i = 0; i < 150; ++i) {
    const unsigned k = 1 + random.below(i % 10 == 0 ? 254 : 12), r = random.below(std::min(256 - k, 12u));
    const size_t size = random.below(70);
    const Buffer source = random_bytes(random, k * size);
    Buffer all = source;
    all.resize((k + r) * size);
    CHECK(!rs_encode(source, k, r, size, std::span(all).subspan(k * size)));
    std::vector<int64_t> indices;
    for (unsigned s = 0; s < k + r; ++s) indices.push_back(s);
    for (size_t s = indices.size() - 1; s > 0; --s)
      std::swap(indices[s], indices[random.below(static_cast<uint32_t>(s + 1))]);
    indices.resize(k + random.below(r + 1));
    Buffer received;
    for (const int64_t s : indices) {
      const auto at = all.begin() + s * static_cast<ptrdiff_t>(size);
      received.insert(received.end(), at, at + static_cast<ptrdiff_t>(size));
    }
    Buffer out(k * size, 0xAA);
    CHECK(!rs_decode(received, indices, k, size, out));
    CHECK(out == source);
  }
}

TEST_CASE("every truncation, and every mutation with a right checksum, of a table file is judged") {
  Random random(13);
  unsigned n_refused = 0;
  for (int i = 0; i < 40; ++i) {
    Buffer file = table_file({random_table(random), random_table(random)}, {random_plane(random, 5)});
    CHECK(TableSet::parse(file).ok());
    for (size_t n = 0; n < file.size(); ++n) {
      const Buffer cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(n));
      CHECK(!TableSet::parse(cut).ok());
    }
    for (int m = 0; m < 300; ++m) {
      Buffer other = file;
      other[random.below(static_cast<uint32_t>(other.size() - 4))] = static_cast<uint8_t>(random.next());
      other.erase(other.end() - 4, other.end());
      put(other, crc32c(other), 4);
      n_refused += !TableSet::parse(other).ok();
    }
  }
  CHECK(n_refused > 1000);
}

}  // namespace
}  // namespace swathpack::test
