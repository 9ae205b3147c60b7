// CRC-32C and CRC-8 of bitstream §1, and CRCs of any stretch of a buffer from those of its prefixes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace swathpack {

// CRC-32C (Castagnoli). `seed` is the CRC of what stands before `data`, so that
// crc32c(b, crc32c(a)) is the CRC of a followed by b. "123456789" gives 0xE3069283.
[[nodiscard]] uint32_t crc32c(std::span<const uint8_t> data, uint32_t seed = 0);

// CRC-8/AUTOSAR: polynomial 0x2F, not reflected, initial value and final XOR 0xFF. "123456789" gives 0xDF.
[[nodiscard]] uint8_t crc8(std::span<const uint8_t> data);

// CRC-32C of stretches [begin, end) of one buffer, in any order, hashing the buffer only once.
//
// A scan of hostile bytes may find a plausible record header at every position, each claiming 64 KiB; hashing
// every claim would cost 65,536 times the file. A CRC register is linear over GF(2): with R(n) the register
// after n bytes, the register of bytes begin … end started at zero is R(end) − x^(8·(end − begin)) · R(begin)
// mod the polynomial. So the registers of the prefixes are kept at every 64th byte, and a stretch costs two
// partial steps and two multiplications, whatever its length.
class PrefixCrc {
 public:
  explicit PrefixCrc(std::span<const uint8_t> data) : data_(data) {}

  // Requires begin ≤ end ≤ data.size() and end − begin ≤ kLongest.
  [[nodiscard]] uint32_t of(size_t begin, size_t end);

  static constexpr size_t kLongest = size_t{1} << 17;

 private:
  static constexpr size_t kSpacing = 64;
  [[nodiscard]] uint32_t register_at(size_t position);

  std::span<const uint8_t> data_;
  std::vector<uint32_t> registers_{
      0};  // registers_[i]: after i·kSpacing bytes, started at zero, no final XOR
};

}  // namespace swathpack
