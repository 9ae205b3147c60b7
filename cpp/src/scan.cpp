#include "swathpack/scan.h"

#include "bytes.h"
#include "swathpack/checksum.h"
#include "swathpack/record_header.h"

namespace swathpack {

std::vector<FoundRecord> scan_records(std::span<const uint8_t> data, uint64_t offset) {
  std::vector<FoundRecord> found;
  if (offset >= data.size()) return found;
  data = data.subspan(offset);
  PrefixCrc crcs(data);
  size_t at = 0;
  while (data.size() - at >= kRecordHeaderBytes + 1 + kRecordCrcBytes) {
    const uint8_t* p = data.data() + at;
    // The low three bits are the kind; 0 is padding or the inside of a gap. The check byte of a plausible
    // header rejects 255 of 256 positions, the length most of the rest near the end.
    if ((*p & 7) != 0 && crc8(data.subspan(at, 7)) == p[7]) {
      const uint64_t packed = load_u64(p);
      const size_t end = at + RecordHeader::unpack(packed).record_bytes();
      if (end <= data.size() &&
          crcs.of(at, end - kRecordCrcBytes) == load_u32(data.data() + end - kRecordCrcBytes)) {
        found.push_back({offset + at, packed});
        at = end;
        continue;
      }
    }
    ++at;
  }
  return found;
}

}  // namespace swathpack
