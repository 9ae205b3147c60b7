/* The entropy core for programs in C99: flight software without Python or C++ (docs/c_api.md is the manual,
 * docs/bitstream.md the format; § below are its sections).
 *
 * Every function that can fail returns a swathpack_status, and tells more in `error`, which may be NULL. No
 * function throws, ends the process because of what it was given, prints, or touches a file. Sizes are in
 * elements where a name says n_, else in bytes. Pointers must be aligned for what they point to; arrays of
 * size 0 may be NULL. Handles may be read by several threads at once, except where "one thread" is said; they
 * are freed by their owner, and freeing NULL does nothing. */
#ifndef SWATHPACK_C_API_H
#define SWATHPACK_C_API_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SWATHPACK_API __attribute__((visibility("default")))
#else
#define SWATHPACK_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status and errors ---- */

typedef enum swathpack_status {
  SWATHPACK_OK = 0,
  SWATHPACK_TRUNCATED = 1,   /* the bytes end too early */
  SWATHPACK_CORRUPT = 2,     /* a checksum, a reserved bit or a canonical form is violated */
  SWATHPACK_UNSUPPORTED = 3, /* a version or kind from the future */
  SWATHPACK_LIMIT = 4,       /* a size cap of the format */
  SWATHPACK_BAD_INPUT =
      5, /* the arguments do not fit each other, or one is NULL, misaligned or out of range */
  SWATHPACK_SMALL_BUFFER = 6, /* nothing was written; the size output says how much room it takes */
  SWATHPACK_NO_MEMORY = 7,
  SWATHPACK_NO_BACKEND =
      8,                 /* SWATHPACK_ISA in the environment names an instruction set that cannot run here */
  SWATHPACK_INTERNAL = 9 /* a defect of the library */
} swathpack_status;

/* A stable name such as "bad-input"; "unknown" for other numbers. */
SWATHPACK_API const char* swathpack_status_name(int status);

enum { SWATHPACK_TEXT_BYTES = 240 };

typedef struct swathpack_error {
  int32_t status;                  /* a swathpack_status */
  int64_t offset;                  /* byte of the structure that was being read; -1: none */
  int64_t record;                  /* index in the call's headers or records; -1: none */
  char text[SWATHPACK_TEXT_BYTES]; /* one line of UTF-8, cut if need be, ends with a NUL; empty when OK */
} swathpack_error;

/* ---- The library ---- */

SWATHPACK_API const char* swathpack_version(void);

/* The instruction set in use: "avx512", "avx2", "neon" or "scalar", the best this machine runs, or the one
 * that the environment variable SWATHPACK_ISA names. Call it once at the start: it is where a wrong
 * SWATHPACK_ISA shows (SWATHPACK_NO_BACKEND; the scalar one is in use then, with the same bytes). */
SWATHPACK_API int swathpack_isa(const char** name, swathpack_error* error);

/* CRC-32C of §1; `seed` is the CRC of what stands before `data`, 0 at the start. */
SWATHPACK_API int swathpack_crc32c(const void* data, size_t size, uint32_t seed, uint32_t* crc,
                                   swathpack_error* error);

SWATHPACK_API int swathpack_sha256(const void* data, size_t size, uint8_t digest[32], swathpack_error* error);

/* ---- Tables (§6) ---- */

typedef struct swathpack_tables swathpack_tables;

/* Checks every field of a table file and copies what it needs. */
SWATHPACK_API int swathpack_tables_parse(const void* data, size_t size, swathpack_tables** tables,
                                         swathpack_error* error);
SWATHPACK_API void swathpack_tables_free(swathpack_tables* tables);

SWATHPACK_API int swathpack_tables_n_planes(const swathpack_tables* tables, size_t* n_planes,
                                            swathpack_error* error);

typedef struct swathpack_plane_info {
  uint32_t rows, cols; /* tokens of a tile: rows * cols */
  uint32_t channels;
  uint32_t n_layers;
  uint32_t kind; /* 0 float, 1 integer */
} swathpack_plane_info;

SWATHPACK_API int swathpack_tables_plane(const swathpack_tables* tables, size_t plane,
                                         swathpack_plane_info* info, swathpack_error* error);

/* ---- One plane of one file ---- */

/* How tiles cover a scene (§3.1), in pixels. N tiles that are no raster: N * core_height by core_width. */
typedef struct swathpack_grid {
  uint32_t scene_height, scene_width;
  uint16_t core_height, core_width;
} swathpack_grid;

/* A plane, its tiles and the file's ladder index. It refers to the tables, which must outlive it. */
typedef struct swathpack_plane swathpack_plane;

SWATHPACK_API int swathpack_plane_new(const swathpack_tables* tables, size_t plane,
                                      const swathpack_grid* grid, uint32_t ladder_index,
                                      swathpack_plane** out, swathpack_error* error);

/* The same with grid and ladder index from the bytes of a file header (§3), which may be followed by others.
 * The header's plane must equal the tables' (SWATHPACK_BAD_INPUT). Extensions are not looked into. */
SWATHPACK_API int swathpack_plane_from_header(const swathpack_tables* tables, size_t plane,
                                              const void* header, size_t size, swathpack_plane** out,
                                              swathpack_error* error);
SWATHPACK_API void swathpack_plane_free(swathpack_plane* plane);

SWATHPACK_API int swathpack_plane_n_tiles(const swathpack_plane* plane, size_t* n_tiles,
                                          swathpack_error* error);

/* ---- Encoding ---- */

typedef enum swathpack_type {
  SWATHPACK_INT8 = 0, /* symbols */
  SWATHPACK_INT16 = 1,
  SWATHPACK_FLOAT16 = 2, /* decoding only */
  SWATHPACK_FLOAT32 =
      3 /* encoding: latents, which go through the reference quantiser (§10.1); decoding: §8.1 */
} swathpack_type;

typedef enum swathpack_order {
  SWATHPACK_TILE_ORDER = 0, /* tile x channel x token */
  SWATHPACK_TOKEN_ORDER = 1 /* tile x token x channel: faster, lanes are channels */
} swathpack_order;

/* All coefficients of a plane: n_tiles * channels * tokens, contiguous. */
typedef struct swathpack_source {
  const void* values;
  size_t size; /* bytes of `values` */
  int32_t type;
  int32_t order;
  const uint8_t*
      token_mask; /* n_tiles * tokens, not 0: invalid; NULL: all valid. Tokens outside the scene and
                     those another tile owns (§3.1) are known from the grid and not looked at */
  size_t token_mask_size;
} swathpack_source;

enum {
  SWATHPACK_LINK_TARGET = 960, /* bytes of a record: one default packet */
  SWATHPACK_ARCHIVE_TARGET = 61440,
  SWATHPACK_MAX_RECORD_BYTES = 65548, /* header, largest payload, CRC */
  SWATHPACK_MAX_THREADS = 1024
};

/* Quantises float32 latents (§10.1) at ladder index + ladder_offset, all layers; `symbols` is written whole.
 * For programs that keep symbols; encoding takes latents as they are. Refuses what is not a number. */
SWATHPACK_API int swathpack_quantise(const swathpack_plane* plane, const swathpack_source* source,
                                     int ladder_offset, int16_t* symbols, size_t size,
                                     swathpack_error* error);

/* One-lane estimates of one layer in 1/256 bit (§10.2), one for each tile. */
SWATHPACK_API int swathpack_tile_costs(const swathpack_plane* plane, const swathpack_source* source,
                                       unsigned layer, int ladder_offset, uint64_t* costs, size_t n_costs,
                                       swathpack_error* error);

typedef struct swathpack_run {
  uint32_t first_tile, n_tiles;
  uint64_t estimate; /* payload bytes, one lane */
  uint32_t log2_lanes;
} swathpack_run;

/* Which tiles share a record, and with how many lanes (§10.3). `token_mask` as in swathpack_source. n_tiles
 * runs are always room enough. SWATHPACK_SMALL_BUFFER sets *n_runs and writes nothing. */
SWATHPACK_API int swathpack_group(const swathpack_plane* plane, const uint8_t* token_mask,
                                  size_t token_mask_size, unsigned layer, const uint64_t* costs,
                                  size_t n_costs, uint32_t target_bytes, swathpack_run* runs, size_t capacity,
                                  size_t* n_runs, swathpack_error* error);

/* Costs, grouping and headers of one layer in one call: packed record headers for swathpack_encode. n_tiles
 * headers are always room enough. */
SWATHPACK_API int swathpack_plan(const swathpack_plane* plane, const swathpack_source* source, unsigned layer,
                                 int ladder_offset, uint32_t target_bytes, uint64_t* headers, size_t capacity,
                                 size_t* n_headers, swathpack_error* error);

/* Complete records (header, payload, CRC), one for each packed header of kind 1 whose length and check are 0;
 * those of one lane without masks become kind 6 (§5.1).
 * All of one plane. The bytes depend neither on `threads` (1 to 1024, the caller's among them) nor on the
 * instruction set. When one header is refused there is no output, and error->record says which. */
typedef struct swathpack_records swathpack_records;

SWATHPACK_API int swathpack_encode(const swathpack_plane* plane, const swathpack_source* source,
                                   const uint64_t* headers, size_t n_headers, unsigned threads,
                                   swathpack_records** records, swathpack_error* error);
SWATHPACK_API int swathpack_records_get(const swathpack_records* records, size_t index, const uint8_t** data,
                                        size_t* size, swathpack_error* error);
SWATHPACK_API void swathpack_records_free(swathpack_records* records);

/* The same into a buffer of the caller: record i is out[offsets[i]] to out[offsets[i + 1]]; `offsets` has
 * n_headers + 1 entries. *size is what the records take; SWATHPACK_SMALL_BUFFER when that is above
 * `capacity`. n_headers * SWATHPACK_MAX_RECORD_BYTES is always enough. */
SWATHPACK_API int swathpack_encode_into(const swathpack_plane* plane, const swathpack_source* source,
                                        const uint64_t* headers, size_t n_headers, unsigned threads,
                                        uint8_t* out, size_t capacity, size_t* offsets, size_t n_offsets,
                                        size_t* size, swathpack_error* error);

/* ---- Decoding ---- */

typedef struct swathpack_bytes {
  const uint8_t* data;
  size_t size;
} swathpack_bytes;

/* What decoding writes. Before the first call the caller sets values to 0, token_mask to 1 and layers to 0.
 */
typedef struct swathpack_target {
  void* values; /* as in swathpack_source; symbols (int8, int16) or values of §8.1 (float16, float32) */
  size_t size;
  int32_t type;
  int32_t order;
  uint8_t* token_mask; /* n_tiles * tokens: 1 = invalid; written by records of layer 0 */
  size_t token_mask_size;
  uint16_t* layers; /* n_tiles: bit l is set when layer l of the tile has been decoded */
  size_t n_layers;  /* entries of `layers`: n_tiles */
} swathpack_target;

/* Decodes complete records of the plane as if one after the other. A refused record does not stop the others,
 * and leaves the target as it was, but for coefficients of its layer in its tiles where that layer had not
 * come: they may be 0 now. Returns the status of the first refused record, with error->record; `outcomes`
 * (n_records, or NULL) receives all, and *n_refused (or NULL) their number. SWATHPACK_BAD_INPUT is also said
 * of an intact record that is not this call's business: another kind or plane, or a value that does not fit
 * the type. */
SWATHPACK_API int swathpack_decode(const swathpack_plane* plane, const swathpack_bytes* records,
                                   size_t n_records, const swathpack_target* target, unsigned threads,
                                   swathpack_error* outcomes, size_t* n_refused, swathpack_error* error);

/* ---- Records in bytes ---- */

typedef struct swathpack_record_header {
  uint8_t kind; /* 1 coefficients, 2 tables, 3 index, 4 seal, 6 coefficients in one lane without masks */
  uint8_t plane;
  uint8_t layer;
  uint8_t log2_lanes; /* 0 in kind 6 */
  int8_t ladder_offset;
  uint8_t state_form; /* kind 6: bits 2 to 4 of the form (§5.1), 0 to 7; else 0 */
  uint16_t first_tile;
  uint32_t n_tiles;
  uint32_t payload_bytes; /* 0 in a header that is to be encoded */
} swathpack_record_header;

/* The u64 of §4.1. With payload_bytes 0: length and check are 0, as swathpack_encode takes it; else both are
 * set. Refused: a field out of range, a number of tiles that has no code (§4.2). */
SWATHPACK_API int swathpack_header_pack(const swathpack_record_header* header, uint64_t* packed,
                                        swathpack_error* error);
/* Its fields; SWATHPACK_CORRUPT when the check byte is wrong. */
SWATHPACK_API int swathpack_header_unpack(uint64_t packed, swathpack_record_header* header,
                                          swathpack_error* error);

typedef struct swathpack_found {
  size_t offset; /* of the record in `data` */
  size_t size;   /* of the whole record */
  uint64_t header;
} swathpack_found;

/* The intact records of `data` from `offset` on (§4.4), whatever else stands there, in linear time.
 * SWATHPACK_SMALL_BUFFER sets *n_found and writes nothing; capacity size / 13 is always enough. */
SWATHPACK_API int swathpack_scan(const void* data, size_t size, size_t offset, swathpack_found* found,
                                 size_t capacity, size_t* n_found, swathpack_error* error);

/* ---- A whole .nec file ----
 * The caller has the header's bytes (made when the mission was planned) and writes, in this order: these
 * bytes, each record, the tail. A swathpack_file sees the same bytes and makes the tail: index and seal
 * (§4.6). One thread. */
typedef struct swathpack_file swathpack_file;

SWATHPACK_API int swathpack_file_new(const void* header, size_t size, swathpack_file** file,
                                     swathpack_error* error);
/* One complete record of kind 1, 2 or 6; its checksums are verified. */
SWATHPACK_API int swathpack_file_add(swathpack_file* file, const void* record, size_t size,
                                     swathpack_error* error);
/* `tail` belongs to the file and lives as long. Afterwards nothing can be added. */
SWATHPACK_API int swathpack_file_finish(swathpack_file* file, const uint8_t** tail, size_t* size,
                                        swathpack_error* error);
SWATHPACK_API void swathpack_file_free(swathpack_file* file);

/* ---- Erasure code of the link (docs/link.md; cpp/include/swathpack/reed_solomon.h) ---- */

/* k source symbols of symbol_size bytes to r repair symbols; 1 <= k, k + r <= 255. */
SWATHPACK_API int swathpack_rs_encode(const uint8_t* source, size_t source_size, unsigned k, unsigned r,
                                      size_t symbol_size, uint8_t* repair, size_t repair_size,
                                      swathpack_error* error);
/* At least k received symbols and their distinct indices (source j: j, repair i: k + i) to the k source
 * symbols. */
SWATHPACK_API int swathpack_rs_decode(const uint8_t* symbols, size_t symbols_size, const int64_t* indices,
                                      size_t n_indices, unsigned k, size_t symbol_size, uint8_t* source,
                                      size_t source_size, swathpack_error* error);

#ifdef __cplusplus
}
#endif

#endif
