// The seam between the format and the machine: what a faster instruction set may replace, and nothing else.
//
// A back end is one source file in this folder that fills a Kernels table; dispatch.cpp picks one table once
// per process. Every back end gives the same bytes, symbols and states as the scalar one. Calls are coarse: a
// run of one channel, a lane group over many steps, a row of bytes, never a symbol.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "swathpack/tables.h"

namespace swathpack {

// One non-zero symbol met while decoding one lane. `step` counts (tile, frequency) inside the run.
struct Nonzero {
  uint32_t step;
  uint32_t run;   // of the plan
  int16_t value;  // the magnitude, of an escape that of v = 0; later the signed value
  bool escape;    // k = K: v, from the escape string, is still to be added
};

// The words of a record not yet read: u16, little-endian, forward. Never read at or beyond `end`.
struct WordSource {
  const uint8_t* next;
  const uint8_t* end;  // end − next may be odd while `raw` follows; two bytes make a word
};

enum class RunEnd : uint8_t {
  kDone,
  kOutOfWords,  // a refill was due and no word was left (long form only)
  kTooMany,     // more non-zero symbols than `capacity`
};

inline constexpr unsigned kMostLanes = 128;

// The tables of one lane group, side by side: a vector of lanes finds the thresholds of its channels in one
// load. Rows have `width` entries, 32, 64 or 128; those of lanes that the group lacks say what does no harm.
struct LaneTables {
  unsigned lanes = 0;
  unsigned width = 0;
  unsigned n_thresholds = 0;  // K, the most of any lane

  // T_(k+1) XOR 0x8000 in row k, so that a signed comparison orders them; K rows. Where a lane has no such
  // threshold stands that of 65536, which is 0 in 16 bits: the neutral element of the search below.
  const uint16_t* thresholds = nullptr;
  // Row k: where the range of symbol k begins, and the share of it that one magnitude has; K + 1 rows. What
  // lanes lack is 0.
  const uint16_t* starts = nullptr;
  const uint16_t* frequencies = nullptr;
  const uint16_t* last = nullptr;  // K of each lane, the symbol index of its escape; 0 where there is no lane
  const uint16_t* escape = nullptr;  // the same; 255 where there is no lane, whose symbols are 0
  const uint16_t* first =
      nullptr;  // T_1 of each lane XOR 0x8000; that of 65535 where there is no lane, whose slot is 0
  const uint16_t* final = nullptr;    // T_K of each lane, likewise
  const uint16_t* present = nullptr;  // 65535 where there is a lane, else 0
  // Row k: the float16 bits of the value of symbol k, or of the lane's last one where it has fewer. K + 1
  // rows, or null. The value of symbol 0 is 0.
  const uint16_t* half_values = nullptr;
  // Where any lane has low bits, else null: their number b, 2^b, 2^(15 − b), and the largest magnitude below
  // the escape, which is 32767 where there is no lane.
  const uint16_t* low_bits = nullptr;
  const uint16_t* low_scale = nullptr;
  const uint16_t* low_inverse = nullptr;
  const uint16_t* low_final = nullptr;
  const Table* const* tables = nullptr;  // of each lane, for back ends that look up
};

// What is left of the payload of a record of several lanes: words are read forward from `next`, sign bits
// backward from `top` (§5.5). Kernels do not look for the end before a step, only between steps: all of it
// lies in a buffer of our own with kStreamSlack bytes on both sides, which covers what one step takes and
// what vectors load beyond it.
struct LaneStream {
  const uint8_t* next;
  const uint8_t* top;  // one past the byte that holds the next sign bit
  unsigned used = 0;   // bits already taken from that byte, 0–7
};
inline constexpr size_t kStreamSlack = 2 * kMostLanes + kMostLanes / 8 + 64;

// Rows of an array lie far apart, and no prefetcher guesses the next: kernels ask for the row this many steps
// ahead. The arrays of row pointers are longer by as many, any addresses, which are never read through.
inline constexpr unsigned kRowsAhead = 16;

// kWide: int16, of a group where a lane has low bits; the other types are for groups without.
enum class ValueType : uint8_t { kInt8, kInt16, kFloat16, kWide };

// A step with escapes among its symbols, and which lanes they are.
struct EscapeStep {
  uint32_t step;
  std::array<uint64_t, 2> lanes;
};

// Records of one lane that are decoded side by side, a record to each lane of a vector: their symbols have
// the same tables in the same order. Lanes without a record have the state 0, which says zeros for ever, and
// are exhausted.
struct SideBySide {
  static constexpr unsigned kMost = 32;
  alignas(64) std::array<uint16_t, kMost> hi{}, lo{};  // states
  std::array<WordSource, kMost> words;
  std::array<Nonzero*, kMost> out,
      out_end;  // where the next non-zero symbol goes, and where none may go any more
  // One bit for each lane.
  uint32_t exhausted = 0;     // no words left: a state below 65536 stays so (short form) or is an error
  uint32_t long_form = 0;     // for these
  uint32_t out_of_words = 0;  // the error
  uint32_t too_many = 0;      // more non-zero symbols than there is room for
};

// What decode_lanes() needs of one record.
struct LaneJob {
  uint32_t* states;  // of its lanes
  LaneStream* stream;
  void* const* rows;
  EscapeStep* escapes;
  size_t n_escapes;
};

struct Kernels {
  const char* name;

  // One lane, one table, n symbols (§5.3). Appends the non-zero ones to out[*count …] with their step.
  // `long_form` refills whenever x < 65536; the short form only while words remain.
  RunEnd (*decode_run)(const Table& table, uint32_t n, uint32_t run, bool long_form, uint32_t& state,
                       WordSource& words, Nonzero* out, size_t* count, size_t capacity);

  // The same for many records at once; null where the instruction set is no help.
  void (*decode_side_by_side)(const Table& table, uint32_t n, uint32_t run, SideBySide& records);

  // The reverse of decode_run, from the last symbol to the first; words go to *--top, with room for n of
  // them. `low` has the low bits of each, and is not read where the table has none.
  void (*encode_run)(const Table& table, size_t n, const uint8_t* symbols, const uint8_t* low,
                     uint32_t& state, uint16_t*& top);

  // The lanes of a group side by side over at most `steps` steps, signs applied: rows[step][lane], int8,
  // int16 or float16, each row `width` values long. In int8 no table may have more than 127 thresholds.
  // Escapes have the value of v = 0; their steps are appended to `escapes`. Returns the steps done: fewer
  // than asked when words and signs of a job have met. Jobs of several records, of equal tables and steps,
  // are done at once: one waits while another works. At most `at_once`.
  uint32_t (*decode_lanes)(const LaneTables& tables, uint32_t steps, ValueType type, LaneJob* jobs,
                           unsigned n_jobs);
  unsigned at_once;

  // What the encoder needs to know of a block before it codes it: symbols[step · width + lane] = min(|value|,
  // K), in a wide group the index and, in a row of its own behind it, the low bits; the sign bits of non-zero
  // values appended to `signs` (bit `n_bits` on; whole 64-bit words are written, the bits behind the last one
  // zero), steps with escapes. rows[step] has `width` values, int8 or int16; those without a lane are
  // ignored.
  void (*collect_lanes)(const LaneTables& tables, uint32_t steps, ValueType type, const void* const* rows,
                        uint8_t* symbols, uint8_t* signs, size_t& n_bits, EscapeStep* escapes,
                        size_t* n_escapes);

  // The reverse of decode_lanes, from the last step to the first, from the symbols that collect_lanes has
  // made. Words go to *--top; the caller has made room for steps · lanes of them and kStreamSlack bytes
  // below.
  void (*encode_lanes)(const LaneTables& tables, uint32_t steps, const uint8_t* symbols, uint32_t* states,
                       uint16_t*& top);

  // Values of symbols (§8.1) as float32, each with the reconstruction points of its lane.
  void (*reconstruct_row)(const int16_t* symbols, const float* r1, const float* r2, float step, size_t n,
                          float* values);

  // The same as float16; true when one of them is too large for it.
  bool (*reconstruct_half_row)(const int16_t* symbols, const float* r1, const float* r2, float step, size_t n,
                               uint16_t* values);

  // The reference quantiser (§10.1), each with the dead zone of its lane. True when a latent is not a number.
  bool (*quantise_row)(const float* latents, float inv_step, const float* theta, size_t n, int16_t* symbols);

  // CRC-32C register after `data`, from register `state`; no initial value, no final XOR.
  uint32_t (*crc32c_register)(uint32_t state, const uint8_t* data, size_t n);
};

extern const Kernels kScalarKernels;
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
#elif defined(__aarch64__)
extern const Kernels kNeonKernels;
#endif

// The table in use, chosen at the first call: the best the processor has, or what SWATHPACK_ISA names. A name
// that this build or this processor lacks is refused, see isa.h.
[[nodiscard]] const Kernels& kernels();

// All that this processor can run, best first.
[[nodiscard]] std::span<const Kernels* const> runnable_kernels();

}  // namespace swathpack
