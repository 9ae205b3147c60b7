#include "isa/crc32c_sse42.h"

#include <nmmintrin.h>

namespace swathpack {
namespace {

// What a CRC register becomes after kStretch zero bytes, by each of its four bytes: registers are linear.
constexpr size_t kStretch = 1024;
struct ZeroBytes {
  uint32_t of[4][256];
  constexpr ZeroBytes() : of{} {
    uint32_t column[32] =
        {};  // what single bits become: after one zero bit, then after twice as many, and so on
    for (unsigned bit = 0; bit < 32; ++bit) column[bit] = bit == 0 ? 0x82F63B78u : 1u << (bit - 1);
    for (size_t bits = 1; bits < 8 * kStretch; bits *= 2) {
      uint32_t twice[32] = {};
      for (unsigned bit = 0; bit < 32; ++bit) twice[bit] = apply(column, column[bit]);
      for (unsigned bit = 0; bit < 32; ++bit) column[bit] = twice[bit];
    }
    for (unsigned byte = 0; byte < 4; ++byte) {
      for (uint32_t value = 0; value < 256; ++value) of[byte][value] = apply(column, value << 8 * byte);
    }
  }
  static constexpr uint32_t apply(const uint32_t* column, uint32_t state) {
    uint32_t sum = 0;
    for (unsigned bit = 0; bit < 32; ++bit) sum ^= state >> bit & 1 ? column[bit] : 0;
    return sum;
  }
  [[nodiscard]] uint32_t after(uint64_t state) const {
    return of[0][state & 0xFF] ^ of[1][state >> 8 & 0xFF] ^ of[2][state >> 16 & 0xFF] ^
           of[3][state >> 24 & 0xFF];
  }
};
constexpr ZeroBytes kZeroBytes;

}  // namespace

// The instruction takes three cycles, and a new one may begin in each: three stretches at a time.
uint32_t crc32c_by_instruction(uint32_t state, const uint8_t* data, size_t n) {
  const auto word_at = [](const uint8_t* p) {
    uint64_t word;
    __builtin_memcpy(&word, p, 8);
    return word;
  };
  uint64_t a = state;
  for (; n >= 3 * kStretch; data += 3 * kStretch, n -= 3 * kStretch) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < kStretch; i += 8) {
      a = _mm_crc32_u64(a, word_at(data + i));
      b = _mm_crc32_u64(b, word_at(data + kStretch + i));
      c = _mm_crc32_u64(c, word_at(data + 2 * kStretch + i));
    }
    a = kZeroBytes.after(kZeroBytes.after(a) ^ b) ^ c;
  }
  for (; n >= 8; data += 8, n -= 8) a = _mm_crc32_u64(a, word_at(data));
  for (; n > 0; --n) a = _mm_crc32_u8(static_cast<uint32_t>(a), *data++);
  return static_cast<uint32_t>(a);
}

}  // namespace swathpack
