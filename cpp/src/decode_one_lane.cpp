// Records of one lane (bitstream §5.4): short, mostly zeros. Non-zero symbols are listed, and written once
// all of the record has been found to hold.
#include <algorithm>
#include <cstring>

#include "bytes.h"
#include "decode_work.h"
#include "reconstruction.h"

namespace swathpack {

int32_t take_exp_golomb(BitReader& in) {
  unsigned n = 0;
  while (in.bit() == 0) {
    if (++n > 15 || in.overrun()) return -1;
  }
  return static_cast<int32_t>((1u << n | static_cast<uint32_t>(in.bits(n))) - 1);
}

MaybeError RecordDecoder::Work::begin_one_lane() {
  long_form = form >> 4 & 1;
  const size_t n_state = (form >> 2 & 3) + 1;
  if (payload.size() - at < n_state)
    return corrupt("the payload ends in the state", in_record(payload.size()));
  state = 0;
  for (size_t i = 0; i < n_state; ++i) state |= uint32_t{payload[at + i]} << (8 * i);
  if (payload[at + n_state - 1] == 0)
    return corrupt("the state is not in its fewest bytes", in_record(at + n_state - 1));
  at += n_state;

  words = {payload.data() + at, payload.data() + payload.size()};
  const size_t n_left = payload.size() - at;  // words, and in the long form raw bits
  if (!long_form && n_left % 2 != 0)
    return corrupt("half a word ends the payload", in_record(payload.size() - 1));
  // Only a state that never needed a word may be below 65536: an encoder's has passed it once it has written
  // one.
  if (state < 65536 && (long_form || n_left > 0))
    return corrupt("the state is below 65536 and words follow", in_record(at));

  // Each non-zero symbol has its sign among the payload's bits or in the 16 of a start state.
  const uint64_t n_symbols = plan->symbols_per_tile * live.size();
  capacity = static_cast<size_t>(std::min<uint64_t>(n_symbols, 16 + 8 * uint64_t{payload.size()}));
  if (nonzeros.size() <= capacity) nonzeros.resize(capacity + 1);  // one may be appended before it is counted
  n_nonzeros = 0;
  return std::nullopt;
}

MaybeError RecordDecoder::Work::decode_one_lane() {
  const auto decode_run = kernels().decode_run;
  for (uint32_t r = 0; r < plan->coded.size(); ++r) {
    const Run& run = plan->coded[r];
    const RunEnd end = decode_run(context.tables->tables()[run.level], n_steps(run), r, long_form, state,
                                  words, nonzeros.data(), &n_nonzeros, capacity);
    if (end == RunEnd::kOutOfWords)
      return corrupt("the words end before the symbols", in_record(payload.size()));
    if (end == RunEnd::kTooMany)
      return corrupt("more non-zero symbols than sign bits", in_record(payload.size()));
  }
  return std::nullopt;
}

MaybeError RecordDecoder::Work::finish_one_lane() {
  const uint32_t x = state;
  const auto raw = static_cast<size_t>(words.next - payload.data());
  const bool has_escape = std::any_of(nonzeros.begin(), nonzeros.begin() + static_cast<ptrdiff_t>(n_nonzeros),
                                      [](const Nonzero& s) { return s.escape; });
  if (long_form != (n_nonzeros > 16 || has_escape)) {
    return corrupt(
        long_form ? "the long form where the short one is due" : "the short form where the long one is due",
        form_at());
  }
  // The start state carries the first signs: after a leading 1, or below 65536 from bit 15 down (§5.4).
  const size_t n_signs = std::min<size_t>(n_nonzeros, 16);
  const unsigned lowest = long_form ? 16 - static_cast<unsigned>(n_signs) : 0;
  const unsigned leading_one = long_form ? 16 : static_cast<unsigned>(n_signs);
  if (x >> leading_one != 1 || (x & ((1u << lowest) - 1)) != 0) {
    return corrupt("the end state is not a start state", in_record(raw));
  }
  for (size_t i = 0; i < n_signs; ++i) {
    if (x >> (leading_one - 1 - i) & 1) nonzeros[i].value = static_cast<int16_t>(-nonzeros[i].value);
  }
  if (!long_form) {
    return raw == payload.size() ? MaybeError{} : corrupt("words are left over", in_record(raw));
  }
  return read_raw(raw, n_signs);
}

// The rest of the payload: signs of the non-zero symbols from `first` on, then the escapes (§5.3).
MaybeError RecordDecoder::Work::read_raw(size_t raw, size_t first) {
  BitReader bits(payload.subspan(raw));
  if (bits.remaining() < n_nonzeros - first) {
    return corrupt("the payload ends in the signs", in_record(payload.size()));
  }
  bool has_escape = false;
  for (size_t i = 0; i < first; ++i) has_escape |= nonzeros[i].escape;
  for (size_t i = first; i < n_nonzeros;) {
    const size_t n = std::min<size_t>(n_nonzeros - i, 32);
    uint64_t signs = bits.bits(static_cast<unsigned>(n));
    for (const size_t end = i + n; i < end; ++i, signs >>= 1) {
      Nonzero& s = nonzeros[i];
      s.value = static_cast<int16_t>(signs & 1 ? -s.value : s.value);
      has_escape |= s.escape;
    }
  }
  if (has_escape) {
    for (size_t i = 0; i < n_nonzeros; ++i) {
      Nonzero& s = nonzeros[i];
      if (!s.escape) continue;
      const int32_t v = take_exp_golomb(bits);
      const int32_t k = s.value < 0 ? -s.value : s.value;  // of v = 0
      if (bits.overrun()) break;
      const int32_t magnitude = k + v * (1 << context.tables->tables()[plan->coded[s.run].level].low_bits);
      if (v < 0 || magnitude > static_cast<int32_t>(kMaxMagnitude))
        return corrupt("an escape is too large", in_record(raw + bits.bytes_used() - 1));
      s.value = static_cast<int16_t>(s.value < 0 ? -magnitude : magnitude);
    }
  }
  if (bits.overrun()) return corrupt("the payload ends in the escapes", in_record(payload.size()));
  if (!bits.padding_is_zero())
    return corrupt("the padding after signs and escapes is not zero", in_record(raw + bits.bytes_used() - 1));
  if (bits.bytes_used() != payload.size() - raw)
    return corrupt("bytes are left over", in_record(raw + bits.bytes_used()));
  return std::nullopt;
}

MaybeError RecordDecoder::Work::check_range() const {
  if (target.type == ElementType::kInt16 || target.type == ElementType::kFloat32) return std::nullopt;
  for (size_t i = 0; i < n_nonzeros; ++i) {
    if (auto error = check_value(nonzeros[i].value, plan->coded[nonzeros[i].run].level)) return error;
  }
  return std::nullopt;
}

template <class Element, class Convert>
void RecordDecoder::Work::write_list(Convert convert) {
  auto* const out = static_cast<Element*>(target.symbols);
  for (size_t i = 0; i < n_nonzeros; ++i) {
    const Nonzero& s = nonzeros[i];
    const Run& run = plan->coded[s.run];
    const auto band = plane.band(run.band);
    const auto size = static_cast<uint32_t>(band.size());
    const size_t tile = live[s.step / size], f = band[s.step % size];
    out[tile * layout.tile + run.channel * layout.channel + f * layout.frequency] =
        convert(run.level, s.value);
  }
}

void RecordDecoder::Work::write_nonzeros() {
  const float step = step_width();
  const auto value = [&](uint8_t level, int symbol) {
    return value_of(context.tables->tables()[level], step, symbol);
  };
  switch (target.type) {
    case ElementType::kInt8:
      return write_list<int8_t>([](uint8_t, int16_t symbol) { return static_cast<int8_t>(symbol); });
    case ElementType::kInt16:
      return write_list<int16_t>([](uint8_t, int16_t symbol) { return symbol; });
    case ElementType::kFloat16:
      return write_list<uint16_t>(
          [&](uint8_t level, int16_t symbol) { return half_of(value(level, symbol)); });
    case ElementType::kFloat32:
      return write_list<float>(value);
  }
}

}  // namespace swathpack
