// One record from its bytes: header, masks, and the choice between one lane and several (bitstream §4.1, §5).
#include <algorithm>
#include <string>

#include "bytes.h"
#include "decode_work.h"
#include "swathpack/checksum.h"

namespace swathpack {
namespace {

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

RecordDecoder::RecordDecoder(const PlaneContext& context, const DecodeTarget& target)
    : work_(std::make_unique<Work>(context, target)) {}
RecordDecoder::~RecordDecoder() = default;

MaybeError RecordDecoder::decode(std::span<const uint8_t> record) {
  Work& w = *work_;
  w.partly.clear();
  w.partly_own.clear();
  w.rows.clear();
  if (auto error = w.open(record)) return error;

  const int q = static_cast<int>(w.context.ladder_index) + w.header.ladder_offset;
  const auto e = w.context.tables->layer_index(w.plane, w.header.layer, q);
  if (!e) return corrupt("the ladder offset leads off the step ladder", 1);
  w.e = *e;

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
  if (one_lane) {
    if (auto error = w.read_one_lane(plan, form, at)) return error;
    if (auto error = w.check_range(plan)) return error;
    w.clear_layer(plan);
    w.write_nonzeros(plan);
  } else {
    // Values are written before the end of the record has been seen. That must not harm what an earlier
    // record has said.
    if (w.any_tile_has_layer()) {
      if (auto error = w.read_lanes(plan, at, true)) return error;
    }
    if (auto error = w.read_lanes(plan, at, false)) {
      w.clear_layer(plan);
      return error;
    }
    w.clear_silent(plan);
  }
  if (w.header.layer == 0) w.write_masks();
  w.mark_layer();
  return std::nullopt;
}

}  // namespace swathpack
