// The state of a RecordDecoder: what one record says, read in decode.cpp and, once all of it holds, written
// out in write_record.cpp.
#pragma once

#include <cstdint>
#include <span>
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

// What one record says, before any of it is believed. Nothing here grows beyond a multiple of the payload:
// every non-zero symbol has a sign bit in it, every explicit mask row at least one bit.
struct RecordDecoder::Work {
  Work(const PlaneContext& c, const DecodeTarget& t)
      : context(c),
        target(t),
        plane(c.tables->planes()[c.plane]),
        layout(plane, t.order),
        plans(*c.tables, plane),
        block(size_t{kBlockValues} * 2) {}

  static constexpr size_t kBlockValues =
      8192;  // what is decoded of a lane group before it is put in its place

  PlaneContext context;
  DecodeTarget target;
  const Plane& plane;
  Layout layout;
  LayerPlans plans;
  LaneGroupSets groups;

  RecordHeader header;
  std::span<const uint8_t> payload;
  std::vector<uint32_t> live;    // tiles of the record that are not masked
  std::vector<uint32_t> partly;  // of these, the partly masked ones
  std::vector<OwnTokens> partly_own;
  std::vector<uint64_t> rows;  // their mask rows, one tile after the other
  unsigned e = 0;              // the layer's place on the ladder (§5.2)
  // One lane: its non-zero symbols, and how many there were after each run.
  std::vector<Nonzero> nonzeros;
  std::vector<size_t> run_nonzeros;
  size_t n_nonzeros = 0;
  // Several lanes: a block of int8, int16 or float16 values, and the escapes met.
  struct Escape {
    size_t element;  // of the target
    uint8_t level;
    bool is_negative;
  };
  std::vector<uint8_t> block;
  std::vector<void*> row_pointers;
  std::vector<EscapeStep> escape_steps;
  std::vector<Escape> escapes;

  // Bytes of the record (not of the payload) at a position of the payload: what an error's offset says.
  static size_t in_record(size_t payload_position) { return kRecordHeaderBytes + payload_position; }
  [[nodiscard]] float step_width() const { return context.tables->ladder()[e]; }

  MaybeError open(std::span<const uint8_t> record);
  MaybeError read_tile_mask(size_t& at, bool present);
  MaybeError read_token_mask(size_t& at);

  // decode_one_lane.cpp
  MaybeError read_one_lane(const LayerPlan& plan, unsigned form, size_t at);
  MaybeError read_raw(size_t at, size_t first);
  [[nodiscard]] MaybeError check_range(const LayerPlan& plan) const;
  // Whether a symbol of a level fits the target; level matters to float16 only.
  [[nodiscard]] MaybeError check_value(int symbol, uint8_t level) const;
  void write_nonzeros(const LayerPlan& plan);
  template <class Element, class Convert>
  void write_list(const LayerPlan& plan, Convert convert);

  // decode_lanes.cpp. A trial checks everything and writes nothing.
  MaybeError read_lanes(const LayerPlan& plan, size_t at, bool is_trial);
  MaybeError place_block(const LaneGroup& group, ValueType type, const Steps& steps);
  void list_escapes(ValueType type, const Steps& steps, const EscapeStep& found);
  MaybeError read_escapes(std::span<const uint8_t> bytes, size_t at, bool is_trial);

  // write_record.cpp
  void clear(uint32_t tile, const std::vector<LayerPlan::Range>& ranges);
  void clear_layer(const LayerPlan& plan);   // in all tiles of the record
  void clear_silent(const LayerPlan& plan);  // what read_lanes() does not write
  void write_masks();
  [[nodiscard]] bool any_tile_has_layer() const;
  void mark_layer();
};

// v of one escape (§5.3), or −1 when it is longer than any legal magnitude needs.
int32_t take_exp_golomb(BitReader& in);

inline Error corrupt(std::string what, size_t offset) {
  return Error{ErrorKind::kCorrupt, std::move(what), offset};
}

}  // namespace swathpack
