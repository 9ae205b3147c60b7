// The state of a RecordDecoder: what one record says, read in decode.cpp and, once all of it holds, written
// out in write_record.cpp.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "isa/kernels.h"
#include "layer_plan.h"
#include "masks.h"
#include "swathpack/record_header.h"
#include "swathpack/records.h"

namespace swathpack {

// What one record says, before any of it is believed. Nothing here grows beyond a multiple of the payload:
// every non-zero symbol has a sign bit in it, every explicit mask row at least one bit.
struct RecordDecoder::Work {
  Work(const PlaneContext& c, const DecodeTarget& t)
      : context(c), target(t), plane(c.tables->planes()[c.plane]), plans(*c.tables, plane) {}

  PlaneContext context;
  DecodeTarget target;
  const Plane& plane;
  LayerPlans plans;

  RecordHeader header;
  std::span<const uint8_t> payload;
  std::vector<uint32_t> live;    // tiles of the record that are not masked
  std::vector<uint32_t> partly;  // of these, the partly masked ones
  std::vector<OwnTokens> partly_own;
  std::vector<uint64_t> rows;  // their mask rows, one tile after the other
  std::vector<Nonzero> nonzeros;
  std::vector<size_t> group_nonzeros;  // n_nonzeros after each lane group
  size_t n_nonzeros = 0;

  // Bytes of the record (not of the payload) at a position of the payload: what an error's offset says.
  static size_t in_record(size_t payload_position) { return kRecordHeaderBytes + payload_position; }

  MaybeError open(std::span<const uint8_t> record);
  MaybeError read_tile_mask(size_t& at, bool present);
  MaybeError read_token_mask(size_t& at);
  MaybeError read_one_lane(const LayerPlan& plan, unsigned form, size_t at);
  MaybeError read_lanes(const LayerPlan& plan, size_t at);
  MaybeError read_raw(size_t at, size_t first);
  MaybeError check_range() const;
  void write(const LayerPlan& plan);
  template <class Symbol>
  void write_symbols(const LayerPlan& plan, Symbol* symbols);
  template <class Symbol>
  void clear_layer(Symbol* tile) const;
  void write_masks();
};

}  // namespace swathpack
