// AVX-512 with VBMI2 (Ice Lake, Zen 4 and later): 32 lanes to a vector, comparisons into mask registers, and
// the instructions that expand and compress 16-bit words.
#include <immintrin.h>

#include <utility>

#include "isa/crc32c_sse42.h"
#include "isa/kernels.h"

namespace swathpack {
namespace {

#include "isa/lanes.h"
#include "isa/rows.h"

struct Avx512 {
  static constexpr unsigned kWidth = 32;
  using Vector = __m512i;
  using Mask = __mmask32;

  template <ValueType kType>
  struct Found {
    Vector value;                   // symbol index, or float16 bits
    Mask below_first, below_final;  // float16: slot < T_1, slot < T_K
  };

  static Vector load(const void* p) { return _mm512_loadu_si512(p); }
  static Mask mask(const uint16_t* present) {
    const Vector v = load(present);
    return _mm512_test_epi16_mask(v, v);
  }

  static void split(const uint32_t* states, Mask present, Vector& hi, Vector& lo) {
    const auto low = static_cast<__mmask16>(present), high = static_cast<__mmask16>(present >> 16);
    const __m512i a = _mm512_maskz_loadu_epi32(low, states), b = _mm512_maskz_loadu_epi32(high, states + 16);
    lo = together(_mm512_cvtepi32_epi16(a), _mm512_cvtepi32_epi16(b));
    hi = together(_mm512_cvtepi32_epi16(_mm512_srli_epi32(a, 16)),
                  _mm512_cvtepi32_epi16(_mm512_srli_epi32(b, 16)));
  }
  static Vector together(__m256i a, __m256i b) { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }
  static void join(uint32_t* states, Mask present, Vector hi, Vector lo) {
    const auto state = [](__m256i h, __m256i l) {
      return _mm512_or_si512(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16), _mm512_cvtepu16_epi32(l));
    };
    const __m512i a = state(_mm512_castsi512_si256(hi), _mm512_castsi512_si256(lo));
    const __m512i b = state(_mm512_extracti64x4_epi64(hi, 1), _mm512_extracti64x4_epi64(lo, 1));
    _mm512_mask_storeu_epi32(states, static_cast<__mmask16>(present), a);
    _mm512_mask_storeu_epi32(states + 16, static_cast<__mmask16>(present >> 16), b);
  }

  // The differences slot − T_k modulo 2^16: that of the last threshold at or below the slot is the smallest
  // and gives the offset in the symbol's range, that of the first one above is the largest and gives its end.
  template <unsigned kK, ValueType kType>
  static void search(const LaneTables& t, unsigned v, Vector slot, Vector& offset, Vector& frequency,
                     Found<kType>& found) {
    const Vector biased = _mm512_xor_si512(slot, _mm512_set1_epi16(-32768)),
                 minus_one = _mm512_set1_epi16(-1);
    const uint16_t* thresholds = t.thresholds + v * kWidth;
    const unsigned n = kK != 0 ? kK : t.n_thresholds;
    Vector low = slot, high = slot, value;
    if constexpr (kType == ValueType::kFloat16) {
      value = load(t.half_values + n * t.width + v * kWidth);
      if constexpr (kK == 0) found.below_first = _mm512_cmpgt_epi16_mask(load(t.first + v * kWidth), biased);
      found.below_final = _mm512_cmpgt_epi16_mask(load(t.final + v * kWidth), biased);
    } else {
      value = load(t.last + v * kWidth);
    }
    // Downward, so that the value of the symbol below the lowest threshold above the slot is the one that
    // stays.
#pragma GCC unroll 8
    for (unsigned i = 0; i < n; ++i) {
      const unsigned k = n - 1 - i;
      const Vector threshold = load(thresholds + k * t.width);
      const Vector difference = _mm512_sub_epi16(biased, threshold);
      const Mask above = _mm512_cmpgt_epi16_mask(threshold, biased);
      low = _mm512_min_epu16(low, difference);
      high = _mm512_max_epu16(high, difference);
      if constexpr (kType == ValueType::kFloat16) {
        value = _mm512_mask_mov_epi16(value, above, load(t.half_values + k * t.width + v * kWidth));
        if (kK != 0 && k == 0) found.below_first = above;  // where all lanes are there, T_1 is the last one
      } else {
        value = _mm512_mask_add_epi16(value, above, value, minus_one);
      }
    }
    offset = low;
    frequency = _mm512_sub_epi16(low, high);
    if constexpr (kType == ValueType::kWide) value = take_low_bits(t, v, value, offset, frequency);
    found.value = value;
  }

  // The magnitudes of symbols k: their ranges are cut into 2^b for k > 0 (§5.3), and the low bits of the
  // offset say which.
  static Vector take_low_bits(const LaneTables& t, unsigned v, Vector k, Vector& offset, Vector& frequency) {
    const Mask nonzero = _mm512_test_epi16_mask(k, k);
    const Vector bits = load(t.low_bits + v * kWidth);
    const Vector low_mask = _mm512_add_epi16(load(t.low_scale + v * kWidth), _mm512_set1_epi16(-1));
    const Vector above = _mm512_sub_epi16(_mm512_sllv_epi16(k, bits), low_mask);
    const Vector value = _mm512_maskz_add_epi16(nonzero, above, _mm512_and_si512(offset, low_mask));
    offset = _mm512_mask_srlv_epi16(offset, nonzero, offset, bits);
    frequency = _mm512_mask_srlv_epi16(frequency, nonzero, frequency, bits);
    return value;
  }

  // hi:lo ← frequency · hi + offset, where `hi` is what was above the slot.
  static void multiply(Vector hi, Vector offset, Vector frequency, Vector& upper, Vector& sum) {
    sum = _mm512_add_epi16(_mm512_mullo_epi16(frequency, hi), offset);
    // A carry exactly when the sum is below what was added to it.
    const Mask carry = _mm512_cmplt_epu16_mask(sum, offset);
    const Vector product = _mm512_mulhi_epu16(frequency, hi);
    upper = _mm512_mask_sub_epi16(product, carry, product, _mm512_set1_epi16(-1));
  }

  template <bool kPartial>
  static void advance(Vector& hi, Vector& lo, Vector offset, Vector frequency, Mask present,
                      const uint8_t*& next) {
    Vector upper, sum;
    multiply(hi, offset, frequency, upper, sum);
    Mask need = _mm512_testn_epi16_mask(upper, upper);
    if constexpr (kPartial) need &= present;
    const Vector words = load(next);
    next += 2 * __builtin_popcount(need);
    hi = _mm512_mask_mov_epi16(upper, need, sum);
    lo = _mm512_mask_expand_epi16(sum, need, words);
  }

  // For records side by side.
  static Vector all_lanes(uint16_t number) { return _mm512_set1_epi16(static_cast<int16_t>(number)); }
  static Vector minus(Vector a, Vector b) { return _mm512_sub_epi16(a, b); }
  static Vector plus(Vector a, Vector b) { return _mm512_add_epi16(a, b); }
  static Vector both(Vector a, Vector b) { return _mm512_and_si512(a, b); }
  static Vector shifted_where_nonzero(Vector where, Vector value, unsigned by) {
    return _mm512_mask_srl_epi16(value, _mm512_test_epi16_mask(where, where), value,
                                 _mm_cvtsi32_si128(static_cast<int>(by)));
  }
  static void store(uint16_t* to, Vector value) { _mm512_storeu_si512(to, value); }
  static void compare(Vector threshold, Vector slot, Vector& low, Vector& high, Vector& value) {
    const Vector difference = _mm512_sub_epi16(slot, threshold);
    low = _mm512_min_epu16(low, difference);
    high = _mm512_max_epu16(high, difference);
    value =
        _mm512_mask_add_epi16(value, _mm512_cmpgt_epu16_mask(threshold, slot), value, _mm512_set1_epi16(-1));
  }
  static uint32_t bits_of_zero(Vector value) { return _mm512_testn_epi16_mask(value, value); }
  static uint32_t bits_of_nonzero(Vector value) { return _mm512_test_epi16_mask(value, value); }
  static Mask mask_of(uint32_t bits) { return bits; }
  static Vector select(Mask which, Vector where_set, Vector elsewhere) {
    return _mm512_mask_mov_epi16(elsewhere, which, where_set);
  }

  static uint64_t take_signs(uint64_t nonzero, const uint8_t* top, size_t& bit) {
    const uint64_t signs = _pdep_u64(next_64_signs(top, bit), nonzero);
    bit += static_cast<unsigned>(__builtin_popcountll(nonzero));
    return signs;
  }

  // Gives the values of one step their signs and writes them; put() says whether one of them is an escape.
  template <unsigned V, ValueType kType>
  struct Row {
    static constexpr unsigned kPairs = (V + 1) / 2;
    __m512i escape[kType == ValueType::kInt8 ? kPairs : V];

    explicit Row(const LaneTables& t) {
      if constexpr (kType == ValueType::kInt8) {
        for (unsigned p = 0; p < kPairs; ++p) {
          escape[p] = in_order(load(t.escape + 64 * p),
                               V == 1 ? _mm512_set1_epi16(255) : load(t.escape + 64 * p + 32));
        }
      } else {
        const uint16_t* const row = kType == ValueType::kWide ? t.low_final : t.escape;
        for (unsigned v = 0; v < V; ++v) escape[v] = load(row + 32 * v);
      }
    }

    // Two vectors of 32 numbers below 256 to 64 bytes.
    static __m512i in_order(Vector a, Vector b) {
      return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), _mm512_packus_epi16(a, b));
    }

    [[gnu::always_inline]] bool put(const Found<kType>* found, uint8_t* row, const uint8_t* top,
                                    size_t& bit) const {
      const __m512i zero = _mm512_setzero_si512();
      uint64_t escapes = 0;
#pragma GCC unroll 2
      for (unsigned p = 0; p < kPairs; ++p) {
        const unsigned a = 2 * p, b = V == 1 ? 0 : 2 * p + 1;
        const Vector va = found[a].value, vb = V == 1 ? zero : found[b].value;
        if constexpr (kType == ValueType::kInt8) {
          const __m512i bytes = in_order(va, vb);
          escapes |= _mm512_cmpeq_epi8_mask(bytes, escape[p]);
          const __mmask64 negative = take_signs(_mm512_test_epi8_mask(bytes, bytes), top, bit);
          const __m512i value = _mm512_mask_sub_epi8(bytes, negative, zero, bytes);
          if constexpr (V == 1) {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(row), _mm512_castsi512_si256(value));
          } else {
            _mm512_storeu_si512(row + 64 * p, value);
          }
        } else {
          uint64_t nonzero;
          if constexpr (kType != ValueType::kFloat16) {
            const auto is_escape = [](Vector value, Vector limit) {
              return kType == ValueType::kWide ? _mm512_cmpgt_epi16_mask(value, limit)
                                               : _mm512_cmpeq_epi16_mask(value, limit);
            };
            nonzero = _mm512_test_epi16_mask(va, va) | uint64_t{_mm512_test_epi16_mask(vb, vb)} << 32;
            escapes |= is_escape(va, escape[a]);
            if (V > 1) escapes |= is_escape(vb, escape[b]);
          } else {
            const uint32_t zeros = V == 1 ? ~0u : found[b].below_first;
            nonzero = ~(found[a].below_first | uint64_t{zeros} << 32);
            escapes |= static_cast<uint32_t>(
                ~(V == 1 ? found[a].below_final : found[a].below_final & found[b].below_final));
          }
          const uint64_t signs = take_signs(nonzero, top, bit);
          _mm512_storeu_si512(row + 128 * p, with_signs(va, static_cast<Mask>(signs)));
          if (V > 1) _mm512_storeu_si512(row + 128 * p + 64, with_signs(vb, static_cast<Mask>(signs >> 32)));
        }
      }
      return escapes != 0;
    }

    static Vector with_signs(Vector value, Mask negative) {
      if constexpr (kType != ValueType::kFloat16) {
        return _mm512_mask_sub_epi16(value, negative, _mm512_setzero_si512(), value);
      }
      return _mm512_mask_add_epi16(value, negative, value, _mm512_set1_epi16(-32768));
    }
  };

  template <ValueType kType>
  static uint64_t escape_lanes(const LaneTables& t, unsigned v, const Found<kType>& found) {
    if constexpr (kType == ValueType::kFloat16) return static_cast<uint32_t>(~found.below_final);
    if constexpr (kType == ValueType::kWide)
      return _mm512_cmpgt_epi16_mask(found.value, load(t.low_final + v * kWidth));
    return _mm512_cmpeq_epi16_mask(found.value, load(t.escape + v * kWidth));
  }

  template <unsigned kK>
  static void range_of(const LaneTables& t, unsigned v, const uint8_t* symbols, Vector& start,
                       Vector& frequency) {
    const Vector symbol = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(symbols)));
    const uint16_t *const starts = t.starts + v * kWidth, *const frequencies = t.frequencies + v * kWidth;
    start = _mm512_setzero_si512();
    frequency = load(frequencies);
    const Vector one = _mm512_set1_epi16(1);
    Vector rest = symbol;  // symbol − k
#pragma GCC unroll 8
    for (unsigned k = 0; k < (kK != 0 ? kK : t.n_thresholds); ++k) {
      const Mask above = kK != 0 ? _mm512_cmpgt_epi16_mask(symbol, _mm512_set1_epi16(static_cast<int16_t>(k)))
                                 : _mm512_cmpgt_epi16_mask(rest, _mm512_setzero_si512());
      start = _mm512_mask_mov_epi16(start, above, load(starts + (k + 1) * t.width));
      frequency = _mm512_mask_mov_epi16(frequency, above, load(frequencies + (k + 1) * t.width));
      if constexpr (kK == 0) rest = _mm512_sub_epi16(rest, one);
    }
  }

  // ⌊x / f⌋ by floating point: y = fl(fl(x) / f) has a relative error below 2^-22, so an absolute one below
  // 2^-6, and ⌊y − 2^-6⌋ is the quotient or one less; the remainder in integers decides.
  static __m512i quotient(__m512i x, __m512i f) {
    const __m512 y = _mm512_div_ps(_mm512_cvtepu32_ps(x), _mm512_cvtepu32_ps(f));
    return _mm512_cvttps_epi32(_mm512_sub_ps(y, _mm512_set1_ps(1.0f / 64)));
  }

  // hi:lo ← quotient : remainder of the state by the frequency, after a word where one is due.
  template <bool kPartial>
  static void retreat(Vector& hi, Vector& lo, Vector frequency, Mask present, uint8_t*& words) {
    const Vector zero = _mm512_setzero_si512(), one = _mm512_set1_epi16(1);
    Mask due = _mm512_cmpge_epu16_mask(hi, frequency);
    if constexpr (kPartial) due &= present;
    const auto n = static_cast<unsigned>(__builtin_popcount(due));
    words -= 2 * n;
    _mm512_mask_storeu_epi16(words, _bzhi_u32(~0u, n), _mm512_maskz_compress_epi16(due, lo));
    const Vector low = _mm512_mask_mov_epi16(lo, due, hi),
                 high = _mm512_maskz_mov_epi16(static_cast<Mask>(~due), hi);

    const __m512i q_even = quotient(_mm512_unpacklo_epi16(low, high), _mm512_unpacklo_epi16(frequency, zero));
    const __m512i q_odd = quotient(_mm512_unpackhi_epi16(low, high), _mm512_unpackhi_epi16(frequency, zero));
    const Vector q = _mm512_packus_epi32(q_even, q_odd);
    // The remainder x − q · f < 2 · f may have 17 bits: its upper half is 0 or 1.
    const Vector product = _mm512_mullo_epi16(q, frequency);
    const Vector rest = _mm512_sub_epi16(low, product);
    const Mask borrow = _mm512_cmplt_epu16_mask(low, product);
    const Vector difference = _mm512_sub_epi16(high, _mm512_mulhi_epu16(q, frequency));
    const Vector over = _mm512_mask_sub_epi16(difference, borrow, difference, one);
    const Mask once_more = _mm512_test_epi16_mask(over, over) | _mm512_cmpge_epu16_mask(rest, frequency);
    hi = _mm512_mask_add_epi16(q, once_more, q, one);
    lo = _mm512_mask_sub_epi16(rest, once_more, rest, frequency);
  }

  // A row of symbols has one of low bits behind it.
  static Vector with_low_bits(const LaneTables& t, unsigned v, const uint8_t* symbols, Vector value) {
    const auto widened = [](const uint8_t* bytes) {
      return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)));
    };
    const Vector symbol = widened(symbols);
    const Vector shifted = _mm512_mask_sllv_epi16(value, _mm512_test_epi16_mask(symbol, symbol), value,
                                                  load(t.low_bits + v * kWidth));
    return _mm512_add_epi16(shifted, widened(symbols + t.width));
  }
};

// Two vectors of a step leave half of the units idle; those of another record fill them.
uint32_t decode_lanes(const LaneTables& t, uint32_t steps, ValueType type, LaneJob* jobs, unsigned n_jobs) {
  return n_jobs == 2 ? decode_jobs<Avx512, 2>(t, steps, type, jobs)
                     : decode_jobs<Avx512, 1>(t, steps, type, jobs);
}

void encode_lanes(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                  uint16_t*& top) {
  encode_any<Avx512>(t, steps, symbols, states, top);
}

// In bytes: magnitudes of int8 fit, and so do thresholds, of which a lane has no more than 255.
void collect_bytes(const LaneTables& t, uint32_t steps, const void* const* rows, uint8_t* symbols,
                   uint8_t* signs, size_t& n_bits, EscapeStep* escapes, size_t* n_escapes) {
  SignSink sink(signs, n_bits);
  const unsigned n_vectors = (t.lanes + 63) / 64;
  const bool is_half = t.width == 32;  // rows end there
  const __mmask64 there = is_half ? 0xFFFFFFFF : ~__mmask64{0};
  __m512i last[kMostLanes / 64], escape[kMostLanes / 64];
  for (unsigned v = 0; v < n_vectors; ++v) {
    const auto bytes = [&](const uint16_t* row, int elsewhere) {
      const __m512i upper =
          is_half ? _mm512_set1_epi16(static_cast<int16_t>(elsewhere)) : Avx512::load(row + 64 * v + 32);
      return Avx512::Row<2, ValueType::kInt8>::in_order(Avx512::load(row + 64 * v), upper);
    };
    last[v] = bytes(t.last, 0);
    escape[v] = bytes(t.escape, 255);
  }
  const size_t width = t.width;
  for (uint32_t step = 0; step < steps; ++step, symbols += width) {
    __builtin_prefetch(rows[step + kRowsAhead]);
    uint64_t found[2] = {0, 0};
    for (unsigned v = 0; v < n_vectors; ++v) {
      const __m512i value = _mm512_maskz_loadu_epi8(there, static_cast<const int8_t*>(rows[step]) + 64 * v);
      const __m512i k = _mm512_min_epu8(_mm512_abs_epi8(value), last[v]);
      _mm512_mask_storeu_epi8(symbols + 64 * v, there, k);
      const uint64_t nonzero = _mm512_test_epi8_mask(k, k);
      sink.put(_pext_u64(_mm512_movepi8_mask(value), nonzero),
               static_cast<unsigned>(__builtin_popcountll(nonzero)));
      found[v] = _mm512_cmpeq_epi8_mask(k, escape[v]);
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
  for (uint32_t step = 0; step < steps; ++step, symbols += (kWide ? 2 : 1) * t.width) {
    const auto* const values = static_cast<const int16_t*>(rows[step]);
    __builtin_prefetch(rows[step + kRowsAhead]);
    EscapeStep found{step, {0, 0}};
    for (unsigned lane = 0; lane < t.lanes; lane += 32) {
      const __m512i value = Avx512::load(values + lane);
      const __m512i magnitude = _mm512_abs_epi16(value), last = Avx512::load(t.last + lane);
      __m512i k;
      if constexpr (kWide) {
        const __m512i one = _mm512_set1_epi16(1), below = _mm512_sub_epi16(magnitude, one);
        const __mmask32 there = _mm512_test_epi16_mask(magnitude, magnitude);
        const __m512i upper = _mm512_srlv_epi16(below, Avx512::load(t.low_bits + lane));
        k = _mm512_maskz_min_epu16(there, _mm512_add_epi16(upper, one), last);
        const __m512i low_mask = _mm512_sub_epi16(Avx512::load(t.low_scale + lane), one);
        const __m512i rest = _mm512_maskz_mov_epi16(there, _mm512_and_si512(below, low_mask));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + t.width + lane), _mm512_cvtepi16_epi8(rest));
      } else {
        k = _mm512_min_epu16(magnitude, last);
      }
      const __mmask32 is_escape = _mm512_cmpeq_epi16_mask(k, Avx512::load(t.escape + lane));
      const __mmask32 nonzero = _mm512_test_epi16_mask(k, k);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(symbols + lane), _mm512_cvtepi16_epi8(k));
      sink.put(_pext_u32(_mm512_movepi16_mask(value), nonzero),
               static_cast<unsigned>(__builtin_popcount(nonzero)));
      found.lanes[lane / 64] |= uint64_t{is_escape} << lane % 64;
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

const Kernels kAvx512Kernels = {"avx512",
                                decode_run,
                                decode_records<Avx512>,
                                encode_run,
                                decode_lanes,
                                2,
                                collect_lanes,
                                encode_lanes,
                                reconstruct_row,
                                reconstruct_half_row,
                                quantise_row,
                                crc32c_by_instruction};

}  // namespace swathpack
