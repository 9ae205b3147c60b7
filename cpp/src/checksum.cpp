#include "swathpack/checksum.h"

#include <array>

#include "isa/kernels.h"

namespace swathpack {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected: bit 31 is the coefficient of x^0

// a · b mod the polynomial.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (int i = 0; i < 32; ++i) {
    product ^= b & (0u - (a >> 31));  // a's coefficient of x^i
    a <<= 1;
    b = (b >> 1) ^ (kPolynomial & (0u - (b & 1)));  // b · x
  }
  return product;
}

// x^(8·n) for n < 2^17 as the product of two table entries: n = 512·high + low.
struct ByteShifts {
  std::array<uint32_t, 512> low{};
  std::array<uint32_t, 257> high{};
  constexpr ByteShifts() {
    constexpr uint32_t kOneByte = 1u << 23;  // x^8
    low[0] = 1u << 31;                       // x^0
    for (size_t i = 1; i < low.size(); ++i) low[i] = multiply(low[i - 1], kOneByte);
    const uint32_t step = multiply(low[511], kOneByte);
    high[0] = 1u << 31;
    for (size_t i = 1; i < high.size(); ++i) high[i] = multiply(high[i - 1], step);
  }
};

const ByteShifts& byte_shifts() {
  static const ByteShifts shifts;
  return shifts;
}

constexpr std::array<uint8_t, 256> make_crc8_table() {
  std::array<uint8_t, 256> table{};
  for (unsigned i = 0; i < 256; ++i) {
    unsigned r = i;
    for (int b = 0; b < 8; ++b) r = r << 1 ^ (r & 0x80 ? 0x12Fu : 0u);
    table[i] = static_cast<uint8_t>(r);
  }
  return table;
}
constexpr auto kCrc8Table = make_crc8_table();

}  // namespace

uint32_t crc32c(std::span<const uint8_t> data, uint32_t seed) {
  return ~kernels().crc32c_register(~seed, data.data(), data.size());
}

uint8_t crc8(std::span<const uint8_t> data) {
  uint8_t r = 0xFF;
  for (const uint8_t byte : data) r = kCrc8Table[r ^ byte];
  return static_cast<uint8_t>(r ^ 0xFF);
}

uint32_t PrefixCrc::register_at(size_t position) {
  const auto advance = kernels().crc32c_register;
  while (registers_.size() <= position / kSpacing) {
    const size_t at = (registers_.size() - 1) * kSpacing;
    registers_.push_back(advance(registers_.back(), data_.data() + at, kSpacing));
  }
  const size_t at = position / kSpacing * kSpacing;
  return advance(registers_[position / kSpacing], data_.data() + at, position - at);
}

uint32_t PrefixCrc::of(size_t begin, size_t end) {
  const size_t n = end - begin;
  const ByteShifts& shifts = byte_shifts();
  const uint32_t shift = multiply(shifts.low[n % 512], shifts.high[n / 512]);
  // Starting at 0xFFFFFFFF instead of 0 adds x^(8n) · 0xFFFFFFFF, so both fit one multiplication.
  return ~(register_at(end) ^ multiply(shift, register_at(begin) ^ 0xFFFFFFFFu));
}

}  // namespace swathpack
