// The loops over steps that all vector back ends share. Included by their source files only, inside an
// anonymous namespace: each compiles its own copy with its own instructions, and none of it may be merged by
// the linker.
//
// What a back end brings is a class `Arch`: kWidth lanes of 16 bits to a vector, and the operations below. A
// state x is kept as two numbers of 16 bits, hi = ⌊x / 65536⌋ and lo = x mod 65536: lo is the slot, and all
// arithmetic is that of 16 bits (docs/range_coding.md).

// Where the next sign bits lie: n ≤ 57 of them, the first one lowest.
inline uint64_t next_signs(const uint8_t* top, size_t bit) {
  uint64_t bytes;
  __builtin_memcpy(&bytes, top - 8 - (bit >> 3), 8);
  return __builtin_bswap64(bytes) >> (bit & 7);
}

template <class Arch, unsigned V, unsigned kK, ValueType kType, bool kPartial>
uint32_t decode_steps(const LaneTables& t, uint32_t steps, uint32_t* states, LaneStream& stream,
                      void* const* rows, EscapeStep* escapes, size_t* n_escapes) {
  using Vector = typename Arch::Vector;
  const unsigned n_thresholds = kK != 0 ? kK : t.n_thresholds;
  Vector hi[V], lo[V];
  typename Arch::Mask present[V];
  for (unsigned v = 0; v < V; ++v) {
    present[v] = Arch::mask(t.present + v * Arch::kWidth);
    Arch::split(states + v * Arch::kWidth, present[v], hi[v], lo[v]);
  }
  const uint8_t* next = stream.next;
  const uint8_t* const top = stream.top;
  size_t bit = stream.used;
  uint32_t step = 0;
  for (; step < steps; ++step) {
    if (top - static_cast<ptrdiff_t>(bit >> 3) - next < stream.gap) [[unlikely]]
      break;
    typename Arch::template Found<kType> found[V];
#pragma GCC unroll 8
    for (unsigned v = 0; v < V; ++v) {
      Vector offset, frequency;
      Arch::template search<kK, kType>(t, v, n_thresholds, lo[v], offset, frequency, found[v]);
      Arch::template advance<kPartial>(hi[v], lo[v], offset, frequency, present[v], next);
    }
    if (Arch::template put_row<V, kType>(t, found, static_cast<uint8_t*>(rows[step]), top, bit))
        [[unlikely]] {
      EscapeStep& e = escapes[(*n_escapes)++];
      e = {step, {0, 0}};
      for (unsigned v = 0; v < V; ++v) {
        e.lanes[v * Arch::kWidth / 64] |= Arch::template escape_lanes<kType>(t, v, found[v])
                                          << v * Arch::kWidth % 64;
      }
    }
  }
  for (unsigned v = 0; v < V; ++v) Arch::join(states + v * Arch::kWidth, present[v], hi[v], lo[v]);
  stream.next = next;
  stream.top = top - static_cast<ptrdiff_t>(bit >> 3);
  stream.used = bit & 7;
  return step;
}

template <class Arch, ValueType kType>
uint32_t decode_type(const LaneTables& t, uint32_t steps, uint32_t* states, LaneStream& stream,
                     void* const* rows, EscapeStep* escapes, size_t* n_escapes) {
#define SWATHPACK_DECODE(V, K, PARTIAL) \
  return decode_steps<Arch, V, K, kType, PARTIAL>(t, steps, states, stream, rows, escapes, n_escapes)
  constexpr unsigned kFull = 64 / Arch::kWidth;  // vectors of the reference encoder's 64 lanes
  if (t.lanes == 64) {
    switch (t.n_thresholds) {  // the number of thresholds known to the compiler: unrolled, and no branch to
                               // mispredict
      case 1:
        SWATHPACK_DECODE(kFull, 1, false);
      case 2:
        SWATHPACK_DECODE(kFull, 2, false);
      case 3:
        SWATHPACK_DECODE(kFull, 3, false);
      case 4:
        SWATHPACK_DECODE(kFull, 4, false);
      case 5:
        SWATHPACK_DECODE(kFull, 5, false);
      case 6:
        SWATHPACK_DECODE(kFull, 6, false);
      case 7:
        SWATHPACK_DECODE(kFull, 7, false);
      case 8:
        SWATHPACK_DECODE(kFull, 8, false);
      default:
        SWATHPACK_DECODE(kFull, 0, false);
    }
  }
  const unsigned vectors = (t.lanes + Arch::kWidth - 1) / Arch::kWidth;
  if (vectors == 1) SWATHPACK_DECODE(1, 0, true);
  if (vectors == 2) SWATHPACK_DECODE(2, 0, true);
  if (vectors <= 4) SWATHPACK_DECODE(4, 0, true);
  if constexpr (Arch::kWidth <= 16) {
    if (vectors <= 8) SWATHPACK_DECODE(8, 0, true);
  }
  if constexpr (Arch::kWidth <= 8) SWATHPACK_DECODE(16, 0, true);
#undef SWATHPACK_DECODE
  __builtin_unreachable();
}

template <class Arch, unsigned V>
void encode_steps(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                  uint16_t*& top) {
  using Vector = typename Arch::Vector;
  Vector hi[V], lo[V];
  typename Arch::Mask present[V];
  for (unsigned v = 0; v < V; ++v) {
    present[v] = Arch::mask(t.present + v * Arch::kWidth);
    Arch::split(states + v * Arch::kWidth, present[v], hi[v], lo[v]);
  }
  auto* words = reinterpret_cast<uint8_t*>(top);
  const uint8_t* row = symbols + size_t{steps} * t.width;
  for (uint32_t step = steps; step-- > 0;) {
    row -= t.width;
#pragma GCC unroll 16
    for (unsigned i = 0; i < V; ++i) {
      const unsigned v = V - 1 - i;
      Vector start, frequency;
      Arch::range_of(t, v, row + v * Arch::kWidth, start, frequency);
      Arch::retreat(hi[v], lo[v], start, frequency, present[v], words);
    }
  }
  for (unsigned v = 0; v < V; ++v) Arch::join(states + v * Arch::kWidth, present[v], hi[v], lo[v]);
  top = reinterpret_cast<uint16_t*>(words);
}

template <class Arch>
void encode_any(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                uint16_t*& top) {
  const unsigned vectors = (t.lanes + Arch::kWidth - 1) / Arch::kWidth;
  if (vectors == 1) return encode_steps<Arch, 1>(t, steps, symbols, states, top);
  if (vectors == 2) return encode_steps<Arch, 2>(t, steps, symbols, states, top);
  if (vectors <= 4) return encode_steps<Arch, 4>(t, steps, symbols, states, top);
  if constexpr (Arch::kWidth <= 16) {
    if (vectors <= 8) return encode_steps<Arch, 8>(t, steps, symbols, states, top);
  }
  if constexpr (Arch::kWidth <= 8) return encode_steps<Arch, 16>(t, steps, symbols, states, top);
  __builtin_unreachable();
}

// Appends the n low bits of `bits` (n ≤ 64; those above are zero) to the sign string.
struct SignSink {
  uint8_t* out;
  uint64_t held = 0;
  unsigned n_held = 0;  // below 64

  SignSink(uint8_t* signs, size_t n_bits) : out(signs + n_bits / 64 * 8), n_held(n_bits % 64) {
    if (n_held != 0) __builtin_memcpy(&held, out, 8);
  }
  void put(uint64_t bits, unsigned n) {
    held |= bits << n_held;
    __builtin_memcpy(out, &held, 8);  // may be overwritten by a fuller one
    const unsigned sum = n_held + n;
    const bool full = sum >= 64;
    // The bits that did not fit; shifted in two steps, as n_held may be 0.
    const uint64_t rest = bits >> 1 >> (63 - n_held);
    held = full ? rest : held;
    out += full ? 8 : 0;
    n_held = sum & 63;
  }
  size_t finish(const uint8_t* signs) {
    __builtin_memcpy(out, &held, 8);
    return static_cast<size_t>(out - signs) * 8 + n_held;
  }
};
