// One record from its bytes: header, masks, and the choice between one lane and several (bitstream §4.1, §5).
#include <algorithm>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include "bytes.h"
#include "decode_work.h"
#include "swathpack/checksum.h"

namespace swathpack {
namespace {

// The fields of §4.1 that need the file's planes and tiles to be judged.
MaybeError check_fields(const RecordHeader& h, const PlaneContext& context) {
  if (h.kind == static_cast<uint8_t>(RecordKind::kRefinement))
    return Error{ErrorKind::kUnsupported, "refinement records are not known yet", 0, "", "",
                 "use a newer Swathpack"};
  if (h.kind > static_cast<uint8_t>(RecordKind::kCompactCoefficients)) {
    return Error{
        ErrorKind::kUnsupported, "record kind " + std::to_string(h.kind) + " is not known", 0, "", "",
        "use a newer Swathpack"};
  }
  if (h.kind == 0) return corrupt("a record of kind 0", 0);
  if (!h.is_coefficients()) return Error{ErrorKind::kBadInput, "the record holds no coefficients", 0};
  const auto& planes = context.tables->planes();
  if (h.plane >= planes.size()) return corrupt("the record names a plane that the file lacks", 0);
  if (h.plane != context.plane) return Error{ErrorKind::kBadInput, "the record belongs to another plane", 0};
  if (h.layer >= planes[h.plane].n_layers) return corrupt("the record names a layer that the plane lacks", 0);
  if (uint64_t{h.first_tile} + h.tile_count() > context.n_tiles) {
    return corrupt("the record's tiles reach beyond the file's last tile", 2);
  }
  return std::nullopt;
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

MaybeError RecordDecoder::Work::read_tile_mask(bool present) {
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

MaybeError RecordDecoder::Work::read_token_mask() {
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

MaybeError RecordDecoder::Work::prepare(std::span<const uint8_t> record) {
  partly.clear();
  partly_own.clear();
  rows.clear();
  if (auto error = open(record)) return error;

  const auto place = context.tables->layer_index(
      plane, header.layer, static_cast<int>(context.ladder_index) + header.ladder_offset);
  if (!place) return corrupt("the ladder offset leads off the step ladder", 1);
  e = *place;

  form = header.is_compact() ? header.state_form << 2 : payload[0];
  at = header.is_compact() ? 0 : 1;
  if (form >> 5 != 0) return corrupt("reserved bits of the form are set", form_at());
  if (!one_lane() && form >> 2 != 7) return corrupt("the form does not fit several lanes", form_at());
  if (one_lane() && !header.is_compact() && (form & 3) == 0) {
    return corrupt("one lane without masks in a record that is not compact", form_at());
  }
  if ((form & 2) != 0 && header.layer != 0) return corrupt("a token mask outside layer 0", form_at());
  if (auto error = read_tile_mask((form & 1) != 0)) return error;
  if ((form & 2) != 0) {
    if (auto error = read_token_mask()) return error;
  }

  plan = &shared.plans.at(header.layer, e);
  const uint64_t n_symbols = plan->symbols_per_tile * live.size();
  if (n_symbols > kMaxRecordSymbols) {
    return Error{ErrorKind::kLimit, "the record claims too many symbols", in_record(0),
                 "at most " + std::to_string(kMaxRecordSymbols), std::to_string(n_symbols)};
  }
  return one_lane() ? begin_one_lane() : begin_lanes();
}

// Records of several lanes are written before their end has been seen. That must not harm what an earlier
// record has said: where there is one, they go into an array of their own first. So do those whose values do
// not show what the symbols were, and those as symbols.
bool RecordDecoder::Work::must_be_decoded_apart() const {
  return any_tile_has_layer() || !values_show_symbols();
}

// Only what belongs to the layer is copied from there, since other threads may be writing other layers of the
// same tiles.
MaybeError RecordDecoder::Work::decode_lanes_apart() {
  const ElementType wanted = target.type;
  const bool as_symbols = !values_show_symbols();
  if (as_symbols) target.type = ElementType::kInt16;
  const size_t size = bytes_of(target.type), tile_bytes = layout.tile * size;
  std::vector<uint8_t> apart(live.size() * tile_bytes);
  std::vector<uint32_t> places(live.size());
  std::iota(places.begin(), places.end(), 0u);
  places.swap(live);
  void* const symbols = std::exchange(target.symbols, apart.data());
  auto error = read_lanes();
  target.symbols = symbols;
  target.type = wanted;
  live.swap(places);
  if (error) return error;
  if (as_symbols) return write_values(reinterpret_cast<const int16_t*>(apart.data()));
  for (size_t i = 0; i < live.size(); ++i) {
    const uint8_t* const from = apart.data() + i * tile_bytes;
    uint8_t* const to = static_cast<uint8_t*>(symbols) + live[i] * tile_bytes;
    for (const LayerPlan::Range& range : plan->all) {
      each_stretch(
          range, plane.band(range.band), layout.channel, layout.frequency,
          [&](size_t first, size_t n) { std::memcpy(to + first * size, from + first * size, n * size); });
    }
  }
  return std::nullopt;
}

// A record that has been prepared, to its end.
MaybeError RecordDecoder::Work::decode_prepared() {
  if (one_lane()) {
    if (auto error = decode_one_lane()) return error;
    return accept_one_lane();
  }
  if (must_be_decoded_apart()) {
    if (auto error = decode_lanes_apart()) return error;
  } else if (auto error = read_lanes()) {
    clear_layer();
    return error;
  }
  clear_silent();
  accept();
  return std::nullopt;
}

MaybeError RecordDecoder::Work::accept_one_lane() {
  if (auto error = finish_one_lane()) return error;
  if (auto error = check_range()) return error;
  clear_layer();
  write_nonzeros();
  accept();
  return std::nullopt;
}

void RecordDecoder::Work::accept() {
  if (header.layer == 0) write_masks();
  mark_layer();
}

RecordDecoder::RecordDecoder(const PlaneContext& context, const DecodeTarget& target)
    : shared_(std::make_unique<SharedPlans>(
          SharedPlans{LayerPlans(*context.tables, context.tables->planes()[context.plane]), {}})) {
  works_.push_back(std::make_unique<Work>(context, target, *shared_));
}
RecordDecoder::~RecordDecoder() = default;

MaybeError RecordDecoder::decode(std::span<const uint8_t> record) {
  Work& w = *works_[0];
  if (auto error = w.prepare(record)) return error;
  return w.decode_prepared();
}

// How many of the records, from the first on, have one shape: as many tiles, in the same layer at the same
// step, none of them in two, with the same lanes. All of these are prepared, and the rest of their headers
// holds too.
size_t RecordDecoder::prepare_alike(std::span<const std::span<const uint8_t>> records) {
  while (works_.size() < records.size()) {
    works_.push_back(std::make_unique<Work>(works_[0]->context, works_[0]->target, *shared_));
  }
  size_t n = 0;
  for (; n < records.size(); ++n) {
    Work& w = *works_[n];
    if (w.prepare(records[n])) break;
    if (!w.one_lane() && w.must_be_decoded_apart()) break;
    if (n == 0) continue;
    const Work& before = *works_[n - 1];
    const size_t last_end = size_t{before.header.first_tile} + before.header.tile_count();
    if (w.header.first_tile < last_end || w.header.layer != before.header.layer || w.e != before.e ||
        w.live.size() != before.live.size() || w.header.log2_lanes != before.header.log2_lanes) {
      break;
    }
  }
  return n;
}

void RecordDecoder::decode(std::span<const std::span<const uint8_t>> records,
                           std::span<MaybeError> outcomes) {
  const Kernels& k = kernels();
  const size_t most_lanes = k.at_once,
               most_one_lane = k.decode_side_by_side != nullptr ? SideBySide::kMost : 1;
  constexpr size_t kFewest =
      SideBySide::kMost / 4;  // below, a vector of records is slower than one after the other
  for (size_t first = 0; first < records.size();) {
    const auto left = records.subspan(first);
    const bool one_lane = left[0].size() >= kRecordHeaderBytes &&
                          RecordHeader::unpack(load_u64(left[0].data())).log2_lanes == 0;  // not believed
    const size_t n = prepare_alike(left.first(std::min(left.size(), one_lane ? most_one_lane : most_lanes)));
    if (n == 0) {  // refused, or to be decoded apart
      outcomes[first] = decode(left[0]);
      ++first;
      continue;
    }
    const auto results = outcomes.subspan(first, n);
    if (one_lane && n >= kFewest) {
      decode_side_by_side(results);
    } else if (one_lane || n == 1) {
      for (size_t i = 0; i < n; ++i) results[i] = works_[i]->decode_prepared();
    } else if (!decode_at_once(n)) {
      for (size_t i = 0; i < n; ++i) results[i] = decode(left[i]);
    }
    first += n;
  }
}

// Records of several lanes. False: one of them is wrong, and nothing has been accepted.
bool RecordDecoder::decode_at_once(size_t n) {
  std::array<Work*, 2> works{};
  for (size_t i = 0; i < n; ++i) works[i] = works_[i].get();
  bool ok = !Work::decode_groups(std::span(works).first(n));
  for (size_t i = 0; ok && i < n; ++i) ok = !works[i]->finish_lanes();
  for (size_t i = 0; i < n; ++i) {
    if (ok) {
      works[i]->clear_silent();
      works[i]->accept();
    } else {
      works[i]->clear_layer();
    }
  }
  return ok;
}

// Records of one lane that have been prepared, one for each outcome: their symbols have the same tables in
// the same order.
void RecordDecoder::decode_side_by_side(std::span<MaybeError> outcomes) {
  const size_t n = outcomes.size();
  SideBySide all;
  all.exhausted = n == SideBySide::kMost ? 0 : ~0u << n;
  for (size_t i = 0; i < SideBySide::kMost; ++i) {
    Work& w = *works_[i < n ? i : 0];
    all.out[i] = w.nonzeros.data();
    all.out_end[i] = w.nonzeros.data() + (i < n ? w.capacity : 0);
    all.words[i] = w.words;
    if (i >= n) continue;
    all.hi[i] = static_cast<uint16_t>(w.state >> 16);
    all.lo[i] = static_cast<uint16_t>(w.state);
    all.long_form |= uint32_t{w.long_form} << i;
  }
  const Work& first = *works_[0];
  const auto& coded = first.plan->coded;
  const auto& tables = first.context.tables->tables();
  for (uint32_t run = 0; run < coded.size(); ++run) {
    kernels().decode_side_by_side(tables[coded[run].level], first.n_steps(coded[run]), run, all);
  }
  for (size_t i = 0; i < n; ++i) {
    Work& w = *works_[i];
    w.state = uint32_t{all.hi[i]} << 16 | all.lo[i];
    w.words = all.words[i];
    w.n_nonzeros = static_cast<size_t>(all.out[i] - w.nonzeros.data());
    if (all.out_of_words >> i & 1) {
      outcomes[i] = corrupt("the words end before the symbols", w.in_record(w.payload.size()));
    } else if (all.too_many >> i & 1) {
      outcomes[i] = corrupt("more non-zero symbols than sign bits", w.in_record(w.payload.size()));
    } else {
      outcomes[i] = w.accept_one_lane();
    }
  }
}

}  // namespace swathpack
