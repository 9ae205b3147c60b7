// What a RecordDecoder writes besides the values of coded coefficients: zeros, masks, and the layers that
// have come.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <string>

#include "decode_work.h"
#include "reconstruction.h"

namespace swathpack {

size_t bytes_of(ElementType type) {
  switch (type) {
    case ElementType::kInt8:
      return 1;
    case ElementType::kInt16:
    case ElementType::kFloat16:
      return 2;
    case ElementType::kFloat32:
      break;
  }
  return 4;
}

MaybeError RecordDecoder::Work::check_value(int symbol, uint8_t level) const {
  if (target.type == ElementType::kInt8 && (symbol < -128 || symbol > 127)) {
    return Error{ErrorKind::kBadInput, "a symbol does not fit int8", std::nullopt,
                 "-128 to 127",        std::to_string(symbol),       "decode into an int16 array"};
  }
  if (target.type == ElementType::kFloat16) {
    const float value = std::abs(value_of(context.tables->tables()[level], step_width(), symbol));
    if (value >= 65520) {
      return Error{ErrorKind::kBadInput, "a value does not fit float16", std::nullopt,
                   "below 65520",        std::to_string(value),          "decode into a float32 array"};
    }
  }
  return std::nullopt;
}

// Whether float values do for symbols while a record of several lanes is decoded: the first signs are given
// to values that are not 0, so none may be 0 but those of the symbol 0; and tables of float16 values hold
// what float16 can say. From magnitude 2 on values grow.
bool RecordDecoder::Work::values_show_symbols() const {
  const bool is_half = target.type == ElementType::kFloat16;
  if (!is_half && target.type != ElementType::kFloat32) return true;
  return std::all_of(plan->levels.begin(), plan->levels.end(), [&](uint8_t level) {
    const Table& table = context.tables->tables()[level];
    const float one = value_of(table, step_width(), 1);
    const float least = std::min(one, value_of(table, step_width(), 2));
    if (!is_half) return least > 0;
    // Groups with low bits have no tables of values: those are looked at one by one.
    return half_of(least) != 0 &&
           (table.low_bits > 0 ||
            (!check_value(1, level) && !check_value(static_cast<int>(table.n_thresholds), level)));
  });
}

// Values of the symbols of all tiles that are not masked, these one after the other; all of them or none.
MaybeError RecordDecoder::Work::write_values(const int16_t* symbols) {
  const auto each = [&](auto visit) -> MaybeError {
    for (size_t i = 0; i < live.size(); ++i) {
      for (const Run& run : plan->coded) {
        for (const uint16_t f : plane.band(run.band)) {
          const size_t place = run.channel * layout.channel + f * layout.frequency;
          if (auto error = visit(live[i] * layout.tile + place, run.level, symbols[i * layout.tile + place]))
            return error;
        }
      }
    }
    return std::nullopt;
  };
  if (auto error = each([&](size_t, uint8_t level, int16_t symbol) { return check_value(symbol, level); }))
    return error;
  return each([&](size_t element, uint8_t level, int16_t symbol) -> MaybeError {
    const float value = value_of(context.tables->tables()[level], step_width(), symbol);
    if (target.type == ElementType::kFloat16) {
      static_cast<uint16_t*>(target.symbols)[element] = half_of(value);
    } else {
      static_cast<float*>(target.symbols)[element] = value;
    }
    return std::nullopt;
  });
}

// All types write 0 as zero bytes.
void RecordDecoder::Work::clear(uint32_t tile, const std::vector<LayerPlan::Range>& ranges) {
  const size_t size = bytes_of(target.type);
  uint8_t* const base = static_cast<uint8_t*>(target.symbols) + tile * layout.tile * size;
  for (const LayerPlan::Range& range : ranges) {
    each_stretch(range, plane.band(range.band), layout.channel, layout.frequency,
                 [&](size_t first, size_t n) { std::memset(base + first * size, 0, n * size); });
  }
}

void RecordDecoder::Work::clear_layer() {
  for (uint32_t t = 0; t < header.tile_count(); ++t) clear(header.first_tile + t, plan->all);
}

void RecordDecoder::Work::clear_silent() {
  size_t next_live = 0;
  for (uint32_t t = 0; t < header.tile_count(); ++t) {
    const uint32_t tile = header.first_tile + t;
    const bool is_live = next_live < live.size() && live[next_live] == tile;
    next_live += is_live;
    clear(tile, is_live ? plan->silent : plan->all);  // nothing is coded for a masked tile
  }
}

// Layer 0 says which tokens are valid: not those of masked tiles, nor masked ones, nor derived-invalid ones.
void RecordDecoder::Work::write_masks() {
  const size_t n_tokens = plane.n_frequencies();
  const uint32_t first = header.first_tile, n_tiles = header.tile_count();
  std::fill_n(target.token_mask.begin() + static_cast<ptrdiff_t>(first * n_tokens), n_tiles * n_tokens,
              uint8_t{1});
  for (const uint32_t tile : live) {
    for (size_t i = tile * n_tokens; i < (tile + 1) * n_tokens; ++i)
      target.token_mask[i] = context.derived[i] != 0;
  }
  size_t row = 0;
  for (size_t p = 0; p < partly.size(); ++p) {
    const OwnTokens& own = partly_own[p];
    for (unsigned r = own.row; r < own.row_end; ++r, ++row) {
      uint8_t* out = target.token_mask.data() + partly[p] * n_tokens + size_t{r} * plane.cols;
      for (unsigned c = own.col; c < own.col_end; ++c) out[c] = rows[row] >> (c - own.col) & 1;
    }
  }
}

bool RecordDecoder::Work::any_tile_has_layer() const {
  for (uint32_t t = 0; t < header.tile_count(); ++t) {
    const std::atomic_ref<uint16_t> layers(target.layers[header.first_tile + t]);
    if (layers.load(std::memory_order_relaxed) >> header.layer & 1) return true;
  }
  return false;
}

// Records of other layers of the same tiles may be decoded by other threads at the same time.
void RecordDecoder::Work::mark_layer() {
  for (uint32_t t = 0; t < header.tile_count(); ++t) {
    const std::atomic_ref<uint16_t> layers(target.layers[header.first_tile + t]);
    layers.fetch_or(static_cast<uint16_t>(1u << header.layer), std::memory_order_relaxed);
  }
}

}  // namespace swathpack
