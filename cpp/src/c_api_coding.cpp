// The C functions that plan, encode and decode the records of a plane.
#include <algorithm>
#include <memory>

#include "c_api_guard.h"
#include "swathpack/batch.h"
#include "swathpack/c_api.h"
#include "swathpack/grouping.h"
#include "swathpack/quantise.h"
#include "swathpack/record_header.h"

namespace sp = swathpack;
using namespace swathpack::c_api;

struct swathpack_records {
  sp::EncodedRecords all;
};

namespace {

sp::ElementType element_type(int type) { return static_cast<sp::ElementType>(type); }
sp::Order order_of(int order) { return static_cast<sp::Order>(order); }

// Latents are quantised for their costs in portions of about this size, so that costs need no second array as
// large as the source.
constexpr size_t kPortionValues = size_t{1} << 16;

MaybeRefusal costs_of(const swathpack_plane& plane, const swathpack_source& source, unsigned layer, int q,
                      std::span<uint64_t> costs) {
  const sp::Order order = order_of(source.order);
  if (source.type != SWATHPACK_FLOAT32) {
    if (auto refused = sp::tile_costs(*plane.tables, plane.index, layer, q, source.values,
                                      element_type(source.type), order, costs)) {
      return Refusal(std::move(*refused));
    }
    return std::nullopt;
  }
  const size_t per_tile = size_t{plane.plane().channels} * plane.plane().n_frequencies();
  const size_t n_tiles = std::max<size_t>(1, kPortionValues / per_tile);
  std::vector<int16_t> symbols(std::min<size_t>(n_tiles, plane.n_tiles) * per_tile);
  const auto* const latents = static_cast<const float*>(source.values);
  for (size_t first = 0; first < plane.n_tiles; first += n_tiles) {
    const size_t n = std::min<size_t>(n_tiles, plane.n_tiles - first);
    const std::span<int16_t> portion(symbols.data(), n * per_tile);
    if (auto refused = sp::quantise_layer(*plane.tables, plane.index, layer, q,
                                          {latents + first * per_tile, portion.size()}, order, portion)) {
      return Refusal(std::move(*refused));
    }
    if (auto refused = sp::tile_costs(*plane.tables, plane.index, layer, q, symbols.data(),
                                      sp::ElementType::kInt16, order, costs.subspan(first, n))) {
      return Refusal(std::move(*refused));
    }
  }
  return std::nullopt;
}

// Whether plane and source are there, and the source's values are such as can be encoded.
MaybeRefusal check_source(const swathpack_plane* plane, const swathpack_source* source) {
  if (auto refusal = first_of(check_pointer("plane", plane), check_pointer("source", source))) return refusal;
  if (source->type == SWATHPACK_FLOAT16) {
    return bad("float16 is not encoded", "int8, int16 or float32", "float16");
  }
  return check_values(*plane, source->values, source->size, source->type, source->order);
}

// Ladder index + offset; whether the sum is on the ladder is judged with the layer's shift.
sp::Result<int> q_of(const swathpack_plane& plane, int ladder_offset) {
  if (ladder_offset < -4 || ladder_offset > 3) {
    return sp::Error{sp::ErrorKind::kBadInput, "the ladder offset is out of range", std::nullopt, "-4 to 3",
                     std::to_string(ladder_offset)};
  }
  return static_cast<int>(plane.ladder_index) + ladder_offset;
}

// One record for each header, or why not.
MaybeRefusal encode(const swathpack_plane* plane, const swathpack_source* source, const uint64_t* headers,
                    size_t n_headers, unsigned threads, sp::EncodedRecords& out) {
  if (auto refusal = check_source(plane, source)) return refusal;
  if (auto refusal = first_of(check_array("headers", headers, n_headers), check_threads(threads)))
    return refusal;
  SourceMasks masks;
  if (auto refusal = masks.open(*plane, source->token_mask, source->token_mask_size)) return refusal;
  const sp::EncodeSource core{source->values, element_type(source->type), order_of(source->order),
                              masks.tiles(), masks.tokens()};
  auto encoded = sp::encode_batch(plane->context(), core, {headers, n_headers}, threads);
  if (auto* const refused = std::get_if<sp::RecordError>(&encoded)) {
    return Refusal(std::move(refused->error), refused->record);
  }
  out = std::move(std::get<sp::EncodedRecords>(encoded));
  return std::nullopt;
}

}  // namespace

int swathpack_quantise(const swathpack_plane* plane, const swathpack_source* source, int ladder_offset,
                       int16_t* symbols, size_t size, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_source(plane, source)) return refusal;
    if (source->type != SWATHPACK_FLOAT32) return bad("only float32 is quantised");
    if (auto refusal = check_values(*plane, symbols, size, SWATHPACK_INT16, source->order)) return refusal;
    const auto q = q_of(*plane, ladder_offset);
    if (!q.ok()) return Refusal(q.error());
    const std::span<int16_t> out(symbols, static_cast<size_t>(plane->n_values()));
    const std::span<const float> latents(static_cast<const float*>(source->values), out.size());
    std::fill(out.begin(), out.end(), int16_t{0});
    for (unsigned layer = 0; layer < plane->plane().n_layers; ++layer) {
      if (auto refused = sp::quantise_layer(*plane->tables, plane->index, layer, q.value(), latents,
                                            order_of(source->order), out)) {
        return Refusal(std::move(*refused));
      }
    }
    return std::nullopt;
  });
}

int swathpack_tile_costs(const swathpack_plane* plane, const swathpack_source* source, unsigned layer,
                         int ladder_offset, uint64_t* costs, size_t n_costs, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_source(plane, source), check_pointer("costs", costs))) return refusal;
    if (n_costs != plane->n_tiles) {
      return bad("costs are one for each tile", std::to_string(plane->n_tiles), std::to_string(n_costs));
    }
    const auto q = q_of(*plane, ladder_offset);
    if (!q.ok()) return Refusal(q.error());
    return costs_of(*plane, *source, layer, q.value(), {costs, n_costs});
  });
}

int swathpack_group(const swathpack_plane* plane, const uint8_t* token_mask, size_t token_mask_size,
                    unsigned layer, const uint64_t* costs, size_t n_costs, uint32_t target_bytes,
                    swathpack_run* runs, size_t capacity, size_t* n_runs, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("plane", plane), check_array("costs", costs, n_costs),
                                check_array("runs", runs, capacity), check_pointer("n_runs", n_runs))) {
      return refusal;
    }
    SourceMasks masks;
    if (auto refusal = masks.open(*plane, token_mask, token_mask_size)) return refusal;
    const auto grouped = sp::group_tiles(plane->context(), layer, {costs, n_costs}, masks.tiles(),
                                         masks.tokens(), target_bytes);
    if (!grouped.ok()) return Refusal(grouped.error());
    *n_runs = grouped.value().size();
    if (*n_runs > capacity) return small_buffer("runs", *n_runs, capacity);
    for (const sp::TileRun& run : grouped.value())
      *runs++ = {run.first, run.count, run.estimate, run.log2_lanes};
    return std::nullopt;
  });
}

int swathpack_plan(const swathpack_plane* plane, const swathpack_source* source, unsigned layer,
                   int ladder_offset, uint32_t target_bytes, uint64_t* headers, size_t capacity,
                   size_t* n_headers, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_source(plane, source), check_array("headers", headers, capacity),
                                check_pointer("n_headers", n_headers))) {
      return refusal;
    }
    SourceMasks masks;
    if (auto refusal = masks.open(*plane, source->token_mask, source->token_mask_size)) return refusal;
    const auto q = q_of(*plane, ladder_offset);
    if (!q.ok()) return Refusal(q.error());
    std::vector<uint64_t> costs(plane->n_tiles);
    if (auto refusal = costs_of(*plane, *source, layer, q.value(), costs)) return refusal;
    const auto grouped =
        sp::group_tiles(plane->context(), layer, costs, masks.tiles(), masks.tokens(), target_bytes);
    if (!grouped.ok()) return Refusal(grouped.error());
    *n_headers = grouped.value().size();
    if (*n_headers > capacity) return small_buffer("headers", *n_headers, capacity);
    for (const sp::TileRun& run : grouped.value()) {
      sp::RecordHeader h;
      h.plane = static_cast<uint8_t>(plane->index);
      h.layer = static_cast<uint8_t>(layer);
      h.log2_lanes = static_cast<uint8_t>(run.log2_lanes);
      h.ladder_offset = static_cast<int8_t>(ladder_offset);
      h.first_tile = static_cast<uint16_t>(run.first);
      h.tile_count_code = *sp::tile_count_code(run.count);  // counts of group_tiles are writable
      *headers++ = h.pack() & 0xFFFFFFFFFFu;
    }
    return std::nullopt;
  });
}

int swathpack_encode(const swathpack_plane* plane, const swathpack_source* source, const uint64_t* headers,
                     size_t n_headers, unsigned threads, swathpack_records** records,
                     swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("records", records)) return refusal;
    *records = nullptr;
    auto result = std::make_unique<swathpack_records>();
    if (auto refusal = encode(plane, source, headers, n_headers, threads, result->all)) return refusal;
    *records = result.release();
    return std::nullopt;
  });
}

int swathpack_records_get(const swathpack_records* records, size_t index, const uint8_t** data, size_t* size,
                          swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("records", records), check_pointer("data", data),
                                check_pointer("size", size))) {
      return refusal;
    }
    if (index >= records->all.places.size()) {
      return bad("there is no such record", "below " + std::to_string(records->all.places.size()),
                 std::to_string(index));
    }
    const auto record = records->all.record(index);
    *data = record.data();
    *size = record.size();
    return std::nullopt;
  });
}

void swathpack_records_free(swathpack_records* records) { delete records; }

int swathpack_encode_into(const swathpack_plane* plane, const swathpack_source* source,
                          const uint64_t* headers, size_t n_headers, unsigned threads, uint8_t* out,
                          size_t capacity, size_t* offsets, size_t n_offsets, size_t* size,
                          swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_array("out", out, capacity), check_pointer("offsets", offsets),
                                check_pointer("size", size))) {
      return refusal;
    }
    if (n_offsets == 0 || n_offsets - 1 != n_headers) {
      return bad("offsets has one entry more than there are headers", std::to_string(n_headers) + " + 1",
                 std::to_string(n_offsets));
    }
    sp::EncodedRecords all;
    if (auto refusal = encode(plane, source, headers, n_headers, threads, all)) return refusal;
    *size = 0;
    for (size_t i = 0; i < n_headers; ++i) *size += all.record(i).size();
    if (*size > capacity) return small_buffer("out", *size, capacity);
    size_t at = 0;
    for (size_t i = 0; i < n_headers; ++i) {
      const auto record = all.record(i);
      offsets[i] = at;
      std::copy(record.begin(), record.end(), out + at);
      at += record.size();
    }
    offsets[n_headers] = at;
    return std::nullopt;
  });
}

int swathpack_decode(const swathpack_plane* plane, const swathpack_bytes* records, size_t n_records,
                     const swathpack_target* target, unsigned threads, swathpack_error* outcomes,
                     size_t* n_refused, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("plane", plane), check_array("records", records, n_records),
                                check_pointer("target", target), check_threads(threads))) {
      return refusal;
    }
    if (auto refusal = first_of(
            check_values(*plane, target->values, target->size, target->type, target->order),
            check_pointer("token_mask", target->token_mask), check_pointer("layers", target->layers))) {
      return refusal;
    }
    if (target->token_mask_size != plane->n_mask() || target->n_layers != plane->n_tiles) {
      return bad("token_mask or layers do not have the size of the plane",
                 std::to_string(plane->n_mask()) + " and " + std::to_string(plane->n_tiles),
                 std::to_string(target->token_mask_size) + " and " + std::to_string(target->n_layers));
    }
    if (outcomes != nullptr) {
      if (auto refusal = check_pointer("outcomes", outcomes)) return refusal;
    }
    std::vector<std::span<const uint8_t>> spans(n_records);
    for (size_t i = 0; i < n_records; ++i) {
      if (auto refusal = check_array("a record's data", records[i].data, records[i].size)) return refusal;
      spans[i] = {records[i].data, records[i].size};
    }
    const sp::DecodeTarget core{target->values,
                                element_type(target->type),
                                order_of(target->order),
                                {target->token_mask, target->token_mask_size},
                                {target->layers, target->n_layers}};
    const auto results = sp::decode_batch(plane->context(), core, spans, threads);
    MaybeRefusal first;
    size_t n = 0;
    for (size_t i = 0; i < n_records; ++i) {
      MaybeRefusal refusal;
      if (results[i]) refusal.emplace(*results[i], i);
      if (outcomes != nullptr) report(&outcomes[i], refusal);
      n += refusal.has_value();
      if (refusal && !first) first = std::move(refusal);
    }
    if (n_refused != nullptr) *n_refused = n;
    return first;
  });
}
