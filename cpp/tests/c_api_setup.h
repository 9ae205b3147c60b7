// What the tests of the C functions share: a small plane, what it decodes into, and the check of a refusal.
#pragma once

#include "cases.h"
#include "swathpack/c_api.h"

namespace swathpack::test {

inline constexpr swathpack_grid kGrid = {6, 4, 2, 2};  // 3 × 2 tiles

// Table file with one plane of 2×2 tokens, 3 channels, 2 layers.
inline Buffer small_tables() {
  PlaneSpec p;
  p.rows = p.cols = 2;
  p.channels = 3;
  p.n_layers = 2;
  p.n_bands = 2;
  p.kind = 0;
  p.layer_shift = {-1, 0};
  p.band_of_frequency = {0, 1, 1, 1};
  p.layer_map = {0, 0, 0, 1, 1, kNeverSent};
  p.class_map = {6, 6, 6, 6, 6, 6};
  return table_file({{40000, 60000, 65000}}, {p});
}

// A file header of `small_tables` (§3), with the fields that matter here.
inline Buffer small_header(unsigned ladder_index = 4, unsigned channels = 3) {
  Buffer h = {0x89, 'N', 'E', 'C', 0x0D, 0x0A, 0x1A, 0x0A, 0, 0};
  put(h, 124 + 14 + 4, 2);
  put(h, 1, 1);
  put(h, ladder_index, 1);
  put(h, 0, 2);
  h.insert(h.end(), {'t', 'e', 's', 't'});
  h.resize(52);
  put(h, kGrid.scene_height, 4);
  put(h, kGrid.scene_width, 4);
  put(h, kGrid.core_height, 2);
  put(h, kGrid.core_width, 2);
  h.resize(124 + 8);
  put(h, 2, 1);
  put(h, 2, 1);
  put(h, channels, 2);
  put(h, 2, 1);
  put(h, 0, 1);
  put(h, crc32c(h), 4);
  return h;
}

// All that one call after another needs, freed at the end.
struct Setup {
  Setup() {
    const Buffer file = small_tables();
    CHECK_EQUAL(swathpack_tables_parse(file.data(), file.size(), &tables, &error), 0);
    CHECK_EQUAL(swathpack_plane_new(tables, 0, &kGrid, 4, &plane, &error), 0);
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int16_t>(i * i % 7) - 3;
    for (size_t tile = 0; tile < 6; ++tile) {
      for (size_t f = 1; f < 4; ++f) values[(tile * 3 + 2) * 4 + f] = 0;  // never sent
    }
    source = {
        values.data(), sizeof(int16_t) * values.size(), SWATHPACK_INT16, SWATHPACK_TILE_ORDER, nullptr, 0};
  }
  ~Setup() {
    swathpack_plane_free(plane);
    swathpack_tables_free(tables);
  }
  Setup(const Setup&) = delete;
  Setup& operator=(const Setup&) = delete;

  std::vector<uint64_t> plan(unsigned layer) {
    std::vector<uint64_t> headers(6);
    size_t n = 0;
    CHECK_EQUAL(swathpack_plan(plane, &source, layer, 0, 18, headers.data(), headers.size(), &n, &error), 0);
    headers.resize(n);
    return headers;
  }

  swathpack_tables* tables = nullptr;
  swathpack_plane* plane = nullptr;
  swathpack_error error{};
  std::vector<int16_t> values = std::vector<int16_t>(6 * 3 * 4);
  swathpack_source source{};
};

// What a plane decodes into.
struct Target {
  explicit Target(size_t n_values, size_t n_mask, size_t n_tiles)
      : values(n_values), token_mask(n_mask, 1), layers(n_tiles) {
    raw = {values.data(),     2 * n_values, SWATHPACK_INT16, SWATHPACK_TILE_ORDER,
           token_mask.data(), n_mask,       layers.data(),   n_tiles};
  }
  std::vector<int16_t> values;
  Buffer token_mask;
  std::vector<uint16_t> layers;
  swathpack_target raw{};
};

template <class Body>
void check_bad(const char* name, Body body) {
  swathpack_error error{};
  error.text[0] = 0;
  const int status = body(&error), without = body(nullptr);
  if (status != SWATHPACK_BAD_INPUT || error.status != status || error.text[0] == 0 || without != status) {
    fail(__FILE__, __LINE__, std::string(name) + ": status " + std::to_string(status) + ", " + error.text);
  }
}

}  // namespace swathpack::test

#define CHECK_BAD(call) check_bad(#call, [&](swathpack_error* e) { return call; })
