// The plain back end: the truth every other one is compared with.
#include <algorithm>
#include <array>

#include "bytes.h"
#include "isa/kernels.h"

namespace swathpack {
namespace {

#include "isa/rows.h"

// Decoding one symbol (§5.3): with slot = x mod 65536 in the range of symbol k,
//     x ← frequency_k · ⌊x / 65536⌋ + slot − start_k,  then a word is shifted in when x < 65536.
// Where most symbols are zeros (start 0) one predictable branch finds them without a search; elsewhere that
// branch would be a coin toss, and every symbol takes the same path.
enum class RunKind { kMostlyZeros, kAny, kLowBits };

template <RunKind kKind>
RunEnd decode_run_of(const Table& table, uint32_t n, uint32_t run, bool long_form, uint32_t& state,
                     WordSource& words, Nonzero* out, size_t* count, size_t capacity) {
  const uint32_t zeros = table.range[0].frequency;
  uint32_t x = state;
  size_t n_out = *count;
  const uint8_t* next = words.next;
  const uint8_t* const end = words.end;
  RunEnd result = RunEnd::kDone;
  for (uint32_t step = 0; step < n; ++step) {
    const uint32_t slot = x & 0xFFFF;
    if (kKind == RunKind::kMostlyZeros && slot < zeros) [[likely]] {
      x = zeros * (x >> 16) + slot;
    } else {
      const unsigned k = table.find(slot);
      const uint32_t offset = slot - table.range[k].start;
      unsigned magnitude = k;
      if constexpr (kKind == RunKind::kLowBits) {
        const unsigned b = k != 0 ? table.low_bits : 0, r = offset & ((1u << b) - 1);
        x = (uint32_t{table.range[k].frequency} >> b) * (x >> 16) + (offset >> b);
        magnitude = (k << b) - ((1u << b) - 1) + r;  // ((k − 1) << b) + 1 + r, and 0 for 0
      } else {
        x = table.range[k].frequency * (x >> 16) + offset;
      }
      out[n_out] = {step, run, static_cast<int16_t>(magnitude), k == table.n_thresholds};
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

RunEnd decode_run(const Table& table, uint32_t n, uint32_t run, bool long_form, uint32_t& state,
                  WordSource& words, Nonzero* out, size_t* count, size_t capacity) {
  const bool mostly_zeros = table.range[0].frequency >= 45000;  // about 0.7: measured break-even
  const auto decode = table.low_bits != 0 ? decode_run_of<RunKind::kLowBits>
                      : mostly_zeros      ? decode_run_of<RunKind::kMostlyZeros>
                                          : decode_run_of<RunKind::kAny>;
  return decode(table, n, run, long_form, state, words, out, count, capacity);
}

// Division by a frequency f costs as much as all the rest, so ⌊x / f⌋ = ⌊x · m / 2^48⌋ with m = ⌈2^48 / f⌉.
// Exact: after the renormalisation x < f · 2^16, and m = (2^48 + e) / f with e < f, so x · m / 2^48 exceeds x
// / f by x · e / (f · 2^48) < f / 2^32 < 1 / f for f < 2^16: the next integer is never reached. x · m stays
// below 2^64, as (f · 2^16 − 1) · (2^48 / f + 1) < 2^64 + f · 2^16 − 2^48 / f ≤ 2^64.
template <bool kLowBits>
uint32_t push(uint32_t x, const Table& table, unsigned k, unsigned r, uint16_t*& words) {
  const SymbolRange range = table.range[k];
  const unsigned b = kLowBits && k != 0 ? table.low_bits : 0;
  const uint32_t share = uint32_t{range.frequency} >> b;
  // Whether a word is due cannot be predicted: it is written in any case, and kept or overwritten.
  const bool due = x >> 16 >= share;
  words[-1] = static_cast<uint16_t>(x);
  words -= due;
  x >>= due ? 16 : 0;
  const auto quotient = static_cast<uint32_t>(x * table.reciprocal[k] >> 48);
  return (quotient << 16) + ((x - quotient * share) << b) + range.start + r;
}

void encode_run(const Table& table, size_t n, const uint8_t* symbols, const uint8_t* low, uint32_t& state,
                uint16_t*& top) {
  uint32_t x = state;
  if (table.low_bits == 0) {
    while (n-- > 0) x = push<false>(x, table, symbols[n], 0, top);
  } else {
    while (n-- > 0) x = push<true>(x, table, symbols[n], low[n], top);
  }
  state = x;
}

// The symbols of all lanes: K less the thresholds above the slot. No branch depends on data, and compilers
// make vectors of it where they may.
void find_symbols(const LaneTables& t, const uint32_t* states, int16_t* symbols) {
  std::array<int16_t, kMostLanes> slots;
  for (unsigned lane = 0; lane < t.width; ++lane) {
    slots[lane] = static_cast<int16_t>(states[lane] ^ 0x8000);  // biased, as the thresholds are
    symbols[lane] = static_cast<int16_t>(t.last[lane]);
  }
  for (unsigned k = 0; k < t.n_thresholds; ++k) {
    const uint16_t* const thresholds = t.thresholds + size_t{k} * t.width;
    for (unsigned lane = 0; lane < t.width; ++lane) {
      symbols[lane] =
          static_cast<int16_t>(symbols[lane] - (static_cast<int16_t>(thresholds[lane]) > slots[lane]));
    }
  }
}

template <class Value, ValueType kType>
uint32_t decode_rows(const LaneTables& tables, uint32_t steps, LaneJob& job) {
  constexpr bool kHalf = kType == ValueType::kFloat16, kWide = kType == ValueType::kWide;
  LaneStream& stream = *job.stream;
  void* const* const rows = job.rows;
  const LaneTables t = tables;  // copies that nothing written below can change
  std::array<uint32_t, kMostLanes> states{};
  std::copy_n(job.states, t.lanes, states.begin());
  std::array<int16_t, kMostLanes> symbols;
  const uint8_t* next = stream.next;
  const uint8_t* const top = stream.top;
  size_t bit = stream.used;
  uint32_t step = 0;
  for (; step < steps; ++step) {
    if (top - static_cast<ptrdiff_t>(bit >> 3) < next) break;
    find_symbols(t, states.data(), symbols.data());
    auto* const values = static_cast<Value*>(rows[step]);
    EscapeStep found{step, {0, 0}};
    for (unsigned lane = 0; lane < t.lanes; ++lane) {
      const auto k = static_cast<unsigned>(symbols[lane]);
      const SymbolRange range = t.tables[lane]->range[k];
      const unsigned b = kWide && k != 0 ? t.low_bits[lane] : 0;
      const uint32_t offset = (states[lane] & 0xFFFF) - range.start;
      const uint32_t x = (uint32_t{range.frequency} >> b) * (states[lane] >> 16) + (offset >> b);
      // Neither a refill nor a sign can be predicted: both are taken in any case, and used or not.
      const bool need = x < 65536;
      const uint32_t refilled = x << 16 | load_u16(next);
      states[lane] = need ? refilled : x;
      next += need ? 2 : 0;
      const unsigned is_nonzero = k != 0;
      const unsigned is_negative = is_nonzero & (top[-1 - static_cast<ptrdiff_t>(bit >> 3)] >> (bit & 7));
      bit += is_nonzero;
      const unsigned magnitude = kHalf   ? t.half_values[k * t.width + lane]
                                 : kWide ? (k << b) - ((1u << b) - 1) + (offset & ((1u << b) - 1))
                                         : k;
      values[lane] = static_cast<Value>(kHalf ? magnitude | is_negative << 15
                                              : (magnitude ^ (0u - is_negative)) + is_negative);
      found.lanes[lane / 64] |= uint64_t{k == t.last[lane]} << lane % 64;
    }
    if ((found.lanes[0] | found.lanes[1]) != 0) job.escapes[job.n_escapes++] = found;
  }
  std::copy_n(states.begin(), t.lanes, job.states);
  stream.next = next;
  stream.top = top - static_cast<ptrdiff_t>(bit >> 3);
  stream.used = bit & 7;
  return step;
}

uint32_t decode_lanes(const LaneTables& tables, uint32_t steps, ValueType type, LaneJob* jobs, unsigned) {
  switch (type) {
    case ValueType::kInt8:
      return decode_rows<int8_t, ValueType::kInt8>(tables, steps, *jobs);
    case ValueType::kInt16:
      return decode_rows<int16_t, ValueType::kInt16>(tables, steps, *jobs);
    case ValueType::kWide:
      return decode_rows<int16_t, ValueType::kWide>(tables, steps, *jobs);
    case ValueType::kFloat16:
      break;
  }
  return decode_rows<uint16_t, ValueType::kFloat16>(tables, steps, *jobs);
}

template <class Value, bool kWide>
void collect_rows(const LaneTables& t, uint32_t steps, const void* const* rows, uint8_t* symbols,
                  uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  uint8_t* out = signs + n_bits / 64 * 8;
  unsigned n_held = n_bits % 64;
  uint64_t held = n_held == 0 ? 0 : load_u64(out);
  for (uint32_t step = 0; step < steps; ++step, symbols += (kWide ? 2 : 1) * t.width) {
    const auto* const values = static_cast<const Value*>(rows[step]);
    EscapeStep found{step, {0, 0}};
    for (unsigned lane = 0; lane < t.lanes; ++lane) {
      const int value = values[lane];
      const uint64_t is_negative = value < 0;
      const unsigned magnitude = static_cast<unsigned>(value < 0 ? -value : value), last = t.last[lane];
      const unsigned low_mask = kWide ? t.low_scale[lane] - 1u : 0;
      const unsigned k = kWide ? (magnitude + low_mask) >> t.low_bits[lane] : magnitude;
      symbols[lane] = static_cast<uint8_t>(k < last ? k : last);
      if (kWide) symbols[t.width + lane] = static_cast<uint8_t>((magnitude - (magnitude != 0)) & low_mask);
      found.lanes[lane / 64] |= uint64_t{k >= last} << lane % 64;
      held |= is_negative << n_held;
      n_held += value != 0;
      if (n_held == 64) {
        store_u64(out, held);
        out += 8;
        held = n_held = 0;
      }
    }
    if ((found.lanes[0] | found.lanes[1]) != 0) escapes[(*n_escapes)++] = found;
  }
  store_u64(out, held);
  n_bits = static_cast<size_t>(out - signs) * 8 + n_held;
}

void collect_lanes(const LaneTables& t, uint32_t steps, ValueType type, const void* const* rows,
                   uint8_t* symbols, uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  const auto collect = type == ValueType::kInt8   ? collect_rows<int8_t, false>
                       : type == ValueType::kWide ? collect_rows<int16_t, true>
                                                  : collect_rows<int16_t, false>;
  collect(t, steps, rows, symbols, signs, n_bits, escapes, n_escapes);
}

void encode_lanes(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                  uint16_t*& top) {
  const bool is_wide = t.low_bits != nullptr;
  const size_t row_bytes = size_t{t.width} * (is_wide ? 2 : 1);
  const uint8_t* row = symbols + steps * row_bytes;
  for (uint32_t step = steps; step-- > 0;) {
    row -= row_bytes;
    if (is_wide) {
      for (unsigned lane = t.lanes; lane-- > 0;)
        states[lane] = push<true>(states[lane], *t.tables[lane], row[lane], row[t.width + lane], top);
    } else {
      for (unsigned lane = t.lanes; lane-- > 0;)
        states[lane] = push<false>(states[lane], *t.tables[lane], row[lane], 0, top);
    }
  }
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

const Kernels kScalarKernels = {
    "scalar",      decode_run,   nullptr,         encode_run,           decode_lanes, 1,
    collect_lanes, encode_lanes, reconstruct_row, reconstruct_half_row, quantise_row, crc32c_register};

}  // namespace swathpack
