// The state of a RecordDecoder: what one record says, read in decode.cpp and, once all of it holds, written
// out in write_record.cpp.
#pragma once

#include <array>
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

// What the records of one call have in common, made when first needed.
struct SharedPlans {
  LayerPlans plans;
  LaneGroupSets groups;
};

// What one record says, before any of it is believed. Nothing here grows beyond a multiple of the payload:
// every non-zero symbol has a sign bit in it, every explicit mask row at least one bit.
struct RecordDecoder::Work {
  Work(const PlaneContext& c, const DecodeTarget& t, SharedPlans& s)
      : context(c), target(t), plane(c.tables->planes()[c.plane]), layout(plane, t.order), shared(s) {}

  static constexpr size_t kBlockValues =
      8192;  // what is decoded of a lane group before it is put in its place

  PlaneContext context;
  DecodeTarget target;
  const Plane& plane;
  Layout layout;
  SharedPlans& shared;

  RecordHeader header;
  std::span<const uint8_t> payload;
  std::vector<uint32_t> live;    // tiles of the record that are not masked
  std::vector<uint32_t> partly;  // of these, the partly masked ones
  std::vector<OwnTokens> partly_own;
  std::vector<uint64_t> rows;  // their mask rows, one tile after the other
  unsigned e = 0;              // the layer's place on the ladder (§5.2)
  const LayerPlan* plan = nullptr;
  unsigned form = 0;
  size_t at = 0;  // of the payload: where the states begin

  // One lane: the coder, and the non-zero symbols met.
  uint32_t state = 0;
  WordSource words{};
  bool long_form = false;
  std::vector<Nonzero> nonzeros;
  size_t n_nonzeros = 0, capacity = 0;

  // Several lanes: a block of int8, int16 or float16 values, and the escapes met.
  struct Escape {
    size_t element;  // of the target
    uint8_t level;
    int16_t least;  // magnitude: that of v = 0
  };
  std::array<uint32_t, kMaxLanes> lane_states;
  std::vector<uint8_t> stream_bytes;
  uint8_t* rest = nullptr;  // in these: what follows the states
  size_t n_rest = 0;
  LaneStream stream{};
  std::vector<uint8_t> block;
  std::vector<float> float_block;
  std::vector<uint16_t> half_block;
  std::vector<void*> row_pointers;
  std::vector<EscapeStep> escape_steps;
  std::vector<Escape> escapes;
  std::vector<size_t> too_large;  // elements of an int8 target that are 128 unless their sign says −128

  // Bytes of the record (not of the payload) at a position of the payload: what an error's offset says.
  static size_t in_record(size_t payload_position) { return kRecordHeaderBytes + payload_position; }
  // Byte of the record that holds bits 2–4 of the form (§5.1).
  [[nodiscard]] size_t form_at() const { return header.is_compact() ? 1 : in_record(0); }
  [[nodiscard]] float step_width() const { return context.tables->ladder()[e]; }
  [[nodiscard]] bool one_lane() const { return header.log2_lanes == 0; }
  [[nodiscard]] uint32_t n_steps(const Run& run) const {
    return static_cast<uint32_t>(live.size() * plane.band(run.band).size());
  }

  // decode.cpp: everything before the states; then all of it.
  MaybeError open(std::span<const uint8_t> record);
  MaybeError prepare(std::span<const uint8_t> record);
  [[nodiscard]] bool must_be_decoded_apart() const;
  MaybeError decode_lanes_apart();
  MaybeError decode_prepared();
  MaybeError accept_one_lane();
  void accept();
  MaybeError read_tile_mask(bool present);
  MaybeError read_token_mask();

  // decode_one_lane.cpp
  MaybeError begin_one_lane();
  MaybeError decode_one_lane();
  MaybeError finish_one_lane();
  MaybeError read_raw(size_t raw, size_t first);
  [[nodiscard]] MaybeError check_range() const;
  void write_nonzeros();
  template <class Element, class Convert>
  void write_list(Convert convert);

  // decode_lanes.cpp
  MaybeError begin_lanes();
  static MaybeError decode_groups(std::span<Work* const> works);  // records of equal shape
  MaybeError finish_lanes();
  MaybeError read_lanes() {
    Work* const alone = this;
    if (auto error = decode_groups({&alone, 1})) return error;
    return finish_lanes();
  }
  [[nodiscard]] LaneGroups& lane_groups() const {
    const float half_step = target.type == ElementType::kFloat16 ? step_width() : 0;
    return shared.groups.at(*context.tables, *plan, header.layer, e, header.lanes(), half_step);
  }
  [[nodiscard]] Steps steps_of(const LaneGroup& group) const {
    const Run& first = plan->coded[group.first];
    return {std::span(plan->coded).subspan(group.first, group.end - group.first), plane.band(first.band),
            live, 0, n_steps(first)};
  }
  [[nodiscard]] size_t element(const Steps& steps, uint32_t row, size_t lane) const;
  MaybeError place_block(const LaneGroup& group, ValueType type, const Steps& steps);
  void list_escapes(const LaneGroup& group, const Steps& steps, const EscapeStep& found);
  MaybeError check_int8_block(const LaneGroup& group, const Steps& steps);
  MaybeError halve_block(const LaneGroup& group, const Steps& steps);
  MaybeError apply_first_signs(size_t n_signs);
  template <class Element, class Bit, class Negate>
  void negate_first(size_t n, Bit bit, Negate negate);
  MaybeError read_escapes(std::span<const uint8_t> bytes, size_t escapes_at);

  // write_record.cpp
  [[nodiscard]] bool values_show_symbols() const;
  MaybeError write_values(const int16_t* symbols);
  // Whether a symbol of a level fits the target; level matters to float16 only.
  [[nodiscard]] MaybeError check_value(int symbol, uint8_t level) const;
  void clear(uint32_t tile, const std::vector<LayerPlan::Range>& ranges);
  void clear_layer();   // in all tiles of the record
  void clear_silent();  // what read_lanes() does not write
  void write_masks();
  [[nodiscard]] bool any_tile_has_layer() const;
  void mark_layer();
};

[[nodiscard]] size_t bytes_of(ElementType type);

// v of one escape (§5.3), or −1 when it is longer than any legal magnitude needs.
int32_t take_exp_golomb(BitReader& in);

inline Error corrupt(std::string what, size_t offset) {
  return Error{ErrorKind::kCorrupt, std::move(what), offset};
}

}  // namespace swathpack
