// AVX2: 16 lanes to a vector. Needs BMI2 (pdep and pext place and collect sign bits) and FMA.
#include <immintrin.h>

#include <utility>

#include "isa/crc32c_sse42.h"
#include "isa/kernels.h"

namespace swathpack {
namespace {

#include "isa/lanes.h"
#include "isa/rows.h"

// Words for the lanes of an 8-bit mask, in both directions, as indices for a byte shuffle.
struct ShuffleTables {
  alignas(64) uint8_t expand[256][16];  // word i of the source to the i-th lane of the mask, others become 0
  alignas(64) uint8_t compress[256][16];  // the lanes of the mask, in order, to the upper end of the register
  constexpr ShuffleTables() : expand{}, compress{} {
    for (unsigned mask = 0; mask < 256; ++mask) {
      unsigned n = 0, n_set = 0;
      for (unsigned lane = 0; lane < 8; ++lane) n_set += mask >> lane & 1;
      for (unsigned j = 0; j < 16; ++j) expand[mask][j] = compress[mask][j] = 0x80;
      for (unsigned lane = 0; lane < 8; ++lane) {
        if ((mask >> lane & 1) == 0) continue;
        for (unsigned j = 0; j < 2; ++j) {
          expand[mask][2 * lane + j] = static_cast<uint8_t>(2 * n + j);
          compress[mask][2 * (8 - n_set + n) + j] = static_cast<uint8_t>(2 * lane + j);
        }
        ++n;
      }
    }
  }
};
constexpr ShuffleTables kShuffles;

struct Avx2 {
  static constexpr unsigned kWidth = 16;
  using Vector = __m256i;
  using Mask = __m256i;  // all ones in a lane, or zero

  template <ValueType kType>
  struct Found {
    Vector value;                     // symbol index, or float16 bits
    Vector below_first, below_final;  // float16: slot < T_1, slot < T_K
  };

  static Vector load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static Mask mask(const uint16_t* present) { return load(present); }

  static void split(const uint32_t* states, Mask present, Vector& hi, Vector& lo) {
    const __m256i a = load(states), b = load(states + 8), low = _mm256_set1_epi32(0xFFFF);
    const __m256i l = _mm256_packus_epi32(_mm256_and_si256(a, low), _mm256_and_si256(b, low));
    const __m256i h = _mm256_packus_epi32(_mm256_srli_epi32(a, 16), _mm256_srli_epi32(b, 16));
    lo = _mm256_and_si256(_mm256_permute4x64_epi64(l, 0xD8), present);
    hi = _mm256_and_si256(_mm256_permute4x64_epi64(h, 0xD8), present);
  }
  static void join(uint32_t* states, Mask present, Vector hi, Vector lo) {
    const __m256i l = _mm256_permute4x64_epi64(lo, 0xD8), h = _mm256_permute4x64_epi64(hi, 0xD8);
    const __m256i p = _mm256_permute4x64_epi64(present, 0xD8);
    auto* out = reinterpret_cast<int*>(states);
    _mm256_maskstore_epi32(out, _mm256_unpacklo_epi16(p, p), _mm256_unpacklo_epi16(l, h));
    _mm256_maskstore_epi32(out + 8, _mm256_unpackhi_epi16(p, p), _mm256_unpackhi_epi16(l, h));
  }

  // The differences slot − T_k modulo 2^16: that of the last threshold at or below the slot is the smallest
  // and gives the offset in the symbol's range, that of the first one above is the largest and gives its end.
  template <unsigned kK, ValueType kType>
  static void search(const LaneTables& t, unsigned v, Vector slot, Vector& offset, Vector& frequency,
                     Found<kType>& found) {
    const Vector biased = _mm256_xor_si256(slot, _mm256_set1_epi16(-32768));
    const uint16_t* thresholds = t.thresholds + v * kWidth;
    Vector low = slot, high = slot;
    Vector value;
    const unsigned n = kK != 0 ? kK : t.n_thresholds;
    if constexpr (kType == ValueType::kFloat16) {
      value = load(t.half_values + n * t.width + v * kWidth);
      if constexpr (kK == 0) found.below_first = _mm256_cmpgt_epi16(load(t.first + v * kWidth), biased);
      found.below_final = _mm256_cmpgt_epi16(load(t.final + v * kWidth), biased);
    } else {
      value = load(t.last + v * kWidth);
    }
    // Downward, so that the value of the symbol below the lowest threshold above the slot is the one that
    // stays.
#pragma GCC unroll 8
    for (unsigned i = 0; i < n; ++i) {
      const unsigned k = n - 1 - i;
      const Vector threshold = load(thresholds + k * t.width);
      const Vector difference = _mm256_sub_epi16(biased, threshold);
      const Vector above = _mm256_cmpgt_epi16(threshold, biased);
      low = _mm256_min_epu16(low, difference);
      high = _mm256_max_epu16(high, difference);
      if constexpr (kType == ValueType::kFloat16) {
        value = _mm256_blendv_epi8(value, load(t.half_values + k * t.width + v * kWidth), above);
        if (kK != 0 && k == 0) found.below_first = above;  // where all lanes are there, T_1 is the last one
      } else {
        value = _mm256_add_epi16(value, above);
      }
    }
    offset = low;
    frequency = _mm256_sub_epi16(low, high);
    if constexpr (kType == ValueType::kWide) value = take_low_bits(t, v, value, offset, frequency);
    found.value = value;
  }

  // The magnitudes of symbols k: their ranges are cut into 2^b for k > 0 (§5.3), and the low bits of the
  // offset say which. v >> b is the upper half of v · 2^(16 − b); of v · 0 where b is 0.
  static Vector take_low_bits(const LaneTables& t, unsigned v, Vector k, Vector& offset, Vector& frequency) {
    const Vector zero = _mm256_setzero_si256(), scale = load(t.low_scale + v * kWidth);
    const Vector low_mask = _mm256_add_epi16(scale, _mm256_set1_epi16(-1));
    const Vector half_inverse = load(t.low_inverse + v * kWidth);
    const Vector inverse = _mm256_add_epi16(half_inverse, half_inverse);
    const Mask is_zero = _mm256_cmpeq_epi16(k, zero);
    const Mask stays = _mm256_or_si256(is_zero, _mm256_cmpeq_epi16(low_mask, zero));
    const Vector above = _mm256_sub_epi16(_mm256_mullo_epi16(k, scale), low_mask);
    const Vector rest = _mm256_and_si256(offset, low_mask);
    offset = _mm256_blendv_epi8(_mm256_mulhi_epu16(offset, inverse), offset, stays);
    frequency = _mm256_blendv_epi8(_mm256_mulhi_epu16(frequency, inverse), frequency, stays);
    return _mm256_andnot_si256(is_zero, _mm256_add_epi16(above, rest));
  }

  // Two bits for each lane, so that their number is that of bytes; and one.
  static uint32_t byte_bits(Mask m) { return static_cast<uint32_t>(_mm256_movemask_epi8(m)); }
  static uint32_t lane_bits(Mask m) { return _pext_u32(byte_bits(m), 0x55555555); }

  // hi:lo ← frequency · hi + offset, where `hi` is what was above the slot.
  static void multiply(Vector hi, Vector offset, Vector frequency, Vector& upper, Vector& sum) {
    sum = _mm256_add_epi16(_mm256_mullo_epi16(frequency, hi), offset);
    // A carry exactly when the sum is below what was added to it.
    const Vector carry = _mm256_min_epu16(_mm256_subs_epu16(offset, sum), _mm256_set1_epi16(1));
    upper = _mm256_add_epi16(_mm256_mulhi_epu16(frequency, hi), carry);
  }

  template <bool kPartial>
  static void advance(Vector& hi, Vector& lo, Vector offset, Vector frequency, Mask present,
                      const uint8_t*& next) {
    Vector upper, sum;
    multiply(hi, offset, frequency, upper, sum);
    Mask need = _mm256_cmpeq_epi16(upper, _mm256_setzero_si256());
    if constexpr (kPartial) need = _mm256_and_si256(need, present);
    const uint32_t bytes = byte_bits(need), lanes = _pext_u32(bytes, 0x55555555);
    const auto expand = [](const uint8_t* words, uint32_t which) {
      const auto* const order = reinterpret_cast<const __m128i*>(kShuffles.expand[which]);
      return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(words)),
                              _mm_load_si128(order));
    };
    const __m128i low = expand(next, lanes & 0xFF);
    const __m128i high = expand(next + __builtin_popcount(bytes & 0xFFFF), lanes >> 8);
    next += __builtin_popcount(bytes);
    hi = _mm256_blendv_epi8(upper, sum, need);
    lo = _mm256_blendv_epi8(sum, _mm256_set_m128i(high, low), need);
  }

  // For records side by side.
  static Vector all_lanes(uint16_t number) { return _mm256_set1_epi16(static_cast<int16_t>(number)); }
  static Vector minus(Vector a, Vector b) { return _mm256_sub_epi16(a, b); }
  static Vector plus(Vector a, Vector b) { return _mm256_add_epi16(a, b); }
  static Vector both(Vector a, Vector b) { return _mm256_and_si256(a, b); }
  static Vector shifted_where_nonzero(Vector where, Vector value, unsigned by) {
    const Vector shifted = _mm256_srl_epi16(value, _mm_cvtsi32_si128(static_cast<int>(by)));
    return _mm256_blendv_epi8(shifted, value, _mm256_cmpeq_epi16(where, _mm256_setzero_si256()));
  }
  static void store(uint16_t* to, Vector value) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
  }
  static void compare(Vector threshold, Vector slot, Vector& low, Vector& high, Vector& value) {
    const Vector difference = _mm256_sub_epi16(slot, threshold);
    low = _mm256_min_epu16(low, difference);
    high = _mm256_max_epu16(high, difference);
    const Vector at_or_below = _mm256_cmpeq_epi16(_mm256_max_epu16(slot, threshold), slot);
    value = _mm256_sub_epi16(value, _mm256_add_epi16(at_or_below, _mm256_set1_epi16(1)));
  }
  static uint32_t bits_of_zero(Vector value) {
    return lane_bits(_mm256_cmpeq_epi16(value, _mm256_setzero_si256()));
  }
  static uint32_t bits_of_nonzero(Vector value) { return bits_of_zero(value) ^ 0xFFFF; }
  static Mask mask_of(uint32_t bits) {
    const __m256i bit =
        _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768);
    return _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(static_cast<int16_t>(bits)), bit), bit);
  }
  static Vector select(Mask which, Vector where_set, Vector elsewhere) {
    return _mm256_blendv_epi8(elsewhere, where_set, which);
  }

  // 32 bits to 32 bytes, all ones or zero.
  static __m256i spread(uint32_t bits) {
    const __m256i which = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                           2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bit = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), which);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
  }
  // 32 masks of two vectors to 32 bits.
  static uint32_t bits_of(Mask a, Mask b) {
    return static_cast<uint32_t>(
        _mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xD8)));
  }
  static uint32_t take_signs(uint32_t nonzero, const uint8_t* top, size_t& bit) {
    const uint32_t signs = _pdep_u32(static_cast<uint32_t>(next_signs(top, bit)), nonzero);
    bit += static_cast<unsigned>(__builtin_popcount(nonzero));
    return signs;
  }

  // Gives the values of one step their signs and writes them; put() says whether one of them is an escape.
  template <unsigned V, ValueType kType>
  struct Row {
    static constexpr unsigned kPairs = (V + 1) / 2;
    __m256i escape[kType == ValueType::kInt8 ? kPairs : V];

    explicit Row(const LaneTables& t) {
      if constexpr (kType == ValueType::kInt8) {
        for (unsigned p = 0; p < kPairs; ++p)
          escape[p] = in_order(load(t.escape + 32 * p), load(t.escape + 32 * p + 16));
      } else {
        const uint16_t* const row = kType == ValueType::kWide ? t.low_final : t.escape;
        for (unsigned v = 0; v < V; ++v) escape[v] = load(row + 16 * v);
      }
    }

    // Two vectors of 16 numbers below 256 to 32 bytes.
    static __m256i in_order(Vector a, Vector b) {
      return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xD8);
    }

    [[gnu::always_inline]] bool put(const Found<kType>* found, uint8_t* row, const uint8_t* top,
                                    size_t& bit) const {
      const __m256i zero = _mm256_setzero_si256(), all = _mm256_set1_epi16(-1);
      __m256i escapes = zero;
#pragma GCC unroll 4
      for (unsigned p = 0; p < kPairs; ++p) {
        const unsigned a = 2 * p, b = V == 1 ? 0 : 2 * p + 1;
        const Vector va = found[a].value, vb = V == 1 ? zero : found[b].value;
        if constexpr (kType == ValueType::kInt8) {
          const __m256i bytes = in_order(va, vb);
          escapes = _mm256_or_si256(escapes, _mm256_cmpeq_epi8(bytes, escape[p]));
          const auto nonzero = ~static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, zero)));
          const __m256i negative = spread(take_signs(nonzero, top, bit));
          const __m256i value = _mm256_sub_epi8(_mm256_xor_si256(bytes, negative), negative);
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + 32 * p), value);
        } else {
          Mask za, zb;
          if constexpr (kType != ValueType::kFloat16) {
            const auto is_escape = [](Vector value, Vector limit) {
              return kType == ValueType::kWide ? _mm256_cmpgt_epi16(value, limit)
                                               : _mm256_cmpeq_epi16(value, limit);
            };
            za = _mm256_cmpeq_epi16(va, zero);
            zb = _mm256_cmpeq_epi16(vb, zero);
            escapes = _mm256_or_si256(escapes, is_escape(va, escape[a]));
            if (V > 1) escapes = _mm256_or_si256(escapes, is_escape(vb, escape[b]));
          } else {
            za = found[a].below_first;
            zb = V == 1 ? all : found[b].below_first;
            const Mask below =
                V == 1 ? found[a].below_final : _mm256_and_si256(found[a].below_final, found[b].below_final);
            escapes = _mm256_or_si256(escapes, _mm256_xor_si256(all, below));
          }
          const uint32_t zeros = lane_bits(za) | (V == 1 ? 0xFFFF : lane_bits(zb)) << 16;
          const uint32_t signs = take_signs(~zeros, top, bit);
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + 64 * p), with_signs(va, signs & 0xFFFF));
          if (V > 1)
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(row + 64 * p + 32), with_signs(vb, signs >> 16));
        }
      }
      return _mm256_testz_si256(escapes, escapes) == 0;
    }

    static Vector with_signs(Vector value, uint32_t signs) {
      const __m256i bits =
          _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, -32768);
      const __m256i negative =
          _mm256_cmpeq_epi16(_mm256_and_si256(_mm256_set1_epi16(static_cast<int16_t>(signs)), bits), bits);
      if constexpr (kType != ValueType::kFloat16)
        return _mm256_sub_epi16(_mm256_xor_si256(value, negative), negative);
      return _mm256_or_si256(value, _mm256_slli_epi16(negative, 15));
    }
  };

  template <ValueType kType>
  static uint64_t escape_lanes(const LaneTables& t, unsigned v, const Found<kType>& found) {
    if constexpr (kType == ValueType::kFloat16) return ~lane_bits(found.below_final) & 0xFFFF;
    if constexpr (kType == ValueType::kWide)
      return lane_bits(_mm256_cmpgt_epi16(found.value, load(t.low_final + v * kWidth)));
    return lane_bits(_mm256_cmpeq_epi16(found.value, load(t.escape + v * kWidth)));
  }

  template <unsigned kK>
  static void range_of(const LaneTables& t, unsigned v, const uint8_t* symbols, Vector& start,
                       Vector& frequency) {
    const Vector symbol = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(symbols)));
    const uint16_t *const starts = t.starts + v * kWidth, *const frequencies = t.frequencies + v * kWidth;
    start = _mm256_setzero_si256();
    frequency = load(frequencies);
    const Vector one = _mm256_set1_epi16(1), zero = _mm256_setzero_si256();
    Vector rest = symbol;  // symbol − k
#pragma GCC unroll 8
    for (unsigned k = 0; k < (kK != 0 ? kK : t.n_thresholds); ++k) {
      const Mask above = kK != 0 ? _mm256_cmpgt_epi16(symbol, _mm256_set1_epi16(static_cast<int16_t>(k)))
                                 : _mm256_cmpgt_epi16(rest, zero);
      start = _mm256_blendv_epi8(start, load(starts + (k + 1) * t.width), above);
      frequency = _mm256_blendv_epi8(frequency, load(frequencies + (k + 1) * t.width), above);
      if constexpr (kK == 0) rest = _mm256_sub_epi16(rest, one);
    }
  }

  // ⌊x / f⌋ by floating point: y = fl(fl(x) / f) has a relative error below 2^-22, so an absolute one below
  // 2^-6, and ⌊y − 2^-6⌋ is the quotient or one less; the remainder in integers decides.
  static __m256i quotient(__m256i hi, __m256i lo, __m256i f) {
    const __m256 h = _mm256_cvtepi32_ps(hi), l = _mm256_cvtepi32_ps(lo);
    const __m256 x = _mm256_fmadd_ps(h, _mm256_set1_ps(65536), l);
    const __m256 y = _mm256_sub_ps(_mm256_div_ps(x, _mm256_cvtepi32_ps(f)), _mm256_set1_ps(1.0f / 64));
    return _mm256_cvttps_epi32(y);
  }

  // hi:lo ← quotient : remainder of the state by the frequency, after a word where one is due.
  template <bool kPartial>
  static void retreat(Vector& hi, Vector& lo, Vector frequency, Mask present, uint8_t*& words) {
    const Vector zero = _mm256_setzero_si256();
    Mask due = _mm256_cmpeq_epi16(_mm256_max_epu16(hi, frequency), hi);
    if constexpr (kPartial) due = _mm256_and_si256(due, present);
    const uint32_t bytes = byte_bits(due), lanes = _pext_u32(bytes, 0x55555555);
    const auto compress = [](__m128i from, uint32_t which) {
      return _mm_shuffle_epi8(from,
                              _mm_load_si128(reinterpret_cast<const __m128i*>(kShuffles.compress[which])));
    };
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words - 16),
                     compress(_mm256_extracti128_si256(lo, 1), lanes >> 8));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(words - __builtin_popcount(bytes >> 16) - 16),
                     compress(_mm256_castsi256_si128(lo), lanes & 0xFF));
    words -= __builtin_popcount(bytes);
    const Vector low = _mm256_blendv_epi8(lo, hi, due), high = _mm256_andnot_si256(due, hi);

    const __m256i q_even = quotient(_mm256_unpacklo_epi16(high, zero), _mm256_unpacklo_epi16(low, zero),
                                    _mm256_unpacklo_epi16(frequency, zero));
    const __m256i q_odd = quotient(_mm256_unpackhi_epi16(high, zero), _mm256_unpackhi_epi16(low, zero),
                                   _mm256_unpackhi_epi16(frequency, zero));
    const Vector q = _mm256_packus_epi32(q_even, q_odd);
    // The remainder x − q · f < 2 · f may have 17 bits: its upper half, what is left above q · f, is 0 or 1.
    const Vector product = _mm256_mullo_epi16(q, frequency);
    const Vector rest = _mm256_sub_epi16(low, product);
    const Vector no_borrow = _mm256_cmpeq_epi16(_mm256_max_epu16(low, product), low);
    const Vector above = _mm256_add_epi16(_mm256_mulhi_epu16(q, frequency), no_borrow);
    const Mask is_small = _mm256_cmpeq_epi16(above, _mm256_add_epi16(high, _mm256_set1_epi16(-1)));
    const Mask is_rest =
        _mm256_andnot_si256(_mm256_cmpeq_epi16(_mm256_max_epu16(rest, frequency), rest), is_small);
    hi = _mm256_add_epi16(_mm256_sub_epi16(q, _mm256_set1_epi16(-1)), is_rest);
    lo = _mm256_sub_epi16(rest, _mm256_andnot_si256(is_rest, frequency));
  }

  // A row of symbols has one of low bits behind it.
  static Vector with_low_bits(const LaneTables& t, unsigned v, const uint8_t* symbols, Vector value) {
    const auto widened = [](const uint8_t* bytes) {
      return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
    };
    const Mask is_zero = _mm256_cmpeq_epi16(widened(symbols), _mm256_setzero_si256());
    const Vector scale = _mm256_blendv_epi8(load(t.low_scale + v * kWidth), _mm256_set1_epi16(1), is_zero);
    return _mm256_add_epi16(_mm256_mullo_epi16(value, scale), widened(symbols + t.width));
  }
};

uint32_t decode_lanes(const LaneTables& t, uint32_t steps, ValueType type, LaneJob* jobs, unsigned) {
  return decode_jobs<Avx2, 1>(t, steps, type, jobs);
}

void encode_lanes(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                  uint16_t*& top) {
  encode_any<Avx2>(t, steps, symbols, states, top);
}

// In bytes: magnitudes of int8 fit, and so do thresholds, of which a lane has no more than 255.
void collect_bytes(const LaneTables& t, uint32_t steps, const void* const* rows, uint8_t* symbols,
                   uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  SignSink sink(signs, n_bits);
  const unsigned n_vectors = (t.lanes + 31) / 32;
  __m256i last[kMostLanes / 32], escape[kMostLanes / 32];
  for (unsigned v = 0; v < n_vectors; ++v) {
    using Row = Avx2::Row<2, ValueType::kInt8>;
    last[v] = Row::in_order(Avx2::load(t.last + 32 * v), Avx2::load(t.last + 32 * v + 16));
    escape[v] = Row::in_order(Avx2::load(t.escape + 32 * v), Avx2::load(t.escape + 32 * v + 16));
  }
  const size_t width = t.width;
  for (uint32_t step = 0; step < steps; ++step, symbols += width) {
    __builtin_prefetch(rows[step + kRowsAhead]);
    uint64_t found[2] = {0, 0};
    for (unsigned v = 0; v < n_vectors; ++v) {
      const __m256i value = Avx2::load(static_cast<const int8_t*>(rows[step]) + 32 * v);
      const __m256i k = _mm256_min_epu8(_mm256_abs_epi8(value), last[v]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + 32 * v), k);
      const uint32_t nonzero = ~Avx2::byte_bits(_mm256_cmpeq_epi8(k, _mm256_setzero_si256()));
      sink.put(_pext_u32(Avx2::byte_bits(value), nonzero),
               static_cast<unsigned>(__builtin_popcount(nonzero)));
      found[v / 2] |= uint64_t{Avx2::byte_bits(_mm256_cmpeq_epi8(k, escape[v]))} << 32 * (v % 2);
    }
    if ((found[0] | found[1]) != 0) [[unlikely]]
      escapes[(*n_escapes)++] = {step, {found[0], found[1]}};
  }
  n_bits = sink.finish(signs);
}

template <bool kWide>
void collect_words(const LaneTables& tables, uint32_t steps, const void* const* rows, uint8_t* symbols,
                   uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  const LaneTables t = tables;  // a copy that nothing written below can change
  SignSink sink(signs, n_bits);
  const __m256i zero = _mm256_setzero_si256(), one = _mm256_set1_epi16(1);
  for (uint32_t step = 0; step < steps; ++step, symbols += (kWide ? 2 : 1) * t.width) {
    const auto* const values = static_cast<const int16_t*>(rows[step]);
    __builtin_prefetch(rows[step + kRowsAhead]);
    EscapeStep found{step, {0, 0}};
    for (unsigned lane = 0; lane < t.lanes; lane += 32) {
      __m256i k[2], is_escape[2], value[2], rest[2];
      for (unsigned i = 0; i < 2; ++i) {
        value[i] = Avx2::load(values + lane + 16 * i);
        const __m256i magnitude = _mm256_abs_epi16(value[i]), last = Avx2::load(t.last + lane + 16 * i);
        if constexpr (kWide) {
          // (magnitude − 1) >> b is the upper half of 2 · (magnitude − 1) · 2^(15 − b).
          const __m256i below = _mm256_sub_epi16(magnitude, one),
                        is_zero = _mm256_cmpeq_epi16(magnitude, zero);
          const __m256i inverse = Avx2::load(t.low_inverse + lane + 16 * i);
          const __m256i upper = _mm256_mulhi_epu16(_mm256_add_epi16(below, below), inverse);
          k[i] = _mm256_andnot_si256(is_zero, _mm256_min_epu16(_mm256_add_epi16(upper, one), last));
          const __m256i low_mask = _mm256_sub_epi16(Avx2::load(t.low_scale + lane + 16 * i), one);
          rest[i] = _mm256_andnot_si256(is_zero, _mm256_and_si256(below, low_mask));
        } else {
          k[i] = _mm256_min_epu16(magnitude, last);
        }
        is_escape[i] = _mm256_cmpeq_epi16(k[i], Avx2::load(t.escape + lane + 16 * i));
      }
      using Row = Avx2::Row<2, ValueType::kInt16>;
      const __m256i bytes = Row::in_order(k[0], k[1]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + lane), bytes);
      if constexpr (kWide) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + t.width + lane),
                            Row::in_order(rest[0], rest[1]));
      }
      const uint32_t nonzero = ~Avx2::byte_bits(_mm256_cmpeq_epi8(bytes, zero));
      sink.put(_pext_u32(Avx2::bits_of(value[0], value[1]), nonzero),
               static_cast<unsigned>(__builtin_popcount(nonzero)));
      found.lanes[lane / 64] |= uint64_t{Avx2::bits_of(is_escape[0], is_escape[1])} << lane % 64;
    }
    if ((found.lanes[0] | found.lanes[1]) != 0) [[unlikely]]
      escapes[(*n_escapes)++] = found;
  }
  n_bits = sink.finish(signs);
}

void collect_lanes(const LaneTables& t, uint32_t steps, ValueType type, const void* const* rows,
                   uint8_t* symbols, uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  const auto collect = type == ValueType::kInt8   ? collect_bytes
                       : type == ValueType::kWide ? collect_words<true>
                                                  : collect_words<false>;
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

}  // namespace

const Kernels kAvx2Kernels = {
    "avx2",       decode_run,      decode_records<Avx2>, encode_run,   decode_lanes,         1, collect_lanes,
    encode_lanes, reconstruct_row, reconstruct_half_row, quantise_row, crc32c_by_instruction};

}  // namespace swathpack
