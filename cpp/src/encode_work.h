// The state of a RecordEncoder: masks and assembly are in encode.cpp, symbols in encode_symbols.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "bit_string.h"
#include "isa/kernels.h"
#include "lane_tables.h"
#include "layer_plan.h"
#include "layout.h"
#include "masks.h"
#include "swathpack/record_header.h"
#include "swathpack/records.h"

namespace swathpack {

struct RecordEncoder::Work {
  static constexpr size_t kBlockValues = 8192;  // gathered at a time
  static constexpr size_t kMaxWords = kMaxPayloadBytes / 2;
  static constexpr size_t kWordSlack =
      kBlockValues + kStreamSlack;  // room below the first word when a block is coded

  Work(const PlaneContext& c, const EncodeSource& s)
      : context(c),
        source(s),
        plane(c.tables->planes()[c.plane]),
        layout(plane, s.order),
        plans(*c.tables, plane),
        words(kMaxWords + kWordSlack) {}

  PlaneContext context;
  EncodeSource source;
  const Plane& plane;
  Layout layout;
  LayerPlans plans;
  LaneGroupSets groups;

  RecordHeader header;
  unsigned e = 0;  // the layer's place on the ladder (§5.2)
  std::vector<uint32_t> live;
  BitWriter tile_mask, token_mask;
  bool has_tile_mask = false, has_token_mask = false;
  std::vector<uint64_t> rows;

  std::array<int16_t, kBlockValues> block{};  // rows of a lane group, as wide as its tables
  std::array<float, kBlockValues> latents{};  // the same before the quantiser
  std::vector<uint8_t> symbols;  // indices of the whole record, as Kernels::collect_lanes has them
  BitWriter escapes;
  uint64_t n_escapes = 0;
  std::vector<EscapeStep> escape_steps;
  std::vector<const void*> row_pointers;
  std::vector<uint16_t> words;  // filled from the end

  // One lane: the first 16 signs, first one in bit 15, and those beyond.
  uint32_t first_signs = 0;
  BitWriter signs;
  uint64_t n_nonzeros = 0;
  std::vector<uint8_t> low_bits;  // of `symbols`, as far as a table with low bits has needed them

  // Several lanes.
  std::vector<uint8_t> sign_bytes;
  size_t n_sign_bits = 0;
  size_t n_collected = 0;  // of `symbols`

  MaybeError check_header(uint64_t packed);
  MaybeError collect_masks();

  // encode_symbols.cpp
  MaybeError check_silent(const LayerPlan& plan) const;
  MaybeError gather(const Steps& steps, size_t width);
  MaybeError quantise(const Steps& steps, size_t width);
  [[nodiscard]] Steps steps_of(const LayerPlan& plan, size_t first, size_t end) const;
  MaybeError put_escape(int value, const Table& table);
  MaybeError collect_one_lane(const LayerPlan& plan);
  MaybeError collect_lanes(LaneGroups& all, const LayerPlan& plan);
  void take_first_signs(std::span<uint32_t> states) const;
  MaybeError encode_one_lane(const LayerPlan& plan, uint32_t& state, uint16_t*& top);
  MaybeError encode_lanes(LaneGroups& all, const LayerPlan& plan, uint32_t* states, uint16_t*& top);
};

inline Error bad(std::string what, std::string expected = {}, std::string found = {}, std::string fix = {}) {
  return Error{ErrorKind::kBadInput, std::move(what),  std::nullopt,
               std::move(expected),  std::move(found), std::move(fix)};
}

inline Error too_long() {
  return Error{ErrorKind::kLimit,           "the record does not fit 65536 bytes", std::nullopt, "", "",
               "use fewer tiles per record"};
}

}  // namespace swathpack
