// AArch64 Advanced SIMD: 8 lanes to a vector. What the x86-64 back ends do with pdep, pext and mask registers
// is done here with byte tables indexed by 8-bit masks.
#include <arm_acle.h>
#include <arm_neon.h>

#include <utility>

#include "isa/kernels.h"
#include "isa/processor.h"

namespace swathpack {
namespace {

#include "isa/lanes.h"
#include "isa/rows.h"

// For an 8-bit mask: which byte (or 16-bit word) of the source goes where. 0x80 gives 0.
struct ShuffleTables {
  alignas(64) uint8_t expand_words[256][16];  // word i of the source to the i-th lane of the mask
  alignas(64) uint8_t
      compress_words[256][16];  // the lanes of the mask, in order, to the upper end of the register
  alignas(64) uint8_t expand_bytes[256][8];    // byte i to the i-th lane of the mask
  alignas(64) uint8_t compress_bytes[256][8];  // the lanes of the mask, in order, to the lower end
  uint8_t count[256];
  constexpr ShuffleTables() : expand_words{}, compress_words{}, expand_bytes{}, compress_bytes{}, count{} {
    for (unsigned mask = 0; mask < 256; ++mask) {
      unsigned n = 0, n_set = 0;
      for (unsigned lane = 0; lane < 8; ++lane) n_set += mask >> lane & 1;
      count[mask] = static_cast<uint8_t>(n_set);
      for (unsigned j = 0; j < 16; ++j) expand_words[mask][j] = compress_words[mask][j] = 0x80;
      for (unsigned j = 0; j < 8; ++j) expand_bytes[mask][j] = compress_bytes[mask][j] = 0x80;
      for (unsigned lane = 0; lane < 8; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        for (unsigned j = 0; j < 2; ++j) {
          expand_words[mask][2 * lane + j] = static_cast<uint8_t>(2 * n + j);
          compress_words[mask][2 * (8 - n_set + n) + j] = static_cast<uint8_t>(2 * lane + j);
        }
        expand_bytes[mask][lane] = static_cast<uint8_t>(n);
        compress_bytes[mask][n] = static_cast<uint8_t>(lane);
        ++n;
      }
    }
  }
};
constexpr ShuffleTables kShuffles;

struct Neon {
  static constexpr unsigned kWidth = 8;
  using Vector = uint16x8_t;
  using Mask = uint16x8_t;  // all ones in a lane, or zero

  template <ValueType kType>
  struct Found {
    Vector value;                   // symbol index, or float16 bits
    Mask below_first, below_final;  // float16: slot < T_1, slot < T_K
  };

  static Vector load(const uint16_t* p) { return vld1q_u16(p); }
  static Mask mask(const uint16_t* present) { return load(present); }

  static void split(const uint32_t* states, Mask present, Vector& hi, Vector& lo) {
    const uint32x4_t a = vld1q_u32(states), b = vld1q_u32(states + 4);
    lo = vandq_u16(vcombine_u16(vmovn_u32(a), vmovn_u32(b)), present);
    hi = vandq_u16(vcombine_u16(vshrn_n_u32(a, 16), vshrn_n_u32(b, 16)), present);
  }
  // The state of four lanes from its halves.
  static uint32x4_t whole(uint16x4_t hi, uint16x4_t lo) {
    return vorrq_u32(vshll_n_u16(hi, 16), vmovl_u16(lo));
  }
  static void join(uint32_t* states, Mask present, Vector hi, Vector lo) {
    const auto put = [](uint32_t* to, uint16x4_t p, uint32x4_t x) {
      const uint32x4_t which = vreinterpretq_u32_s32(vmovl_s16(vreinterpret_s16_u16(p)));
      vst1q_u32(to, vbslq_u32(which, x, vld1q_u32(to)));
    };
    put(states, vget_low_u16(present), whole(vget_low_u16(hi), vget_low_u16(lo)));
    put(states + 4, vget_high_u16(present), whole(vget_high_u16(hi), vget_high_u16(lo)));
  }

  // The differences slot − T_k modulo 2^16: that of the last threshold at or below the slot is the smallest
  // and gives the offset in the symbol's range, that of the first one above is the largest and gives its end.
  template <unsigned kK, ValueType kType>
  static void search(const LaneTables& t, unsigned v, Vector slot, Vector& offset, Vector& frequency,
                     Found<kType>& found) {
    const Vector biased = veorq_u16(slot, vdupq_n_u16(0x8000));
    const uint16_t* thresholds = t.thresholds + v * kWidth;
    const unsigned n = kK != 0 ? kK : t.n_thresholds;
    Vector low = slot, high = slot, value;
    if constexpr (kType == ValueType::kFloat16) {
      value = load(t.half_values + n * t.width + v * kWidth);
      found.below_first = above_slot(load(t.first + v * kWidth), biased);
      found.below_final = above_slot(load(t.final + v * kWidth), biased);
    } else {
      value = load(t.last + v * kWidth);
    }
    // Downward, so that the value of the symbol below the lowest threshold above the slot is the one that
    // stays.
#pragma GCC unroll 8
    for (unsigned i = 0; i < n; ++i) {
      const unsigned k = n - 1 - i;
      const Vector threshold = load(thresholds + k * t.width);
      const Vector difference = vsubq_u16(biased, threshold);
      const Mask above = above_slot(threshold, biased);
      low = vminq_u16(low, difference);
      high = vmaxq_u16(high, difference);
      if constexpr (kType == ValueType::kFloat16) {
        value = vbslq_u16(above, load(t.half_values + k * t.width + v * kWidth), value);
      } else {
        value = vaddq_u16(value, above);
      }
    }
    offset = low;
    frequency = vsubq_u16(low, high);
    if constexpr (kType == ValueType::kWide) value = take_low_bits(t, v, value, offset, frequency);
    found.value = value;
  }

  // The magnitudes of symbols k: their ranges are cut into 2^b for k > 0 (§5.3), and the low bits of the
  // offset say which. A shift to the left by a negative number is one to the right.
  static Vector take_low_bits(const LaneTables& t, unsigned v, Vector k, Vector& offset, Vector& frequency) {
    const Mask nonzero = vtstq_u16(k, k);
    const Vector low_mask = vsubq_u16(load(t.low_scale + v * kWidth), vdupq_n_u16(1));
    const int16x8_t bits = vreinterpretq_s16_u16(vandq_u16(load(t.low_bits + v * kWidth), nonzero));
    const Vector above = vsubq_u16(vshlq_u16(k, bits), low_mask);
    const Vector value = vandq_u16(nonzero, vaddq_u16(above, vandq_u16(offset, low_mask)));
    offset = vshlq_u16(offset, vnegq_s16(bits));
    frequency = vshlq_u16(frequency, vnegq_s16(bits));
    return value;
  }
  static Mask above_slot(Vector threshold, Vector biased) {
    return vcgtq_s16(vreinterpretq_s16_u16(threshold), vreinterpretq_s16_u16(biased));
  }

  static unsigned lane_bits(Mask m) {
    static constexpr uint16_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    return vaddvq_u16(vandq_u16(m, load(kBits)));
  }
  static void product(Vector a, Vector b, Vector& low, Vector& high) {
    const Vector p = vreinterpretq_u16_u32(vmull_u16(vget_low_u16(a), vget_low_u16(b)));
    const Vector q = vreinterpretq_u16_u32(vmull_high_u16(a, b));
    low = vuzp1q_u16(p, q);
    high = vuzp2q_u16(p, q);
  }

  // hi:lo ← frequency · hi + offset, where `hi` is what was above the slot.
  static void multiply(Vector hi, Vector offset, Vector frequency, Vector& upper, Vector& sum) {
    Vector low, high;
    product(frequency, hi, low, high);
    sum = vaddq_u16(low, offset);
    // A carry exactly when the sum is below what was added to it.
    upper = vsubq_u16(high, vcltq_u16(sum, offset));
  }

  template <bool kPartial>
  static void advance(Vector& hi, Vector& lo, Vector offset, Vector frequency, Mask present,
                      const uint8_t*& next) {
    Vector upper, sum;
    multiply(hi, offset, frequency, upper, sum);
    Mask need = vceqzq_u16(upper);
    if constexpr (kPartial) need = vandq_u16(need, present);
    const unsigned lanes = lane_bits(need);
    const Vector words =
        vreinterpretq_u16_u8(vqtbl1q_u8(vld1q_u8(next), vld1q_u8(kShuffles.expand_words[lanes])));
    next += 2 * kShuffles.count[lanes];
    hi = vbslq_u16(need, sum, upper);
    lo = vbslq_u16(need, words, sum);
  }

  // For records side by side.
  static Vector all_lanes(uint16_t number) { return vdupq_n_u16(number); }
  static Vector minus(Vector a, Vector b) { return vsubq_u16(a, b); }
  static Vector plus(Vector a, Vector b) { return vaddq_u16(a, b); }
  static Vector both(Vector a, Vector b) { return vandq_u16(a, b); }
  static Vector shifted_where_nonzero(Vector where, Vector value, unsigned by) {
    const Vector bits = vandq_u16(vtstq_u16(where, where), vdupq_n_u16(static_cast<uint16_t>(by)));
    return vshlq_u16(value, vnegq_s16(vreinterpretq_s16_u16(bits)));
  }
  static void store(uint16_t* to, Vector value) { vst1q_u16(to, value); }
  static void compare(Vector threshold, Vector slot, Vector& low, Vector& high, Vector& value) {
    const Vector difference = vsubq_u16(slot, threshold);
    low = vminq_u16(low, difference);
    high = vmaxq_u16(high, difference);
    value = vaddq_u16(value, vcgtq_u16(threshold, slot));
  }
  static uint32_t bits_of_zero(Vector value) { return lane_bits(vceqzq_u16(value)); }
  static uint32_t bits_of_nonzero(Vector value) { return lane_bits(vtstq_u16(value, value)); }
  static Mask mask_of(uint32_t bits) {
    static constexpr uint16_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    return vtstq_u16(vdupq_n_u16(static_cast<uint16_t>(bits)), load(kBits));
  }
  static Vector select(Mask which, Vector where_set, Vector elsewhere) {
    return vbslq_u16(which, where_set, elsewhere);
  }

  // Of 8 lanes: all ones where a sign bit says negative.
  static uint8x8_t take_signs(unsigned nonzero, const uint8_t* top, size_t& bit) {
    static constexpr uint8_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x8_t signs = vtst_u8(vdup_n_u8(static_cast<uint8_t>(next_signs(top, bit))), vld1_u8(kBits));
    bit += kShuffles.count[nonzero];
    return vtbl1_u8(signs, vld1_u8(kShuffles.expand_bytes[nonzero]));
  }

  // Gives the values of one step their signs and writes them; put() says whether one of them is an escape.
  template <unsigned V, ValueType kType>
  struct Row {
    Vector escape[V];

    explicit Row(const LaneTables& t) {
      const uint16_t* const row = kType == ValueType::kWide ? t.low_final : t.escape;
      for (unsigned v = 0; v < V; ++v) escape[v] = load(row + kWidth * v);
    }

    [[gnu::always_inline]] bool put(const Found<kType>* found, uint8_t* row, const uint8_t* top,
                                    size_t& bit) const {
      Mask escapes = vdupq_n_u16(0);
#pragma GCC unroll 8
      for (unsigned v = 0; v < V; ++v) {
        const Vector value = found[v].value;
        Mask is_zero;
        if constexpr (kType == ValueType::kFloat16) {
          is_zero = found[v].below_first;
          escapes = vorrq_u16(escapes, vmvnq_u16(found[v].below_final));
        } else {
          is_zero = vceqzq_u16(value);
          escapes = vorrq_u16(
              escapes, kType == ValueType::kWide ? vcgtq_u16(value, escape[v]) : vceqq_u16(value, escape[v]));
        }
        const uint8x8_t negative = take_signs(lane_bits(vmvnq_u16(is_zero)), top, bit);
        if constexpr (kType == ValueType::kInt8) {
          vst1_u8(row + 8 * v, vsub_u8(veor_u8(vmovn_u16(value), negative), negative));
        } else {
          const Mask wide = vreinterpretq_u16_s16(vmovl_s8(vreinterpret_s8_u8(negative)));
          const Vector with_sign = kType == ValueType::kFloat16 ? vorrq_u16(value, vshlq_n_u16(wide, 15))
                                                                : vsubq_u16(veorq_u16(value, wide), wide);
          vst1q_u8(row + 16 * v, vreinterpretq_u8_u16(with_sign));
        }
      }
      return vmaxvq_u16(escapes) != 0;
    }
  };

  template <ValueType kType>
  static uint64_t escape_lanes(const LaneTables& t, unsigned v, const Found<kType>& found) {
    if constexpr (kType == ValueType::kFloat16) return lane_bits(vmvnq_u16(found.below_final));
    if constexpr (kType == ValueType::kWide)
      return lane_bits(vcgtq_u16(found.value, load(t.low_final + v * kWidth)));
    return lane_bits(vceqq_u16(found.value, load(t.escape + v * kWidth)));
  }

  template <unsigned kK>
  static void range_of(const LaneTables& t, unsigned v, const uint8_t* symbols, Vector& start,
                       Vector& frequency) {
    const Vector symbol = vmovl_u8(vld1_u8(symbols));
    const uint16_t *const starts = t.starts + v * kWidth, *const frequencies = t.frequencies + v * kWidth;
    start = vdupq_n_u16(0);
    frequency = load(frequencies);
#pragma GCC unroll 8
    for (unsigned k = 0; k < (kK != 0 ? kK : t.n_thresholds); ++k) {
      const Mask above = vcgtq_u16(symbol, vdupq_n_u16(static_cast<uint16_t>(k)));
      start = vbslq_u16(above, load(starts + (k + 1) * t.width), start);
      frequency = vbslq_u16(above, load(frequencies + (k + 1) * t.width), frequency);
    }
  }

  // ⌊x / f⌋ by floating point: y = fl(fl(x) / f) has a relative error below 2^-22, so an absolute one below
  // 2^-6, and ⌊y − 2^-6⌋ is the quotient or one less; the remainder in integers decides.
  static uint16x4_t quotient(uint32x4_t x, uint16x4_t f) {
    const float32x4_t y = vdivq_f32(vcvtq_f32_u32(x), vcvtq_f32_u32(vmovl_u16(f)));
    return vqmovn_u32(vcvtq_u32_f32(vsubq_f32(y, vdupq_n_f32(1.0f / 64))));
  }

  // hi:lo ← quotient : remainder of the state by the frequency, after a word where one is due.
  template <bool kPartial>
  static void retreat(Vector& hi, Vector& lo, Vector frequency, Mask present, uint8_t*& words) {
    Mask due = vcgeq_u16(hi, frequency);
    if constexpr (kPartial) due = vandq_u16(due, present);
    const unsigned lanes = lane_bits(due);
    vst1q_u8(words - 16, vqtbl1q_u8(vreinterpretq_u8_u16(lo), vld1q_u8(kShuffles.compress_words[lanes])));
    words -= 2 * kShuffles.count[lanes];
    const Vector low = vbslq_u16(due, hi, lo), high = vbicq_u16(hi, due);

    const Vector q =
        vcombine_u16(quotient(whole(vget_low_u16(high), vget_low_u16(low)), vget_low_u16(frequency)),
                     quotient(whole(vget_high_u16(high), vget_high_u16(low)), vget_high_u16(frequency)));
    // The remainder x − q · f < 2 · f may have 17 bits: its upper half is 0 or 1.
    Vector product_low, product_high;
    product(q, frequency, product_low, product_high);
    const Vector rest = vsubq_u16(low, product_low);
    const Mask borrow = vcltq_u16(low, product_low);
    const Vector over = vaddq_u16(vsubq_u16(high, product_high), borrow);
    const Mask once_more = vorrq_u16(vtstq_u16(over, over), vcgeq_u16(rest, frequency));
    hi = vsubq_u16(q, once_more);
    lo = vsubq_u16(rest, vandq_u16(once_more, frequency));
  }

  // A row of symbols has one of low bits behind it.
  static Vector with_low_bits(const LaneTables& t, unsigned v, const uint8_t* symbols, Vector value) {
    const Vector symbol = vmovl_u8(vld1_u8(symbols));
    const Vector bits = vandq_u16(vtstq_u16(symbol, symbol), load(t.low_bits + v * kWidth));
    return vaddq_u16(vshlq_u16(value, vreinterpretq_s16_u16(bits)), vmovl_u8(vld1_u8(symbols + t.width)));
  }
};

uint32_t decode_lanes(const LaneTables& t, uint32_t steps, ValueType type, LaneJob* jobs, unsigned) {
  return decode_jobs<Neon, 1>(t, steps, type, jobs);
}

void encode_lanes(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                  uint16_t*& top) {
  encode_any<Neon>(t, steps, symbols, states, top);
}

template <class Value, bool kWide>
void collect_rows(const LaneTables& tables, uint32_t steps, const void* const* rows, uint8_t* symbols,
                  uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  static constexpr uint8_t kBits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  const LaneTables t = tables;  // a copy that nothing written below can change
  SignSink sink(signs, n_bits);
  for (uint32_t step = 0; step < steps; ++step, symbols += (kWide ? 2 : 1) * t.width) {
    const auto* values = static_cast<const Value*>(rows[step]);
    __builtin_prefetch(rows[step + kRowsAhead]);
    EscapeStep found{step, {0, 0}};
    for (unsigned lane = 0; lane < t.lanes; lane += 8) {
      int16x8_t value;
      if constexpr (sizeof(Value) == 1) {
        value = vmovl_s8(vld1_s8(values + lane));
      } else {
        value = vld1q_s16(values + lane);
      }
      const uint16x8_t magnitude = vreinterpretq_u16_s16(vabsq_s16(value)), last = Neon::load(t.last + lane);
      uint16x8_t k;
      if constexpr (kWide) {
        const uint16x8_t one = vdupq_n_u16(1), below = vsubq_u16(magnitude, one);
        const uint16x8_t there = vtstq_u16(magnitude, magnitude);
        const int16x8_t bits = vreinterpretq_s16_u16(Neon::load(t.low_bits + lane));
        const uint16x8_t upper = vshlq_u16(below, vnegq_s16(bits));
        k = vandq_u16(there, vminq_u16(vaddq_u16(upper, one), last));
        const uint16x8_t low_mask = vsubq_u16(Neon::load(t.low_scale + lane), one);
        vst1_u8(symbols + t.width + lane, vmovn_u16(vandq_u16(there, vandq_u16(below, low_mask))));
      } else {
        k = vminq_u16(magnitude, last);
      }
      const unsigned is_escape = Neon::lane_bits(vceqq_u16(k, Neon::load(t.escape + lane)));
      const unsigned nonzero = Neon::lane_bits(vtstq_u16(k, k));
      vst1_u8(symbols + lane, vmovn_u16(k));
      const uint8x8_t negative = vmovn_u16(vcltzq_s16(value));
      const uint8x8_t in_order = vtbl1_u8(negative, vld1_u8(kShuffles.compress_bytes[nonzero]));
      sink.put(vaddv_u8(vand_u8(in_order, vld1_u8(kBits))), kShuffles.count[nonzero]);
      found.lanes[lane / 64] |= uint64_t{is_escape} << lane % 64;
    }
    if ((found.lanes[0] | found.lanes[1]) != 0) [[unlikely]]
      escapes[(*n_escapes)++] = found;
  }
  n_bits = sink.finish(signs);
}

void collect_lanes(const LaneTables& t, uint32_t steps, ValueType type, const void* const* rows,
                   uint8_t* symbols, uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  const auto collect = type == ValueType::kInt8   ? collect_rows<int8_t, false>
                       : type == ValueType::kWide ? collect_rows<int16_t, true>
                                                  : collect_rows<int16_t, false>;
  collect(t, steps, rows, symbols, signs, n_bits, escapes, n_escapes);
}

// One lane is not a matter of vectors.
RunEnd decode_run(const Table& table, uint32_t n, uint32_t run, bool long_form, uint32_t& state,
                  WordSource& words, Nonzero* out, size_t* count, size_t capacity) {
  return kScalarKernels.decode_run(table, n, run, long_form, state, words, out, count, capacity);
}
void encode_run(const Table& table, size_t n, const uint8_t* symbols, const uint8_t* low, uint32_t& state,
                uint16_t*& top) {
  kScalarKernels.encode_run(table, n, symbols, low, state, top);
}

[[gnu::target("+crc")]] uint32_t crc32c_by_instruction(uint32_t state, const uint8_t* data, size_t n) {
  for (; n >= 8; data += 8, n -= 8) {
    uint64_t word;
    __builtin_memcpy(&word, data, 8);
    state = __crc32cd(state, word);
  }
  for (; n > 0; --n) state = __crc32cb(state, *data++);
  return state;
}
uint32_t crc32c_register(uint32_t state, const uint8_t* data, size_t n) {
  return processor().crc32 ? crc32c_by_instruction(state, data, n)
                           : kScalarKernels.crc32c_register(state, data, n);
}

}  // namespace

const Kernels kNeonKernels = {
    "neon",        decode_run,   decode_records<Neon>, encode_run,           decode_lanes, 1,
    collect_lanes, encode_lanes, reconstruct_row,      reconstruct_half_row, quantise_row, crc32c_register};

}  // namespace swathpack
