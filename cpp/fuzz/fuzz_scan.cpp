// The scan of any bytes finds what a plain scan finds, which hashes each claim anew. Some stretches of the
// input are turned into records first.
#include "input.h"
#include "swathpack/scan.h"

using namespace swathpack;

namespace {

std::vector<uint64_t> plain_scan(const test::Buffer& data) {
  std::vector<uint64_t> found;
  for (size_t at = 0; at + 13 <= data.size();) {
    uint64_t packed = 0;
    std::memcpy(&packed, data.data() + at, 8);
    const RecordHeader h = RecordHeader::unpack(packed);
    const size_t n = h.record_bytes();
    if (h.kind != 0 && header_check(packed) == h.check && at + n <= data.size()) {
      uint32_t stored = 0;
      std::memcpy(&stored, data.data() + at + n - 4, 4);
      if (crc32c(std::span(data).subspan(at, n - 4)) == stored) {
        found.push_back(at);
        at += n;
        continue;
      }
    }
    ++at;
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input in(data, size);
  test::Buffer bytes;
  const unsigned n_pieces = in.byte() % 8;
  for (unsigned i = 0; i < n_pieces; ++i) {
    test::Buffer piece(13 + in.number() % 300);
    for (uint8_t& b : piece) b = in.byte();
    const uint8_t what = in.byte();
    if (what % 4 != 0) test::reseal(piece);
    if (what % 4 == 2) piece.resize(piece.size() - 1 - what % 8);
    if (what % 4 == 3) piece[what % piece.size()] ^= what;
    bytes.insert(bytes.end(), piece.begin(), piece.end());
  }
  const test::Buffer rest = in.rest();
  bytes.insert(bytes.end(), rest.begin(), rest.end());
  const auto found = scan_records(bytes);
  const auto expected = plain_scan(bytes);
  fuzz::require(found.size() == expected.size(), "as many records as a plain scan finds");
  for (size_t i = 0; i < found.size(); ++i)
    fuzz::require(found[i].offset == expected[i], "at the same places");
  return 0;
}
