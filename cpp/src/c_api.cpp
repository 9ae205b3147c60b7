// The C functions around coding: library, tables, planes, headers, scan, files, erasure code.
#include "swathpack/c_api.h"

#include <algorithm>
#include <cstring>
#include <memory>

#include "c_api_guard.h"
#include "swathpack/checksum.h"
#include "swathpack/isa.h"
#include "swathpack/nec_file.h"
#include "swathpack/record_header.h"
#include "swathpack/reed_solomon.h"
#include "swathpack/scan.h"
#include "swathpack/sha256.h"
#include "swathpack/tile_grid.h"

namespace sp = swathpack;
using namespace swathpack::c_api;

struct swathpack_file {
  sp::NecTail tail;
  std::optional<std::vector<uint8_t>> end;  // once finished
};

namespace {

// A handle for a plane whose grid is known.
MaybeRefusal make_plane(const swathpack_tables& tables, size_t index, const sp::TileGrid& grid,
                        uint32_t ladder_index, swathpack_plane** out) {
  const auto& planes = tables.set.planes();
  if (index >= planes.size()) {
    return bad("the tables have no such plane", "below " + std::to_string(planes.size()),
               std::to_string(index));
  }
  if (!grid.is_legal()) return bad("the grid does not have 1 to 65536 tiles, or a side is 0");
  if (ladder_index >= tables.set.ladder().size()) {
    return bad("the ladder index is off the ladder", "below " + std::to_string(tables.set.ladder().size()),
               std::to_string(ladder_index));
  }
  const auto n_tiles = static_cast<uint32_t>(grid.n_tiles());
  *out = new swathpack_plane{&tables.set,
                             static_cast<unsigned>(index),
                             ladder_index,
                             n_tiles,
                             sp::derived_invalid(grid, planes[index].rows, planes[index].cols),
                             std::vector<uint8_t>(n_tiles)};
  return std::nullopt;
}

}  // namespace

const char* swathpack_version(void) { return SWATHPACK_VERSION; }

int swathpack_isa(const char** name, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("name", name)) return refusal;
    *name = sp::isa_name();
    if (auto refused = sp::isa_error()) return Refusal{SWATHPACK_NO_BACKEND, std::move(*refused)};
    return std::nullopt;
  });
}

int swathpack_crc32c(const void* data, size_t size, uint32_t seed, uint32_t* crc, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_array("data", data, size), check_pointer("crc", crc))) return refusal;
    *crc = sp::crc32c(as_bytes(data, size), seed);
    return std::nullopt;
  });
}

int swathpack_sha256(const void* data, size_t size, uint8_t digest[32], swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_array("data", data, size), check_pointer("digest", digest)))
      return refusal;
    sp::Sha256 sha;
    sha.update(as_bytes(data, size));
    const auto bytes = sha.digest();
    std::copy(bytes.begin(), bytes.end(), digest);
    return std::nullopt;
  });
}

int swathpack_tables_parse(const void* data, size_t size, swathpack_tables** tables, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("tables", tables)) return refusal;
    *tables = nullptr;
    if (auto refusal = check_array("data", data, size)) return refusal;
    auto parsed = sp::TableSet::parse(as_bytes(data, size));
    if (!parsed.ok()) return Refusal(parsed.error());
    *tables = new swathpack_tables{parsed.take()};
    return std::nullopt;
  });
}

void swathpack_tables_free(swathpack_tables* tables) { delete tables; }

int swathpack_tables_n_planes(const swathpack_tables* tables, size_t* n_planes, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("tables", tables), check_pointer("n_planes", n_planes))) {
      return refusal;
    }
    *n_planes = tables->set.planes().size();
    return std::nullopt;
  });
}

int swathpack_tables_plane(const swathpack_tables* tables, size_t plane, swathpack_plane_info* info,
                           swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("tables", tables), check_pointer("info", info))) return refusal;
    const auto& planes = tables->set.planes();
    if (plane >= planes.size()) {
      return bad("the tables have no such plane", "below " + std::to_string(planes.size()),
                 std::to_string(plane));
    }
    const sp::Plane& p = planes[plane];
    *info = {p.rows, p.cols, p.channels, p.n_layers, p.kind};
    return std::nullopt;
  });
}

int swathpack_plane_new(const swathpack_tables* tables, size_t plane, const swathpack_grid* grid,
                        uint32_t ladder_index, swathpack_plane** out, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("out", out)) return refusal;
    *out = nullptr;
    if (auto refusal = first_of(check_pointer("tables", tables), check_pointer("grid", grid))) return refusal;
    return make_plane(*tables, plane,
                      {grid->scene_height, grid->scene_width, grid->core_height, grid->core_width},
                      ladder_index, out);
  });
}

int swathpack_plane_from_header(const swathpack_tables* tables, size_t plane, const void* header, size_t size,
                                swathpack_plane** out, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("out", out)) return refusal;
    *out = nullptr;
    if (auto refusal = first_of(check_pointer("tables", tables), check_array("header", header, size))) {
      return refusal;
    }
    auto parsed = sp::NecHeader::parse(as_bytes(header, size));
    if (!parsed.ok()) return Refusal(parsed.error());
    const sp::NecHeader& file = parsed.value();
    const auto& planes = tables->set.planes();
    if (file.planes.size() != planes.size()) {
      return bad("the tables are for another number of planes than the header",
                 std::to_string(file.planes.size()), std::to_string(planes.size()));
    }
    for (size_t i = 0; i < planes.size(); ++i) {
      const auto& said = file.planes[i];
      const sp::Plane& p = planes[i];
      if (said.rows != p.rows || said.cols != p.cols || said.channels != p.channels ||
          said.n_layers != p.n_layers || said.kind != p.kind) {
        return bad("the tables differ from the header in plane " + std::to_string(i) +
                   " (rows, columns, channels, layers or kind)");
      }
    }
    return make_plane(*tables, plane, file.grid, file.ladder_index, out);
  });
}

void swathpack_plane_free(swathpack_plane* plane) { delete plane; }

int swathpack_plane_n_tiles(const swathpack_plane* plane, size_t* n_tiles, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("plane", plane), check_pointer("n_tiles", n_tiles)))
      return refusal;
    *n_tiles = plane->n_tiles;
    return std::nullopt;
  });
}

int swathpack_header_pack(const swathpack_record_header* header, uint64_t* packed, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("header", header), check_pointer("packed", packed)))
      return refusal;
    const auto within = [](const char* name, int64_t value, int64_t low, int64_t high) -> MaybeRefusal {
      if (value >= low && value <= high) return std::nullopt;
      return bad(std::string("the record's ") + name + " is out of range",
                 std::to_string(low) + " to " + std::to_string(high), std::to_string(value));
    };
    if (auto refusal = first_of(within("kind", header->kind, 1, 7), within("plane", header->plane, 0, 7),
                                within("layer", header->layer, 0, 15),
                                within("log2 of the lanes", header->log2_lanes, 0, header->kind == 6 ? 0 : 7),
                                within("state form", header->state_form, 0, header->kind == 6 ? 7 : 0),
                                within("ladder offset", header->ladder_offset, -4, 3),
                                within("payload", header->payload_bytes, 0, sp::kMaxPayloadBytes))) {
      return refusal;
    }
    const auto code = sp::tile_count_code(header->n_tiles);
    if (!code) {
      return bad(std::to_string(header->n_tiles) + " tiles cannot be written in one record",
                 "1 to 128, or a multiple of a larger power of two");
    }
    sp::RecordHeader h;
    h.kind = header->kind;
    h.plane = header->plane;
    h.layer = header->layer;
    h.log2_lanes = header->log2_lanes;
    h.state_form = header->state_form;
    h.ladder_offset = header->ladder_offset;
    h.first_tile = header->first_tile;
    h.tile_count_code = *code;
    h.payload_bytes = std::max(1u, header->payload_bytes);
    // Length less one and check are the bytes above the fifth.
    *packed = header->payload_bytes == 0 ? h.pack() & 0xFFFFFFFFFFu : h.pack();
    return std::nullopt;
  });
}

int swathpack_header_unpack(uint64_t packed, swathpack_record_header* header, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("header", header)) return refusal;
    const sp::RecordHeader h = sp::RecordHeader::unpack(packed);
    if (h.check != sp::header_check(packed)) {
      return Refusal(sp::Error{sp::ErrorKind::kCorrupt, "a record header's check byte does not match", 7});
    }
    *header = {h.kind,       h.plane,      h.layer,        h.log2_lanes,   h.ladder_offset,
               h.state_form, h.first_tile, h.tile_count(), h.payload_bytes};
    return std::nullopt;
  });
}

int swathpack_scan(const void* data, size_t size, size_t offset, swathpack_found* found, size_t capacity,
                   size_t* n_found, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_array("data", data, size), check_array("found", found, capacity),
                                check_pointer("n_found", n_found))) {
      return refusal;
    }
    const auto records = sp::scan_records(as_bytes(data, size), offset);
    *n_found = records.size();
    if (records.size() > capacity) return small_buffer("found", records.size(), capacity);
    for (const sp::FoundRecord& record : records) {
      *found++ = {static_cast<size_t>(record.offset),
                  static_cast<size_t>(sp::RecordHeader::unpack(record.header).record_bytes()), record.header};
    }
    return std::nullopt;
  });
}

int swathpack_file_new(const void* header, size_t size, swathpack_file** file, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = check_pointer("file", file)) return refusal;
    *file = nullptr;
    if (auto refusal = check_array("header", header, size)) return refusal;
    auto begun = sp::NecTail::begin(as_bytes(header, size));
    if (!begun.ok()) return Refusal(begun.error());
    *file = new swathpack_file{begun.take(), std::nullopt};
    return std::nullopt;
  });
}

int swathpack_file_add(swathpack_file* file, const void* record, size_t size, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_pointer("file", file), check_array("record", record, size)))
      return refusal;
    if (file->end) return bad("the file is already finished");
    if (auto refused = file->tail.add(as_bytes(record, size))) return Refusal(std::move(*refused));
    return std::nullopt;
  });
}

int swathpack_file_finish(swathpack_file* file, const uint8_t** tail, size_t* size, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal =
            first_of(check_pointer("file", file), check_pointer("tail", tail), check_pointer("size", size))) {
      return refusal;
    }
    if (!file->end) file->end = file->tail.finish();
    *tail = file->end->data();
    *size = file->end->size();
    return std::nullopt;
  });
}

void swathpack_file_free(swathpack_file* file) { delete file; }

int swathpack_rs_encode(const uint8_t* source, size_t source_size, unsigned k, unsigned r, size_t symbol_size,
                        uint8_t* repair, size_t repair_size, swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_array("source", source, source_size),
                                check_array("repair", repair, repair_size))) {
      return refusal;
    }
    if (auto refused = sp::rs_encode({source, source_size}, k, r, symbol_size, {repair, repair_size})) {
      return Refusal(std::move(*refused));
    }
    return std::nullopt;
  });
}

int swathpack_rs_decode(const uint8_t* symbols, size_t symbols_size, const int64_t* indices, size_t n_indices,
                        unsigned k, size_t symbol_size, uint8_t* source, size_t source_size,
                        swathpack_error* error) {
  return guarded(error, [&]() -> MaybeRefusal {
    if (auto refusal = first_of(check_array("symbols", symbols, symbols_size),
                                check_array("indices", indices, n_indices),
                                check_array("source", source, source_size))) {
      return refusal;
    }
    if (auto refused = sp::rs_decode({symbols, symbols_size}, {indices, n_indices}, k, symbol_size,
                                     {source, source_size})) {
      return Refusal(std::move(*refused));
    }
    return std::nullopt;
  });
}
