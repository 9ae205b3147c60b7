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

MaybeError RecordDecoder::Work::read_one_lane(const LayerPlan& plan, unsigned form, size_t at) {
  const bool long_form = form >> 4 & 1;
  const size_t n_state = (form >> 2 & 3) + 1;
  if (payload.size() - at < n_state)
    return corrupt("the payload ends in the state", in_record(payload.size()));
  uint32_t x = 0;
  for (size_t i = 0; i < n_state; ++i) x |= uint32_t{payload[at + i]} << (8 * i);
  if (payload[at + n_state - 1] == 0)
    return corrupt("the state is not in its fewest bytes", in_record(at + n_state - 1));
  at += n_state;

  WordSource words{payload.data() + at, payload.data() + payload.size()};
  const size_t rest = payload.size() - at;
  if (!long_form && rest % 2 != 0)
    return corrupt("half a word ends the payload", in_record(payload.size() - 1));
  // Only a state that never needed a word may be below 65536: an encoder's has passed it once it has written
  // one.
  if (x < 65536 && (long_form || rest > 0))
    return corrupt("the state is below 65536 and words follow", in_record(at));

  const auto decode_run = kernels().decode_run;
  // Each non-zero symbol has its sign among the payload's bits or in the 16 of a start state.
  const uint64_t n_symbols = plan.symbols_per_tile * live.size();
  const auto capacity = static_cast<size_t>(std::min<uint64_t>(n_symbols, 16 + 8 * uint64_t{payload.size()}));
  if (nonzeros.size() <= capacity) nonzeros.resize(capacity + 1);  // one may be appended before it is counted
  run_nonzeros.clear();
  n_nonzeros = 0;
  for (const Run& run : plan.coded) {
    const auto n = static_cast<uint32_t>(live.size() * plane.band(run.band).size());
    const RunEnd end = decode_run(context.tables->tables()[run.level], n, long_form, x, words,
                                  nonzeros.data(), &n_nonzeros, capacity);
    if (end == RunEnd::kOutOfWords)
      return corrupt("the words end before the symbols", in_record(payload.size()));
    if (end == RunEnd::kTooMany)
      return corrupt("more non-zero symbols than sign bits", in_record(payload.size()));
    run_nonzeros.push_back(n_nonzeros);
  }

  at = static_cast<size_t>(words.next - payload.data());
  const bool has_escape = std::any_of(nonzeros.begin(), nonzeros.begin() + static_cast<ptrdiff_t>(n_nonzeros),
                                      [](const Nonzero& s) { return s.escape; });
  if (long_form != (n_nonzeros > 16 || has_escape)) {
    return corrupt(
        long_form ? "the long form where the short one is due" : "the short form where the long one is due",
        in_record(0));
  }
  // The start state carries the first signs: after a leading 1, or below 65536 from bit 15 down (§5.4).
  const size_t n_signs = std::min<size_t>(n_nonzeros, 16);
  const unsigned lowest = long_form ? 16 - static_cast<unsigned>(n_signs) : 0;
  const unsigned leading_one = long_form ? 16 : static_cast<unsigned>(n_signs);
  if (x >> leading_one != 1 || (x & ((1u << lowest) - 1)) != 0) {
    return corrupt("the end state is not a start state", in_record(at));
  }
  for (size_t i = 0; i < n_signs; ++i) {
    if (x >> (leading_one - 1 - i) & 1) nonzeros[i].value = static_cast<int16_t>(-nonzeros[i].value);
  }
  if (!long_form) {
    return at == payload.size() ? MaybeError{} : corrupt("words are left over", in_record(at));
  }
  return read_raw(at, n_signs);
}

// The rest of the payload: signs of the non-zero symbols from `first` on, then the escapes (§5.3).
MaybeError RecordDecoder::Work::read_raw(size_t at, size_t first) {
  BitReader bits(payload.subspan(at));
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
      const int32_t k = s.value < 0 ? -s.value : s.value;
      if (bits.overrun()) break;
      if (v < 0 || k + v > 32767)
        return corrupt("an escape is too large", in_record(at + bits.bytes_used() - 1));
      s.value = static_cast<int16_t>(s.value < 0 ? -(k + v) : k + v);
    }
  }
  if (bits.overrun()) return corrupt("the payload ends in the escapes", in_record(payload.size()));
  if (!bits.padding_is_zero())
    return corrupt("the padding after signs and escapes is not zero", in_record(at + bits.bytes_used() - 1));
  if (bits.bytes_used() != payload.size() - at)
    return corrupt("bytes are left over", in_record(at + bits.bytes_used()));
  return std::nullopt;
}

MaybeError RecordDecoder::Work::check_range(const LayerPlan& plan) const {
  if (target.type == ElementType::kInt16 || target.type == ElementType::kFloat32) return std::nullopt;
  size_t i = 0;
  for (size_t r = 0; r < plan.coded.size(); ++r) {
    for (; i < run_nonzeros[r]; ++i) {
      if (auto error = check_value(nonzeros[i].value, plan.coded[r].level)) return error;
    }
  }
  return std::nullopt;
}

template <class Element, class Convert>
void RecordDecoder::Work::write_list(const LayerPlan& plan, Convert convert) {
  size_t i = 0;
  for (size_t r = 0; r < plan.coded.size(); ++r) {
    const Run& run = plan.coded[r];
    const auto band = plane.band(run.band);
    const auto band_size = static_cast<uint32_t>(band.size());
    Element* const channel = static_cast<Element*>(target.symbols) + run.channel * layout.channel;
    // Steps ascend, so the tile is followed instead of divided out.
    size_t tile = 0;
    uint32_t tile_end = band_size;
    for (; i < run_nonzeros[r]; ++i) {
      const Nonzero& s = nonzeros[i];
      while (s.step >= tile_end) {
        tile_end += band_size;
        ++tile;
      }
      const uint16_t f = band[s.step - (tile_end - band_size)];
      channel[live[tile] * layout.tile + f * layout.frequency] = convert(run.level, s.value);
    }
  }
}

void RecordDecoder::Work::write_nonzeros(const LayerPlan& plan) {
  const float step = step_width();
  const auto value = [&](uint8_t level, int symbol) {
    return value_of(context.tables->tables()[level], step, symbol);
  };
  switch (target.type) {
    case ElementType::kInt8:
      return write_list<int8_t>(plan, [](uint8_t, int16_t symbol) { return static_cast<int8_t>(symbol); });
    case ElementType::kInt16:
      return write_list<int16_t>(plan, [](uint8_t, int16_t symbol) { return symbol; });
    case ElementType::kFloat16:
      return write_list<uint16_t>(
          plan, [&](uint8_t level, int16_t symbol) { return half_of(value(level, symbol)); });
    case ElementType::kFloat32:
      return write_list<float>(plan, value);
  }
}

}  // namespace swathpack
