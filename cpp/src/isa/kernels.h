// The seam between the format and the machine: what a faster instruction set may replace, and nothing else.
//
// A back end is one source file in this folder that fills a Kernels table; dispatch.cpp picks one table once
// per process. Every back end gives the same bytes and the same states as the scalar one. Calls are coarse: a
// run of one channel, a lane group over many steps, a row of bytes, never a symbol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "swathpack/tables.h"

namespace swathpack {

// One non-zero symbol met while decoding. `step` counts (tile, frequency) inside the lane group.
struct Nonzero {
  uint32_t step;
  int16_t value;  // the symbol index k; later the signed value
  uint8_t lane;
  bool escape;  // k = K: the magnitude is K + v, v from the escape string
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

struct Kernels {
  const char* name;

  // One lane, one table, n symbols (§5.3). Appends the non-zero ones to out[*count …] with their step.
  // `long_form` refills whenever x < 65536; the short form only while words remain.
  RunEnd (*decode_run)(const Table& table, uint32_t n, bool long_form, uint32_t& state, WordSource& words,
                       Nonzero* out, size_t* count, size_t capacity);

  // `lanes` lanes side by side over `steps` steps; symbol indices k to symbols[step · lanes + lane].
  RunEnd (*decode_lanes)(const Table* const* tables, unsigned lanes, uint32_t steps, uint32_t* states,
                         WordSource& words, uint8_t* symbols);

  // The reverse of decode_lanes, from the last step to the first: values[step · lanes + lane] are signed
  // symbols (magnitude ≤ 32767; the part above K is the escape string's business). Words go to *--top; the
  // caller has made room for steps · lanes of them.
  void (*encode_lanes)(const Table* const* tables, unsigned lanes, uint32_t steps, const int16_t* values,
                       uint32_t* states, uint16_t*& top);

  // CRC-32C register after `data`, from register `state`; no initial value, no final XOR.
  uint32_t (*crc32c_register)(uint32_t state, const uint8_t* data, size_t n);
};

extern const Kernels kScalarKernels;

// The table in use, chosen at the first call: the best the processor has, or what SWATHPACK_ISA names. A name
// that this build or this processor lacks is refused, see isa.h.
[[nodiscard]] const Kernels& kernels();

}  // namespace swathpack
