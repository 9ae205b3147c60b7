// One record to its bytes: header, masks, and what encode_symbols.cpp has made of the symbols.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

#include "bytes.h"
#include "encode_work.h"
#include "record_context.h"
#include "swathpack/checksum.h"

namespace swathpack {
namespace {

void append_words(std::vector<uint8_t>& out, std::span<const uint16_t> words) {
  if constexpr (std::endian::native == std::endian::little) {
    const auto* const first = reinterpret_cast<const uint8_t*>(words.data());
    out.insert(out.end(), first, first + words.size_bytes());
  } else {
    for (const uint16_t word : words) append_le(out, word, 2);
  }
}

}  // namespace

MaybeError RecordEncoder::Work::check_header(uint64_t packed) {
  header = RecordHeader::unpack(packed);
  if (header.kind != static_cast<uint8_t>(RecordKind::kCoefficients)) {
    return bad("only coefficient records are encoded here", "kind 1", std::to_string(header.kind),
               header.is_compact() ? "ask for kind 1 and one lane; kind 6 follows from the masks" : "");
  }
  if (packed >> 40 != 0) return bad("the length and check fields of a header to be encoded must be 0");
  if (header.plane != context.plane) {
    return bad("all records of one call belong to one plane", std::to_string(context.plane),
               std::to_string(header.plane));
  }
  if (header.layer >= plane.n_layers) {
    return bad("the plane has no such layer", "below " + std::to_string(plane.n_layers),
               std::to_string(header.layer));
  }
  const uint64_t end = uint64_t{header.first_tile} + header.tile_count();
  if (end > context.n_tiles) {
    return bad("the record's tiles reach beyond the last tile", "at most " + std::to_string(context.n_tiles),
               std::to_string(end));
  }
  return std::nullopt;
}

MaybeError RecordEncoder::Work::collect_masks() {
  live.clear();
  tile_mask.clear();
  token_mask.clear();
  has_tile_mask = has_token_mask = false;
  const size_t n_tokens = plane.n_frequencies();
  for (uint32_t t = 0; t < header.tile_count(); ++t) {
    const uint32_t tile = header.first_tile + t;
    const bool masked = source.tile_mask[tile] != 0;
    tile_mask.put(masked, 1);
    has_tile_mask |= masked;
    if (masked) continue;
    live.push_back(tile);

    const auto own = own_tokens(context.derived.subspan(tile * n_tokens, n_tokens), plane.rows, plane.cols);
    if (!own) return bad("the own tokens of tile " + std::to_string(tile) + " are not a rectangle");
    const auto mask = source.token_mask.subspan(tile * n_tokens, n_tokens);
    rows.clear();
    uint64_t any = 0, all = own->full_row();
    for (unsigned r = own->row; r < own->row_end; ++r) {
      rows.push_back(mask_row(mask, plane.cols, *own, r));
      any |= rows.back();
      all &= rows.back();
    }
    if (all == own->full_row()) {
      return bad(
          "tile " + std::to_string(tile) + " has no valid token of its own and is not in the tile mask", {},
          {}, "set it in the tile mask");
    }
    token_mask.put(any != 0, 1);
    if (any == 0) continue;
    has_token_mask = true;
    put_token_rows(token_mask, rows, *own);
  }
  has_token_mask &= header.layer == 0;
  return std::nullopt;
}

RecordEncoder::RecordEncoder(const PlaneContext& context, const EncodeSource& source)
    : work_(std::make_unique<Work>(context, source)) {}
RecordEncoder::~RecordEncoder() = default;

MaybeError RecordEncoder::encode(uint64_t packed, std::vector<uint8_t>& out) {
  Work& w = *work_;
  if (auto error = w.check_header(packed)) return error;
  auto place = find_layer(*w.context.tables, w.header.plane, w.header.layer,
                          static_cast<int>(w.context.ladder_index) + w.header.ladder_offset);
  if (!place.ok()) return place.error();
  w.e = place.value();
  const LayerPlan& plan = w.plans.at(w.header.layer, w.e);
  if (auto error = w.collect_masks()) return error;
  const uint64_t n_symbols = plan.symbols_per_tile * w.live.size();
  if (n_symbols > kMaxRecordSymbols) {
    return Error{ErrorKind::kLimit,
                 "a record of too many symbols",
                 std::nullopt,
                 "at most " + std::to_string(kMaxRecordSymbols),
                 std::to_string(n_symbols),
                 "use fewer tiles per record"};
  }
  if (auto error = w.check_silent(plan)) return error;

  const unsigned lanes = w.header.lanes();
  std::array<uint32_t, kMaxLanes> states;
  states.fill(65536);
  uint16_t* top = w.words.data() + w.words.size();
  bool long_form = true;
  if (lanes == 1) {
    if (auto error = w.collect_one_lane(plan)) return error;
    long_form = w.n_nonzeros > 16 || w.n_escapes > 0;
    states[0] = long_form ? 65536 + w.first_signs : (65536 + w.first_signs) >> (16 - w.n_nonzeros);
    if (auto error = w.encode_one_lane(plan, states[0], top)) return error;
  } else {
    LaneGroups& all = w.groups.at(*w.context.tables, plan, w.header.layer, w.e, lanes, 0);
    if (auto error = w.collect_lanes(all, plan)) return error;
    w.take_first_signs(std::span(states).first(lanes));
    if (auto error = w.encode_lanes(all, plan, states.data(), top)) return error;
  }

  const unsigned state_bytes = lanes > 1 ? 4 : (static_cast<unsigned>(std::bit_width(states[0])) + 7) / 8;
  const size_t begin = out.size();
  append_le(out, 0, kRecordHeaderBytes);
  const auto state_form = static_cast<uint8_t>((state_bytes - 1) | (long_form ? 4 : 0));
  if (lanes == 1 && !w.has_tile_mask && !w.has_token_mask) {
    w.header.kind = static_cast<uint8_t>(RecordKind::kCompactCoefficients);
    w.header.state_form = state_form;
  } else {
    out.push_back(
        static_cast<uint8_t>((w.has_tile_mask ? 1 : 0) | (w.has_token_mask ? 2 : 0) | state_form << 2));
  }
  const auto append = [&out](std::span<const uint8_t> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  if (w.has_tile_mask) append(w.tile_mask.finish());
  if (w.has_token_mask) append(w.token_mask.finish());
  for (unsigned lane = 0; lane < lanes; ++lane) append_le(out, states[lane], state_bytes);
  append_words(out, std::span(top, w.words.data() + w.words.size()));
  if (lanes == 1) {
    w.signs.append(w.escapes);
    append(w.signs.finish());
  } else {
    append(w.escapes.finish());
    const size_t first = 2 * size_t{lanes}, n = (w.n_sign_bits + 7) / 8;  // those before stand in the states
    if (n > first) {
      const auto bytes = w.sign_bytes.rbegin() + static_cast<ptrdiff_t>(w.sign_bytes.size() - n);
      out.insert(out.end(), bytes, bytes + static_cast<ptrdiff_t>(n - first));
    }
  }

  const size_t payload = out.size() - begin - kRecordHeaderBytes;
  if (payload > kMaxPayloadBytes) {
    out.resize(begin);
    return too_long();
  }
  w.header.payload_bytes = static_cast<uint32_t>(payload);
  const uint64_t final_header = w.header.pack();
  for (unsigned i = 0; i < kRecordHeaderBytes; ++i)
    out[begin + i] = static_cast<uint8_t>(final_header >> (8 * i));
  append_le(out, crc32c(std::span(out).subspan(begin)), kRecordCrcBytes);
  return std::nullopt;
}

}  // namespace swathpack
