// The loops over steps that all vector back ends share. Included by their source files only, inside an
// anonymous namespace: each compiles its own copy with its own instructions, and none of it may be merged by
// the linker.
//
// What a back end brings is a class `Arch`: kWidth lanes of 16 bits to a vector, and the operations below. A
// state x is kept as two numbers of 16 bits, hi = ⌊x / 65536⌋ and lo = x mod 65536: lo is the slot, and all
// arithmetic is that of 16 bits (docs/range_coding.md).

// body(0) to body(n − 1), written out, each with its number as a type: registers that a loop or a variable
// would index are kept in memory.
template <size_t... kIndices, class Body>
[[gnu::always_inline]] inline void each_of(std::index_sequence<kIndices...>, Body body) {
  (body(std::integral_constant<size_t, kIndices>{}), ...);
}
template <unsigned kN, class Body>
[[gnu::always_inline]] inline void each(Body body) {
  each_of(std::make_index_sequence<kN>{}, body);
}

// The next sign bits, the first one lowest: at least 57 of them.
inline uint64_t next_signs(const uint8_t* top, size_t bit) {
  uint64_t bytes;
  __builtin_memcpy(&bytes, top - 8 - (bit >> 3), 8);
  return __builtin_bswap64(bytes) >> (bit & 7);
}

// 64 of them.
inline uint64_t next_64_signs(const uint8_t* top, size_t bit) {
  const uint64_t ninth = top[-9 - static_cast<ptrdiff_t>(bit >> 3)];
  return next_signs(top, bit) | ninth << 1 << (63 - (bit & 7));
}

// kK = 0: as many thresholds as the tables say. The search of a vector does not depend on the others of its
// step, so that the processor works on several at once; only the pointer to the words goes from one to the
// next. R records of equal steps have nothing in common at all.
template <class Arch, unsigned V, unsigned kK, ValueType kType, bool kPartial, unsigned R>
uint32_t decode_steps(const LaneTables& tables, uint32_t steps, LaneJob* jobs) {
  using Vector = typename Arch::Vector;
  LaneTables t = tables;  // a copy that nothing written below can change
  if constexpr (kK != 0) {
    t.n_thresholds = kK;
    t.width = V * Arch::kWidth;
  }
  Vector hi[R][V], lo[R][V];
  typename Arch::Mask present[V];
  const uint8_t *next[R], *top[R];
  size_t bit[R];
  void* const* rows[R];
  each<R>([&](auto r) __attribute__((always_inline)) {
    for (unsigned v = 0; v < V; ++v) {
      present[v] = Arch::mask(t.present + v * Arch::kWidth);
      Arch::split(jobs[r].states + v * Arch::kWidth, present[v], hi[r][v], lo[r][v]);
    }
    next[r] = jobs[r].stream->next;
    top[r] = jobs[r].stream->top;
    bit[r] = jobs[r].stream->used;
    rows[r] = jobs[r].rows;
  });
  const typename Arch::template Row<V, kType> row(t);
  uint32_t step = 0;
  for (; step < steps; ++step) {
    bool have_met = false;
    each<R>([&](auto r) __attribute__((always_inline)) {
      have_met |= top[r] - static_cast<ptrdiff_t>(bit[r] >> 3) < next[r];
      __builtin_prefetch(rows[r][step + kRowsAhead], 1);
    });
    if (have_met) [[unlikely]]
      break;
    typename Arch::template Found<kType> found[R][V];
    each<V>([&](auto v) __attribute__((always_inline)) {
      each<R>([&](auto r) __attribute__((always_inline)) {
        Vector offset, frequency;
        Arch::template search<kK, kType>(t, static_cast<unsigned>(v.value), lo[r][v], offset, frequency,
                                         found[r][v]);
        Arch::template advance<kPartial>(hi[r][v], lo[r][v], offset, frequency, present[v], next[r]);
      });
    });
    each<R>([&](auto r) __attribute__((always_inline)) {
      if (row.put(found[r], static_cast<uint8_t*>(rows[r][step]), top[r], bit[r])) [[unlikely]] {
        EscapeStep& e = jobs[r].escapes[jobs[r].n_escapes++];
        e = {step, {0, 0}};
        for (unsigned v = 0; v < V; ++v) {
          e.lanes[v * Arch::kWidth / 64] |= Arch::template escape_lanes<kType>(t, v, found[r][v])
                                            << v * Arch::kWidth % 64;
        }
      }
    });
  }
  each<R>([&](auto r) __attribute__((always_inline)) {
    for (unsigned v = 0; v < V; ++v) {
      Arch::join(jobs[r].states + v * Arch::kWidth, present[v], hi[r][v], lo[r][v]);
    }
    *jobs[r].stream = {next[r], top[r] - static_cast<ptrdiff_t>(bit[r] >> 3),
                       static_cast<unsigned>(bit[r] & 7)};
  });
  return step;
}

// Backward over steps and lanes, since the decoder meets what was coded last first.
template <class Arch, unsigned V, unsigned kK, bool kPartial, bool kWide>
void encode_steps(const LaneTables& tables, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                  uint16_t*& top) {
  using Vector = typename Arch::Vector;
  LaneTables t = tables;  // as above
  if constexpr (kK != 0) {
    t.n_thresholds = kK;
    t.width = V * Arch::kWidth;
  }
  Vector hi[V], lo[V];
  typename Arch::Mask present[V];
  for (unsigned v = 0; v < V; ++v) {
    present[v] = Arch::mask(t.present + v * Arch::kWidth);
    Arch::split(states + v * Arch::kWidth, present[v], hi[v], lo[v]);
  }
  auto* words = reinterpret_cast<uint8_t*>(top);
  const size_t row_bytes = size_t{t.width} * (kWide ? 2 : 1);
  const uint8_t* row = symbols + steps * row_bytes;
  for (uint32_t step = steps; step-- > 0;) {
    row -= row_bytes;
    each<V>([&](auto i) __attribute__((always_inline)) {
      constexpr unsigned v = V - 1 - static_cast<unsigned>(decltype(i)::value);
      Vector start, frequency;
      Arch::template range_of<kK>(t, v, row + v * Arch::kWidth, start, frequency);
      Arch::template retreat<kPartial>(hi[v], lo[v], frequency, present[v], words);
      // What is in lo now is the remainder; the low bits go below it, where the symbol has them.
      if constexpr (kWide) lo[v] = Arch::with_low_bits(t, v, row + v * Arch::kWidth, lo[v]);
      lo[v] = Arch::plus(lo[v], start);
    });
  }
  for (unsigned v = 0; v < V; ++v) Arch::join(states + v * Arch::kWidth, present[v], hi[v], lo[v]);
  top = reinterpret_cast<uint16_t*>(words);
}

// Calls run.template operator()<V, kK, kPartial>() for the vectors that the lanes need and, for the 64 lanes
// of long records, with the number of thresholds known to the compiler: unrolled, and no branch to
// mispredict.
template <class Arch, class Run>
auto for_shape(const LaneTables& t, Run run) {
  constexpr unsigned kFull = 64 / Arch::kWidth;
  if (t.lanes == 64) {
    switch (t.n_thresholds) {
      case 1:
        return run.template operator()<kFull, 1, false>();
      case 2:
        return run.template operator()<kFull, 2, false>();
      case 3:
        return run.template operator()<kFull, 3, false>();
      case 4:
        return run.template operator()<kFull, 4, false>();
      case 5:
        return run.template operator()<kFull, 5, false>();
      case 6:
        return run.template operator()<kFull, 6, false>();
      case 7:
        return run.template operator()<kFull, 7, false>();
      case 8:
        return run.template operator()<kFull, 8, false>();
      default:
        return run.template operator()<kFull, 0, false>();
    }
  }
  const unsigned vectors = (t.lanes + Arch::kWidth - 1) / Arch::kWidth;
  if (vectors == 1) return run.template operator()<1, 0, true>();
  if (vectors == 2) return run.template operator()<2, 0, true>();
  if (vectors <= 4) return run.template operator()<4, 0, true>();
  if constexpr (Arch::kWidth <= 16) {
    if (vectors <= 8) return run.template operator()<8, 0, true>();
  }
  if constexpr (Arch::kWidth <= 8) return run.template operator()<16, 0, true>();
  __builtin_unreachable();
}

template <class Arch, unsigned R>
uint32_t decode_jobs(const LaneTables& t, uint32_t steps, ValueType type, LaneJob* jobs) {
  return for_shape<Arch>(t, [&]<unsigned V, unsigned kK, bool kPartial>() {
    switch (type) {
      case ValueType::kWide:  // their tables are long: loops
        return decode_steps<Arch, V, 0, ValueType::kWide, kPartial, R>(t, steps, jobs);
      case ValueType::kInt8:
        return decode_steps<Arch, V, kK, ValueType::kInt8, kPartial, R>(t, steps, jobs);
      case ValueType::kInt16:
        return decode_steps<Arch, V, kK, ValueType::kInt16, kPartial, R>(t, steps, jobs);
      case ValueType::kFloat16:
        break;
    }
    return decode_steps<Arch, V, kK, ValueType::kFloat16, kPartial, R>(t, steps, jobs);
  });
}

template <class Arch>
void encode_any(const LaneTables& t, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                uint16_t*& top) {
  for_shape<Arch>(t, [&]<unsigned V, unsigned kK, bool kPartial>() {
    if (t.low_bits != nullptr) {
      encode_steps<Arch, V, 0, kPartial, true>(t, steps, symbols, states, top);
    } else {
      encode_steps<Arch, V, kK, kPartial, false>(t, steps, symbols, states, top);
    }
  });
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

// See Kernels::decode_side_by_side. All lanes share the table, so that thresholds are the same number in
// every lane.
template <class Arch, bool kLowBits>
void decode_records_of(const Table& table, uint32_t n, uint32_t run, SideBySide& records) {
  using Vector = typename Arch::Vector;
  constexpr unsigned V = SideBySide::kMost / Arch::kWidth, kKept = 8;
  const unsigned n_thresholds = table.n_thresholds;
  Vector kept[kKept];
  for (unsigned k = 0; k < n_thresholds && k < kKept; ++k)
    kept[k] = Arch::all_lanes(table.range[k + 1].start);
  Vector hi[V], lo[V];
  for (unsigned v = 0; v < V; ++v) {
    hi[v] = Arch::load(&records.hi[v * Arch::kWidth]);
    lo[v] = Arch::load(&records.lo[v * Arch::kWidth]);
  }
  alignas(64) uint16_t words[SideBySide::kMost] = {}, symbols[SideBySide::kMost], rests[SideBySide::kMost];
  const unsigned b = kLowBits ? table.low_bits : 0;
  const Vector low_mask = Arch::all_lanes(static_cast<uint16_t>((1u << b) - 1));
  for (uint32_t step = 0; step < n; ++step) {
    Vector value[V], rest[V], upper[V], sum[V];
    uint32_t nonzero = 0, need = 0;
    each<V>([&](auto v) __attribute__((always_inline)) {
      Vector low = lo[v], high = lo[v];
      value[v] = Arch::all_lanes(static_cast<uint16_t>(n_thresholds));
      for (unsigned k = 0; k < n_thresholds; ++k) {
        const Vector threshold = k < kKept ? kept[k] : Arch::all_lanes(table.range[k + 1].start);
        Arch::compare(threshold, lo[v], low, high, value[v]);
      }
      Vector frequency = Arch::minus(low, high);
      if constexpr (kLowBits) {
        rest[v] = Arch::both(low, low_mask);
        low = Arch::shifted_where_nonzero(value[v], low, b);
        frequency = Arch::shifted_where_nonzero(value[v], frequency, b);
      }
      Arch::multiply(hi[v], low, frequency, upper[v], sum[v]);
      nonzero |= Arch::bits_of_nonzero(value[v]) << v * Arch::kWidth;
      need |= Arch::bits_of_zero(upper[v]) << v * Arch::kWidth;
    });
    if (nonzero != 0) {
      for (unsigned v = 0; v < V; ++v) {
        Arch::store(symbols + v * Arch::kWidth, value[v]);
        if constexpr (kLowBits) Arch::store(rests + v * Arch::kWidth, rest[v]);
      }
      for (; nonzero != 0; nonzero &= nonzero - 1) {
        const auto lane = static_cast<unsigned>(__builtin_ctz(nonzero));
        if (records.out[lane] == records.out_end[lane]) {
          records.too_many |= 1u << lane;
          continue;
        }
        const unsigned k = symbols[lane], magnitude = kLowBits ? ((k - 1) << b) + 1 + rests[lane] : k;
        *records.out[lane]++ = {step, run, static_cast<int16_t>(magnitude), k == n_thresholds};
      }
    }
    need &= ~records.exhausted;
    uint32_t filled = 0;
    for (uint32_t left = need; left != 0; left &= left - 1) {
      const auto lane = static_cast<unsigned>(__builtin_ctz(left));
      const uint32_t bit = left & -left;
      WordSource& source = records.words[lane];
      if (source.end - source.next >= 2) {
        __builtin_memcpy(words + lane, source.next, 2);
        source.next += 2;
        filled |= bit;
      } else {
        records.exhausted |= bit;
        // Of two errors the first is the one that is said.
        records.out_of_words |= bit & records.long_form & ~records.too_many;
      }
    }
    if (filled != 0) {
      for (unsigned v = 0; v < V; ++v) {
        const auto which = Arch::mask_of(filled >> v * Arch::kWidth);
        hi[v] = Arch::select(which, sum[v], upper[v]);
        lo[v] = Arch::select(which, Arch::load(words + v * Arch::kWidth), sum[v]);
      }
    } else {
      for (unsigned v = 0; v < V; ++v) {
        hi[v] = upper[v];
        lo[v] = sum[v];
      }
    }
  }
  for (unsigned v = 0; v < V; ++v) {
    Arch::store(&records.hi[v * Arch::kWidth], hi[v]);
    Arch::store(&records.lo[v * Arch::kWidth], lo[v]);
  }
}

template <class Arch>
void decode_records(const Table& table, uint32_t n, uint32_t run, SideBySide& records) {
  if (table.low_bits == 0) return decode_records_of<Arch, false>(table, n, run, records);
  decode_records_of<Arch, true>(table, n, run, records);
}
