// The writing half of a RecordDecoder: only what a whole record has been found to say.
#include <algorithm>
#include <cstring>
#include <string>

#include "decode_work.h"

namespace swathpack {

MaybeError RecordDecoder::Work::check_range() const {
  if (target.type == SymbolType::kInt16) return std::nullopt;
  for (size_t i = 0; i < n_nonzeros; ++i) {
    if (nonzeros[i].value < -128 || nonzeros[i].value > 127) {
      return Error{ErrorKind::kBadInput, "a symbol does not fit int8",      std::nullopt,
                   "-128 to 127",        std::to_string(nonzeros[i].value), "decode into an int16 array"};
    }
  }
  return std::nullopt;
}

template <class Symbol>
void RecordDecoder::Work::clear_layer(Symbol* tile) const {
  const size_t n_frequencies = plane.n_frequencies();
  for (unsigned b = 0; b < plane.n_bands; ++b) {
    const auto band = plane.band(b);
    const uint8_t* layers = plane.layer_map.data() + size_t{b} * plane.channels;
    for (unsigned c = 0; c < plane.channels; ++c) {
      if (layers[c] != header.layer) continue;
      Symbol* channel = tile + c * n_frequencies;
      if (band.size() == n_frequencies) {
        std::memset(channel, 0, n_frequencies * sizeof(Symbol));
      } else {
        for (const uint16_t f : band) channel[f] = 0;
      }
    }
  }
}

template <class Symbol>
void RecordDecoder::Work::write_symbols(const LayerPlan& plan, Symbol* symbols) {
  const size_t n_frequencies = plane.n_frequencies(), tile_size = plane.channels * n_frequencies;
  for (uint32_t t = 0; t < header.tile_count(); ++t)
    clear_layer(symbols + (header.first_tile + t) * tile_size);

  size_t i = 0, first = 0;
  for (const size_t end_nonzero : group_nonzeros) {
    const auto band = plane.band(plan.coded[first].band);
    const auto band_size = static_cast<uint32_t>(band.size());
    // Steps ascend, so the tile is followed instead of divided out.
    size_t tile = 0;
    uint32_t tile_end = band_size;
    for (; i < end_nonzero; ++i) {
      const Nonzero& s = nonzeros[i];
      while (s.step >= tile_end) {
        tile_end += band_size;
        ++tile;
      }
      const uint16_t f = band[s.step - (tile_end - band_size)];
      const size_t channel = plan.coded[first + s.lane].channel;
      symbols[live[tile] * tile_size + channel * n_frequencies + f] = static_cast<Symbol>(s.value);
    }
    first = plan.group_end(first, header.lanes());
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

void RecordDecoder::Work::write(const LayerPlan& plan) {
  if (target.type == SymbolType::kInt8) {
    write_symbols(plan, static_cast<int8_t*>(target.symbols));
  } else {
    write_symbols(plan, static_cast<int16_t*>(target.symbols));
  }
  if (header.layer == 0) write_masks();
  for (uint32_t t = 0; t < header.tile_count(); ++t) {
    uint16_t& layers = target.layers[header.first_tile + t];
    layers = static_cast<uint16_t>(layers | 1u << header.layer);
  }
}

}  // namespace swathpack
