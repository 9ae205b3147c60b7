// Finding intact records in bytes that may be cut, appended to or damaged (bitstream §4.4).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace swathpack {

struct FoundRecord {
  uint64_t offset;  // of its first byte
  uint64_t header;  // packed
};

// Every intact record of `data` from `offset` on, in file order. Work and memory are bounded by a constant
// times the bytes present, whatever they are: a claimed length costs no hashing of its own (PrefixCrc).
[[nodiscard]] std::vector<FoundRecord> scan_records(std::span<const uint8_t> data, uint64_t offset = 0);

}  // namespace swathpack
