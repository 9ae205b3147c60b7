// The plain back end: the truth every other one is compared with.
#include <array>

#include "bytes.h"
#include "isa/kernels.h"

namespace swathpack {
namespace {

// Decoding one symbol (§5.3): with slot = x mod 65536 in the range of symbol k,
//     x ← frequency_k · ⌊x / 65536⌋ + slot − start_k,  then a word is shifted in when x < 65536.
// Where most symbols are zeros (start 0) one predictable branch finds them without a search; elsewhere that
// branch would be a coin toss, and every symbol takes the same path.
template <bool kMostlyZeros>
RunEnd decode_run_of(const Table& table, uint32_t n, bool long_form, uint32_t& state, WordSource& words,
                     Nonzero* out, size_t* count, size_t capacity) {
  const uint32_t zeros = table.range[0].frequency;
  uint32_t x = state;
  size_t n_out = *count;
  const uint8_t* next = words.next;
  const uint8_t* const end = words.end;
  RunEnd result = RunEnd::kDone;
  for (uint32_t step = 0; step < n; ++step) {
    const uint32_t slot = x & 0xFFFF;
    if (kMostlyZeros && slot < zeros) [[likely]] {
      x = zeros * (x >> 16) + slot;
    } else {
      const unsigned k = table.find(slot);
      x = table.range[k].frequency * (x >> 16) + slot - table.range[k].start;
      out[n_out] = {step, static_cast<int16_t>(k), 0, k == table.n_thresholds};
      n_out += k != 0;
      if (n_out > capacity) {
        result = RunEnd::kTooMany;
        break;
      }
    }
    if (x < 65536) {
      if (end - next >= 2) {
        x = x << 16 | load_u16(next);
        next += 2;
      } else if (long_form) {
        result = RunEnd::kOutOfWords;
        break;
      } else if (x < zeros) {
        break;  // no words and ⌊x / 65536⌋ = 0: a zero leaves x as it is, so every further symbol of this run
                // is one
      }
    }
  }
  state = x;
  words.next = next;
  *count = n_out;
  return result;
}

RunEnd decode_run(const Table& table, uint32_t n, bool long_form, uint32_t& state, WordSource& words,
                  Nonzero* out, size_t* count, size_t capacity) {
  const bool mostly_zeros = table.range[0].frequency >= 45000;  // about 0.7: measured break-even
  return (mostly_zeros ? decode_run_of<true> : decode_run_of<false>)(table, n, long_form, state, words, out,
                                                                     count, capacity);
}

RunEnd decode_lanes(const Table* const* tables, unsigned lanes, uint32_t steps, uint32_t* states,
                    WordSource& words, uint8_t* symbols) {
  const uint8_t* next = words.next;
  const uint8_t* const end = words.end;
  for (uint32_t step = 0; step < steps; ++step) {
    for (unsigned lane = 0; lane < lanes; ++lane) {
      const Table& table = *tables[lane];
      uint32_t x = states[lane];
      const uint32_t slot = x & 0xFFFF;
      const unsigned k = table.find(slot);
      x = table.range[k].frequency * (x >> 16) + slot - table.range[k].start;
      if (x < 65536) {
        if (end - next < 2) return RunEnd::kOutOfWords;
        x = x << 16 | load_u16(next);
        next += 2;
      }
      states[lane] = x;
      *symbols++ = static_cast<uint8_t>(k);
    }
  }
  words.next = next;
  return RunEnd::kDone;
}

// Division by a frequency f costs as much as all the rest, so ⌊x / f⌋ = ⌊x · m / 2^48⌋ with m = ⌈2^48 / f⌉.
// Exact: after the renormalisation x < f · 2^16, and m = (2^48 + e) / f with e < f, so x · m / 2^48 exceeds x
// / f by x · e / (f · 2^48) < f / 2^32 < 1 / f for f < 2^16: the next integer is never reached. x · m stays
// below 2^64, as (f · 2^16 − 1) · (2^48 / f + 1) < 2^64 + f · 2^16 − 2^48 / f ≤ 2^64.
void encode_lanes(const Table* const* tables, unsigned lanes, uint32_t steps, const int16_t* values,
                  uint32_t* states, uint16_t*& top) {
  uint16_t* words = top;
  const int16_t* value = values + size_t{steps} * lanes;
  for (uint32_t step = steps; step-- > 0;) {
    for (unsigned lane = lanes; lane-- > 0;) {
      const Table& table = *tables[lane];
      const unsigned magnitude = static_cast<unsigned>(*--value < 0 ? -*value : *value);
      const unsigned k = magnitude < table.n_thresholds ? magnitude : table.n_thresholds;
      const SymbolRange range = table.range[k];
      uint32_t x = states[lane];
      // Whether a word is due cannot be predicted: it is written in any case, and kept or overwritten.
      const bool due = x >> 16 >= range.frequency;
      words[-1] = static_cast<uint16_t>(x);
      words -= due;
      x >>= due ? 16 : 0;
      const auto quotient = static_cast<uint32_t>(x * table.reciprocal[k] >> 48);
      states[lane] = (quotient << 16) + (x - quotient * range.frequency) + range.start;
    }
  }
  top = words;
}

// Slicing by 8: table j gives the effect of a byte that stands j bytes before the end of an 8-byte group.
constexpr std::array<std::array<uint32_t, 256>, 8> make_crc_tables() {
  std::array<std::array<uint32_t, 256>, 8> t{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t r = i;
    for (int b = 0; b < 8; ++b) r = (r >> 1) ^ (r & 1 ? 0x82F63B78u : 0u);  // 0x1EDC6F41 reflected
    t[0][i] = r;
  }
  for (size_t j = 1; j < 8; ++j) {
    for (size_t i = 0; i < 256; ++i) t[j][i] = t[j - 1][i] >> 8 ^ t[0][t[j - 1][i] & 0xFF];
  }
  return t;
}
constexpr auto kCrcTables = make_crc_tables();

uint32_t crc32c_register(uint32_t state, const uint8_t* data, size_t n) {
  while (n >= 8) {
    const uint32_t low = state ^ load_u32(data), high = load_u32(data + 4);
    state = kCrcTables[7][low & 0xFF] ^ kCrcTables[6][low >> 8 & 0xFF] ^ kCrcTables[5][low >> 16 & 0xFF] ^
            kCrcTables[4][low >> 24] ^ kCrcTables[3][high & 0xFF] ^ kCrcTables[2][high >> 8 & 0xFF] ^
            kCrcTables[1][high >> 16 & 0xFF] ^ kCrcTables[0][high >> 24];
    data += 8;
    n -= 8;
  }
  for (; n > 0; --n) state = state >> 8 ^ kCrcTables[0][(state ^ *data++) & 0xFF];
  return state;
}

}  // namespace

const Kernels kScalarKernels = {"scalar", decode_run, decode_lanes, encode_lanes, crc32c_register};

}  // namespace swathpack
