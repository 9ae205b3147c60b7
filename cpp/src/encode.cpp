#include <algorithm>
#include <array>
#include <bit>
#include <string>

#include "bit_string.h"
#include "bytes.h"
#include "isa/kernels.h"
#include "layer_plan.h"
#include "masks.h"
#include "record_context.h"
#include "swathpack/checksum.h"
#include "swathpack/record_header.h"
#include "swathpack/records.h"

namespace swathpack {
namespace {

constexpr size_t kBlockSymbols = 8192;  // gathered, then coded; also the slack of the word buffer
constexpr size_t kMaxWords = kMaxPayloadBytes / 2;

Error bad(std::string what, std::string expected = {}, std::string found = {}, std::string fix = {}) {
  return Error{ErrorKind::kBadInput, std::move(what),  std::nullopt,
               std::move(expected),  std::move(found), std::move(fix)};
}

Error bad_symbol() {
  return bad("a symbol lies outside what the format can say", "-32767 to 32767", "-32768");
}

}  // namespace

struct RecordEncoder::Work {
  Work(const PlaneContext& c, const EncodeSource& s)
      : context(c),
        source(s),
        plane(c.tables->planes()[c.plane]),
        plans(*c.tables, plane),
        words(kMaxWords + kBlockSymbols) {}

  PlaneContext context;
  EncodeSource source;
  const Plane& plane;
  LayerPlans plans;

  RecordHeader header;
  std::vector<uint32_t> live;
  BitWriter tile_mask, token_mask;
  bool has_tile_mask = false, has_token_mask = false;
  BitWriter signs, escapes;  // signs beyond those in a start state
  uint32_t first_signs = 0;  // one lane: the first 16 signs, first one in bit 15
  uint64_t n_nonzeros = 0, n_escapes = 0;
  std::array<int16_t, kBlockSymbols> block;
  std::vector<uint16_t> words;  // filled from the end
  std::vector<uint64_t> rows;

  // One lane group and the tables of its lanes.
  struct Group {
    const Run* runs;
    unsigned lanes;
    uint32_t n_steps;
    std::array<const Table*, kMaxLanes> tables;
  };

  MaybeError check_header(uint64_t packed);
  MaybeError collect_masks();
  MaybeError check_silent(const LayerPlan& plan) const;
  Group group(const LayerPlan& plan, size_t first, size_t end) const;
  void gather(const Group& g, uint32_t step, uint32_t steps);
  template <class Symbol>
  void gather(const Group& g, uint32_t step, uint32_t steps, const Symbol* symbols);
  MaybeError collect_raw(const LayerPlan& plan);
  MaybeError collect_one_lane(const Group& g, uint32_t steps);
  MaybeError collect_lanes(const Group& g, uint32_t steps);
  void put_escape(unsigned magnitude, unsigned n_thresholds);
  MaybeError encode_words(const LayerPlan& plan, uint32_t* states, uint16_t*& top);
  [[nodiscard]] int symbol_at(size_t index) const {
    return source.type == SymbolType::kInt8 ? static_cast<const int8_t*>(source.symbols)[index]
                                            : static_cast<const int16_t*>(source.symbols)[index];
  }
};

MaybeError RecordEncoder::Work::check_header(uint64_t packed) {
  header = RecordHeader::unpack(packed);
  if (header.kind != 1)
    return bad("only coefficient records are encoded here", "kind 1", std::to_string(header.kind));
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

// A non-zero symbol whose table has no threshold cannot be written; losing it in silence would be worse.
MaybeError RecordEncoder::Work::check_silent(const LayerPlan& plan) const {
  const size_t n_frequencies = plane.n_frequencies();
  for (const uint32_t tile : live) {
    for (const Run& run : plan.silent) {
      const size_t channel = (size_t{tile} * plane.channels + run.channel) * n_frequencies;
      for (const uint16_t f : plane.band(run.band)) {
        if (symbol_at(channel + f) == 0) continue;
        return bad("a symbol of tile " + std::to_string(tile) + ", channel " + std::to_string(run.channel) +
                       ", frequency " + std::to_string(f) + " has a table without thresholds (level " +
                       std::to_string(run.level) + ")",
                   "0", std::to_string(symbol_at(channel + f)), "quantise it to 0");
      }
    }
  }
  return std::nullopt;
}

RecordEncoder::Work::Group RecordEncoder::Work::group(const LayerPlan& plan, size_t first, size_t end) const {
  Group g;
  g.runs = plan.coded.data() + first;
  g.lanes = static_cast<unsigned>(end - first);
  g.n_steps = static_cast<uint32_t>(live.size() * plane.band(g.runs[0].band).size());
  for (unsigned lane = 0; lane < g.lanes; ++lane)
    g.tables[lane] = &context.tables->tables()[g.runs[lane].level];
  return g;
}

template <class Symbol>
void RecordEncoder::Work::gather(const Group& g, uint32_t step, uint32_t steps, const Symbol* symbols) {
  const auto band = plane.band(g.runs[0].band);
  const size_t n_frequencies = plane.n_frequencies();
  size_t tile = step / band.size(), f = step % band.size();
  for (uint32_t s = 0; s < steps; ++s) {
    const Symbol* frequency = symbols + size_t{live[tile]} * plane.channels * n_frequencies + band[f];
    for (unsigned lane = 0; lane < g.lanes; ++lane)
      block[s * g.lanes + lane] = frequency[g.runs[lane].channel * n_frequencies];
    if (++f == band.size()) {
      f = 0;
      ++tile;
    }
  }
}

void RecordEncoder::Work::gather(const Group& g, uint32_t step, uint32_t steps) {
  if (source.type == SymbolType::kInt8) {
    gather(g, step, steps, static_cast<const int8_t*>(source.symbols));
  } else {
    gather(g, step, steps, static_cast<const int16_t*>(source.symbols));
  }
}

void RecordEncoder::Work::put_escape(unsigned magnitude, unsigned n_thresholds) {
  const unsigned code = magnitude - n_thresholds + 1;
  const unsigned n = static_cast<unsigned>(std::bit_width(code)) - 1;
  escapes.put(0, n);
  escapes.put(1, 1);
  escapes.put(code, n);  // without its leading one, least significant first
  ++n_escapes;
}

// One lane: mostly zeros, and the first 16 signs stand apart.
MaybeError RecordEncoder::Work::collect_one_lane(const Group& g, uint32_t steps) {
  for (size_t i = 0; i < steps; ++i) {
    const int value = block[i];
    if (value == 0) continue;
    if (value == -32768) return bad_symbol();
    const unsigned is_negative = value < 0;
    if (n_nonzeros < 16) {
      first_signs |= is_negative << (15 - n_nonzeros);
    } else {
      signs.put(is_negative, 1);
    }
    ++n_nonzeros;
    const unsigned magnitude = static_cast<unsigned>(is_negative ? -value : value);
    if (magnitude >= g.tables[0]->n_thresholds) put_escape(magnitude, g.tables[0]->n_thresholds);
  }
  return std::nullopt;
}

// Several lanes: dense data, where whether a symbol is zero cannot be predicted. A zero appends a sign of no
// bits.
MaybeError RecordEncoder::Work::collect_lanes(const Group& g, uint32_t steps) {
  uint64_t held = 0;
  unsigned n_held = 0;
  const int16_t* value = block.data();
  std::array<unsigned, kMaxLanes> n_thresholds;
  for (unsigned lane = 0; lane < g.lanes; ++lane) n_thresholds[lane] = g.tables[lane]->n_thresholds;
  for (uint32_t step = 0; step < steps; ++step) {
    for (unsigned lane = 0; lane < g.lanes; ++lane, ++value) {
      const int v = *value;
      const unsigned is_negative = v < 0;
      held |= uint64_t{is_negative} << n_held;
      n_held += v != 0;
      const unsigned magnitude = static_cast<unsigned>(is_negative ? -v : v);
      if (magnitude >= n_thresholds[lane]) [[unlikely]] {
        if (v == -32768) return bad_symbol();
        put_escape(magnitude, n_thresholds[lane]);
      }
      if (n_held >= 32) {
        signs.put(static_cast<uint32_t>(held), 32);
        n_nonzeros += 32;
        held >>= 32;
        n_held -= 32;
      }
    }
  }
  signs.put(held, n_held);
  n_nonzeros += n_held;
  return std::nullopt;
}

// Forward over all symbols: signs and escapes, and with their numbers the choice of the form (§5.3, §5.4).
MaybeError RecordEncoder::Work::collect_raw(const LayerPlan& plan) {
  signs.clear();
  escapes.clear();
  first_signs = 0;
  n_nonzeros = n_escapes = 0;
  const bool one_lane = header.log2_lanes == 0;
  for (size_t first = 0; first < plan.coded.size();) {
    const size_t end = plan.group_end(first, header.lanes());
    const Group g = group(plan, first, end);
    const auto block_steps = static_cast<uint32_t>(kBlockSymbols / g.lanes);
    for (uint32_t step = 0; step < g.n_steps; step += block_steps) {
      const uint32_t steps = std::min(block_steps, g.n_steps - step);
      gather(g, step, steps);
      if (auto error = one_lane ? collect_one_lane(g, steps) : collect_lanes(g, steps)) return error;
      if (signs.n_bits() + escapes.n_bits() > size_t{8} * kMaxPayloadBytes) {
        return Error{ErrorKind::kLimit,           "the record does not fit 65536 bytes", std::nullopt, "", "",
                     "use fewer tiles per record"};
      }
    }
    first = end;
  }
  return std::nullopt;
}

// Backward over all symbols. `top` comes in as the end of the word buffer and leaves as the first word.
MaybeError RecordEncoder::Work::encode_words(const LayerPlan& plan, uint32_t* states, uint16_t*& top) {
  const auto encode_lanes = kernels().encode_lanes;
  std::vector<size_t> firsts;
  for (size_t first = 0; first < plan.coded.size(); first = plan.group_end(first, header.lanes()))
    firsts.push_back(first);
  size_t end = plan.coded.size();
  while (!firsts.empty()) {
    const Group g = group(plan, firsts.back(), end);
    const auto block_steps = static_cast<uint32_t>(kBlockSymbols / g.lanes);
    uint32_t step_end = g.n_steps;
    while (step_end > 0) {
      const uint32_t steps = std::min(block_steps, step_end);
      step_end -= steps;
      gather(g, step_end, steps);
      if (static_cast<size_t>(top - words.data()) < kBlockSymbols) {
        return Error{ErrorKind::kLimit,           "the record does not fit 65536 bytes", std::nullopt, "", "",
                     "use fewer tiles per record"};
      }
      encode_lanes(g.tables.data(), g.lanes, steps, block.data(), states, top);
    }
    end = firsts.back();
    firsts.pop_back();
  }
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
  const LayerPlan& plan = w.plans.at(w.header.layer, place.value());
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
  if (auto error = w.collect_raw(plan)) return error;

  const unsigned lanes = w.header.lanes();
  const bool long_form = lanes > 1 || w.n_nonzeros > 16 || w.n_escapes > 0;
  std::array<uint32_t, kMaxLanes> states;
  states.fill(65536);
  if (lanes == 1)
    states[0] = long_form ? 65536 + w.first_signs : (65536 + w.first_signs) >> (16 - w.n_nonzeros);
  uint16_t* top = w.words.data() + w.words.size();
  if (auto error = w.encode_words(plan, states.data(), top)) return error;

  const unsigned state_bytes = lanes > 1 ? 4 : (static_cast<unsigned>(std::bit_width(states[0])) + 7) / 8;
  const size_t begin = out.size();
  append_le(out, 0, kRecordHeaderBytes);
  out.push_back(static_cast<uint8_t>((w.has_tile_mask ? 1 : 0) | (w.has_token_mask ? 2 : 0) |
                                     (state_bytes - 1) << 2 | (long_form ? 16 : 0)));
  const auto append = [&out](std::span<const uint8_t> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
  };
  if (w.has_tile_mask) append(w.tile_mask.finish());
  if (w.has_token_mask) append(w.token_mask.finish());
  for (unsigned lane = 0; lane < lanes; ++lane) append_le(out, states[lane], state_bytes);
  for (const uint16_t* word = top; word != w.words.data() + w.words.size(); ++word) append_le(out, *word, 2);
  w.signs.append(w.escapes);
  append(w.signs.finish());

  const size_t payload = out.size() - begin - kRecordHeaderBytes;
  if (payload > kMaxPayloadBytes) {
    out.resize(begin);
    return Error{ErrorKind::kLimit,       "the record does not fit 65536 bytes", std::nullopt, "",
                 std::to_string(payload), "use fewer tiles per record"};
  }
  w.header.payload_bytes = static_cast<uint32_t>(payload);
  const uint64_t final_header = w.header.pack();
  for (unsigned i = 0; i < kRecordHeaderBytes; ++i)
    out[begin + i] = static_cast<uint8_t>(final_header >> (8 * i));
  append_le(out, crc32c(std::span(out).subspan(begin)), kRecordCrcBytes);
  return std::nullopt;
}

}  // namespace swathpack
