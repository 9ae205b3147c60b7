// The reading half of a RecordDecoder: every rule of bitstream §4.1 and §5 is checked here, and nothing is
// written.
#include <algorithm>
#include <array>
#include <string>

#include "bit_string.h"
#include "bytes.h"
#include "decode_work.h"
#include "swathpack/checksum.h"

namespace swathpack {
namespace {

constexpr size_t kBlockSymbols = 8192;  // what decode_lanes decodes between two looks at the non-zero ones
constexpr size_t kSlack = kMaxLanes;  // room behind the last non-zero symbol: one step is appended unchecked

Error corrupt(std::string what, size_t offset) { return Error{ErrorKind::kCorrupt, std::move(what), offset}; }

// The fields of §4.1 that need the file's planes and tiles to be judged.
MaybeError check_fields(const RecordHeader& h, const PlaneContext& context) {
  if (h.kind == 5)
    return Error{ErrorKind::kUnsupported, "refinement records are not known yet", 0, "", "",
                 "use a newer Swathpack"};
  if (h.kind > 5) {
    return Error{
        ErrorKind::kUnsupported, "record kind " + std::to_string(h.kind) + " is not known", 0, "", "",
        "use a newer Swathpack"};
  }
  if (h.kind == 0) return corrupt("a record of kind 0", 0);
  if (h.kind != 1) return Error{ErrorKind::kBadInput, "the record holds no coefficients", 0};
  const auto& planes = context.tables->planes();
  if (h.plane >= planes.size()) return corrupt("the record names a plane that the file lacks", 0);
  if (h.plane != context.plane) return Error{ErrorKind::kBadInput, "the record belongs to another plane", 0};
  if (h.layer >= planes[h.plane].n_layers) return corrupt("the record names a layer that the plane lacks", 0);
  if (uint64_t{h.first_tile} + h.tile_count() > context.n_tiles) {
    return corrupt("the record's tiles reach beyond the file's last tile", 2);
  }
  return std::nullopt;
}

// v of one escape (§5.3), or −1 when it is longer than any legal magnitude needs.
int32_t take_exp_golomb(BitReader& in) {
  unsigned n = 0;
  while (in.bit() == 0) {
    if (++n > 15 || in.overrun()) return -1;
  }
  return static_cast<int32_t>((1u << n | static_cast<uint32_t>(in.bits(n))) - 1);
}

}  // namespace

MaybeError RecordDecoder::Work::open(std::span<const uint8_t> record) {
  if (record.size() < kRecordHeaderBytes) {
    return Error{ErrorKind::kTruncated, "the record ends in its header", record.size()};
  }
  const uint64_t packed = load_u64(record.data());
  header = RecordHeader::unpack(packed);
  if (header_check(packed) != header.check)
    return corrupt("the record header's check byte does not match", 7);
  if (record.size() < header.record_bytes()) {
    return Error{ErrorKind::kTruncated, "the record is shorter than its header says", record.size(),
                 std::to_string(header.record_bytes()) + " bytes", std::to_string(record.size())};
  }
  if (record.size() > header.record_bytes()) {
    return Error{ErrorKind::kCorrupt, "the record is longer than its header says", header.record_bytes(),
                 std::to_string(header.record_bytes()) + " bytes", std::to_string(record.size())};
  }
  const size_t crc_at = record.size() - kRecordCrcBytes;
  if (crc32c(record.first(crc_at)) != load_u32(record.data() + crc_at)) {
    return corrupt("the record's checksum does not match", crc_at);
  }
  payload = record.subspan(kRecordHeaderBytes, header.payload_bytes);
  return check_fields(header, context);
}

MaybeError RecordDecoder::Work::read_tile_mask(size_t& at, bool present) {
  live.clear();
  const uint32_t first = header.first_tile, n_tiles = header.tile_count();
  if (!present) {
    for (uint32_t t = 0; t < n_tiles; ++t) live.push_back(first + t);
    return std::nullopt;
  }
  BitReader bits(payload.subspan(at));
  if (payload.size() - at < (n_tiles + 7) / 8)
    return corrupt("the payload ends in the tile mask", in_record(payload.size()));
  for (uint32_t t = 0; t < n_tiles; ++t) {
    if (bits.bit() == 0) live.push_back(first + t);
  }
  if (!bits.padding_is_zero())
    return corrupt("the tile mask's padding is not zero", in_record(at + bits.bytes_used() - 1));
  if (live.size() == n_tiles) return corrupt("the tile mask masks no tile", in_record(at));
  at += bits.bytes_used();
  return std::nullopt;
}

MaybeError RecordDecoder::Work::read_token_mask(size_t& at) {
  const size_t n_tokens = plane.n_frequencies();
  BitReader bits(payload.subspan(at));
  for (const uint32_t tile : live) {
    const uint32_t is_partly = bits.bit();
    if (bits.overrun()) return corrupt("the payload ends in the token mask", in_record(payload.size()));
    if (!is_partly) continue;
    const auto own = own_tokens(context.derived.subspan(tile * n_tokens, n_tokens), plane.rows, plane.cols);
    if (!own) {
      return Error{ErrorKind::kBadInput,
                   "the own tokens of tile " + std::to_string(tile) + " are not a rectangle"};
    }
    if (const char* what = take_token_rows(bits, *own, rows))
      return corrupt(what, in_record(at + bits.bytes_used()));
    partly.push_back(tile);
    partly_own.push_back(*own);
  }
  if (partly.empty()) return corrupt("the token mask masks no token", in_record(at));
  if (!bits.padding_is_zero())
    return corrupt("the token mask's padding is not zero", in_record(at + bits.bytes_used() - 1));
  at += bits.bytes_used();
  return std::nullopt;
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
  const size_t capacity = nonzeros.size() - kSlack;
  for (const Run& run : plan.coded) {
    const auto n = static_cast<uint32_t>(live.size() * plane.band(run.band).size());
    const RunEnd end = decode_run(context.tables->tables()[run.level], n, long_form, x, words,
                                  nonzeros.data(), &n_nonzeros, capacity);
    if (end == RunEnd::kOutOfWords)
      return corrupt("the words end before the symbols", in_record(payload.size()));
    if (end == RunEnd::kTooMany)
      return corrupt("more non-zero symbols than sign bits", in_record(payload.size()));
    group_nonzeros.push_back(n_nonzeros);
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

MaybeError RecordDecoder::Work::read_lanes(const LayerPlan& plan, size_t at) {
  const unsigned lanes = header.lanes();
  std::array<uint32_t, kMaxLanes> states;
  if (payload.size() - at < size_t{4} * lanes)
    return corrupt("the payload ends in the states", in_record(payload.size()));
  for (unsigned lane = 0; lane < lanes; ++lane, at += 4) {
    states[lane] = load_u32(payload.data() + at);
    if (states[lane] < 65536) return corrupt("a lane's state is below 65536", in_record(at));
  }

  WordSource words{payload.data() + at, payload.data() + payload.size()};
  const auto decode_lanes = kernels().decode_lanes;
  const size_t capacity = nonzeros.size() - kSlack;
  std::array<const Table*, kMaxLanes> tables;
  std::array<uint8_t, kBlockSymbols> symbols;
  for (size_t first = 0; first < plan.coded.size();) {
    const size_t end = plan.group_end(first, lanes);
    const auto n_lanes = static_cast<unsigned>(end - first);
    for (unsigned lane = 0; lane < n_lanes; ++lane)
      tables[lane] = &context.tables->tables()[plan.coded[first + lane].level];
    const auto n_steps = static_cast<uint32_t>(live.size() * plane.band(plan.coded[first].band).size());
    const uint32_t block = static_cast<uint32_t>(kBlockSymbols / n_lanes);
    for (uint32_t step = 0; step < n_steps; step += block) {
      const uint32_t steps = std::min(block, n_steps - step);
      if (decode_lanes(tables.data(), n_lanes, steps, states.data(), words, symbols.data()) !=
          RunEnd::kDone) {
        return corrupt("the words end before the symbols", in_record(payload.size()));
      }
      // Appending is free of branches, which nobody could predict in dense data; rows of eight zeros are
      // skipped.
      for (uint32_t s = 0; s < steps; ++s) {
        const uint8_t* row = symbols.data() + size_t{s} * n_lanes;
        if (n_nonzeros + n_lanes > capacity + kSlack) {
          return corrupt("more non-zero symbols than sign bits", in_record(payload.size()));
        }
        for (unsigned lane = 0; lane < n_lanes;) {
          const unsigned lane_end = std::min(lane + 8, n_lanes);
          if (lane_end - lane == 8 && load_u64(row + lane) == 0) {
            lane = lane_end;
            continue;
          }
          for (; lane < lane_end; ++lane) {
            const unsigned k = row[lane];
            nonzeros[n_nonzeros] = {step + s, static_cast<int16_t>(k), static_cast<uint8_t>(lane),
                                    k == tables[lane]->n_thresholds};
            n_nonzeros += k != 0;
          }
        }
      }
    }
    group_nonzeros.push_back(n_nonzeros);
    first = end;
  }
  if (n_nonzeros > capacity)
    return corrupt("more non-zero symbols than sign bits", in_record(payload.size()));
  at = static_cast<size_t>(words.next - payload.data());
  for (unsigned lane = 0; lane < lanes; ++lane) {
    if (states[lane] != 65536) return corrupt("a lane does not end in its start state", in_record(at));
  }
  return read_raw(at, 0);
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

RecordDecoder::RecordDecoder(const PlaneContext& context, const DecodeTarget& target)
    : work_(std::make_unique<Work>(context, target)) {}
RecordDecoder::~RecordDecoder() = default;

MaybeError RecordDecoder::decode(std::span<const uint8_t> record) {
  Work& w = *work_;
  w.partly.clear();
  w.partly_own.clear();
  w.rows.clear();
  w.group_nonzeros.clear();
  w.n_nonzeros = 0;
  if (auto error = w.open(record)) return error;

  const int q = static_cast<int>(w.context.ladder_index) + w.header.ladder_offset;
  const auto e = w.context.tables->layer_index(w.plane, w.header.layer, q);
  if (!e) return corrupt("the ladder offset leads off the step ladder", 1);

  const unsigned form = w.payload[0];
  const bool one_lane = w.header.log2_lanes == 0;
  if (form >> 5 != 0) return corrupt("reserved bits of the form are set", w.in_record(0));
  if (!one_lane && form >> 2 != 7) return corrupt("the form does not fit several lanes", w.in_record(0));
  if ((form & 2) != 0 && w.header.layer != 0) return corrupt("a token mask outside layer 0", w.in_record(0));
  size_t at = 1;
  if (auto error = w.read_tile_mask(at, (form & 1) != 0)) return error;
  if ((form & 2) != 0) {
    if (auto error = w.read_token_mask(at)) return error;
  }

  const LayerPlan& plan = w.plans.at(w.header.layer, *e);
  const uint64_t n_symbols = plan.symbols_per_tile * w.live.size();
  if (n_symbols > kMaxRecordSymbols) {
    return Error{ErrorKind::kLimit, "the record claims too many symbols", w.in_record(0),
                 "at most " + std::to_string(kMaxRecordSymbols), std::to_string(n_symbols)};
  }
  // Each non-zero symbol has its sign among the payload's bits or in the 16 of a start state.
  const size_t most = static_cast<size_t>(std::min<uint64_t>(n_symbols, 16 + 8 * uint64_t{w.payload.size()}));
  if (w.nonzeros.size() < most + kSlack) w.nonzeros.resize(most + kSlack);

  if (auto error = one_lane ? w.read_one_lane(plan, form, at) : w.read_lanes(plan, at)) return error;
  if (auto error = w.check_range()) return error;
  w.write(plan);
  return std::nullopt;
}

}  // namespace swathpack
