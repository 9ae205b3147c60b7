// Symbols to values (bitstream §8.1), in float32 and in float16.
#pragma once

#include <bit>
#include <cstdint>

#include "swathpack/tables.h"

namespace swathpack {

// sign · Δ · r1 where the magnitude is 1, sign · Δ · (magnitude + r2) above, 0 for 0.
[[nodiscard]] inline float value_of(const Table& table, float step, int symbol) {
  if (symbol == 0) return 0;
  const int magnitude = symbol < 0 ? -symbol : symbol;
  const float value = step * (magnitude == 1 ? table.r1 : static_cast<float>(magnitude) + table.r2);
  return symbol < 0 ? -value : value;
}

// float32 to the nearest float16, ties to even, as IEEE 754 has it; too large values become infinite.
[[nodiscard]] inline uint16_t half_of(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude >= 0x7F800000)
    return static_cast<uint16_t>(sign | 0x7C00 | (magnitude > 0x7F800000 ? 0x200 : 0));
  if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);  // rounds to 65536 or more
  if (magnitude <
      0x38800000) {  // below the smallest normal number: adding 1/2 lets the float unit round at 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  const uint32_t rounded = magnitude + 0xFFF + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000) >> 13);
}

}  // namespace swathpack
