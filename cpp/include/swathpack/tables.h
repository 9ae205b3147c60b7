// The table file, `tables.bin` (bitstream §6): parsed and checked once, immutable afterwards.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "swathpack/error.h"

namespace swathpack {

inline constexpr size_t kMaxTableFileBytes = 131072;
inline constexpr uint8_t kNeverSent = 255;  // in a layer map: the coefficient is always 0

// The piece of the 16-bit probability range that belongs to one symbol.
struct SymbolRange {
  uint16_t start;  // T_k
  uint16_t
      frequency;  // T_(k+1) − T_k, at least 1; at most 65535, as a table with a single symbol is not coded
};

inline constexpr unsigned kMaxLowBits = 8;
inline constexpr unsigned kMaxMagnitude = 32767;  // of a symbol (§5.2)

// One table: K thresholds cut 0 … 65535 into the symbol indices 0 … K; index K is the escape. K = 0: nothing
// is coded. With low bits, each index but 0 stands for 2^b magnitudes of equal frequency (§5.3).
struct Table {
  unsigned n_thresholds = 0;  // K
  unsigned low_bits = 0;      // b
  float r1 = 1, r2 = 0;       // reconstruction points (§8.1)
  float theta = 0;            // dead zone of the reference quantiser (§10.1)
  std::array<SymbolRange, 256> range{};
  // first[slot >> 8] is the first symbol whose range reaches into that 256-slot bucket: a search starts there
  // and takes one or two steps, whatever K is.
  std::array<uint8_t, 256> first{};
  // Cost of symbol index k in 1/256 bit (§10.2), sign and low bits included for k > 0; the escape's code
  // length is not.
  std::array<uint32_t, 256> cost{};
  // ⌈2^48 / share(k)⌉: the encoder divides its state by multiplying (scalar.cpp says why it is exact).
  std::array<uint64_t, 256> reciprocal{};

  [[nodiscard]] unsigned find(uint32_t slot) const {
    unsigned k = first[slot >> 8];
    k += slot - range[k].start >=
         range[k].frequency;  // without a branch: even odds where two symbols share a bucket
    while (slot - range[k].start >= range[k].frequency) ++k;
    return k;
  }

  // The frequency of one magnitude of index k: its range is cut into 2^b equal ones, but for index 0.
  [[nodiscard]] uint32_t share(unsigned k) const {
    return uint32_t{range[k].frequency} >> (k != 0 ? low_bits : 0);
  }
  // The index of a magnitude before it is cut to K, the largest magnitude of an index, and its bits r below.
  [[nodiscard]] unsigned index_of(unsigned magnitude) const {
    return (magnitude + (1u << low_bits) - 1) >> low_bits;
  }
  [[nodiscard]] unsigned largest_of(unsigned k) const { return k << low_bits; }
  [[nodiscard]] unsigned rest_of(unsigned magnitude) const {
    return (magnitude - (magnitude != 0)) & ((1u << low_bits) - 1);
  }
};

struct Plane {
  unsigned rows = 0, cols = 0;
  unsigned channels = 0;
  unsigned n_layers = 0;
  unsigned n_bands = 0;
  unsigned kind = 0;                       // 0 float, 1 integer
  std::vector<int8_t> layer_shift;         // n_layers
  std::vector<uint8_t> band_of_frequency;  // rows·cols
  std::vector<uint8_t> layer_map;          // n_bands × channels
  std::vector<uint8_t> class_map;          // n_bands × channels

  // The frequencies of band b, in raster order, are frequencies[band_begin[b]] … frequencies[band_begin[b +
  // 1] − 1].
  std::vector<uint16_t> frequencies;
  std::vector<uint16_t> band_begin;  // n_bands + 1

  [[nodiscard]] unsigned n_frequencies() const { return rows * cols; }
  [[nodiscard]] std::span<const uint16_t> band(unsigned b) const {
    return std::span(frequencies).subspan(band_begin[b], band_begin[b + 1] - band_begin[b]);
  }
};

class TableSet {
 public:
  // Checks every field; offsets in errors are bytes of the table file.
  [[nodiscard]] static Result<TableSet> parse(std::span<const uint8_t> data);

  [[nodiscard]] const std::vector<float>& ladder() const { return ladder_; }
  [[nodiscard]] const std::vector<Table>& tables() const { return tables_; }
  [[nodiscard]] const std::vector<Plane>& planes() const { return planes_; }

  // e = q + layer shift (§5.2): the layer's own place on the ladder, or nothing when it lies outside.
  [[nodiscard]] std::optional<unsigned> layer_index(const Plane& plane, unsigned layer, int q) const {
    const int e = q + plane.layer_shift[layer];
    if (q < 0 || q >= static_cast<int>(ladder_.size()) || e < 0 || e >= static_cast<int>(ladder_.size())) {
      return std::nullopt;
    }
    return static_cast<unsigned>(e);
  }

  // clamp(class − e, 0, tables − 1) (§5.2).
  [[nodiscard]] unsigned level(uint8_t class_index, unsigned e) const {
    const int level = static_cast<int>(class_index) - static_cast<int>(e);
    const int last = static_cast<int>(tables_.size()) - 1;
    return static_cast<unsigned>(level < 0 ? 0 : level > last ? last : level);
  }

 private:
  std::vector<float> ladder_;
  std::vector<Table> tables_;
  std::vector<Plane> planes_;
};

// Cost of a frequency 1 … 65535 out of 65536 in 1/256 bit, by the integer recipe of §10.2.
[[nodiscard]] uint32_t cost_of_frequency(uint32_t frequency);

}  // namespace swathpack
