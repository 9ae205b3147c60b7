// Coefficient records (bitstream §5): symbols and masks of one plane to bytes and back.
//
// What surprises a newcomer: the encoder runs backwards. rANS is a stack; the decoder pops what was pushed
// last, so the encoder starts with the last symbol of the record and the decoder meets the symbols in reading
// order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "swathpack/error.h"
#include "swathpack/tables.h"

namespace swathpack {

// A record of more coded symbols than this is refused (§5.6).
inline constexpr uint64_t kMaxRecordSymbols = uint64_t{1} << 26;

// What an array of coefficients holds: symbols, or values in latent units (§8.1, before the mean vector is
// added).
enum class ElementType : uint8_t { kInt8, kInt16, kFloat16, kFloat32 };

// How it is ordered: tile × channel × frequency, or tile × frequency × channel. Lanes are channels, so the
// second is what vector units write and read in one piece.
enum class Order : uint8_t { kTile, kToken };

// The plane and the tiles a run of records belongs to. `derived` says which tokens the header makes invalid
// in every tile (§3.1): n_tiles × tokens bytes, non-zero = derived-invalid; the others must be a rectangle of
// each tile.
struct PlaneContext {
  const TableSet* tables = nullptr;
  unsigned plane = 0;
  unsigned ladder_index = 0;  // of the file; records add their offset
  uint32_t n_tiles = 0;
  std::span<const uint8_t> derived = {};
};

struct EncodeSource {
  const void* symbols = nullptr;  // n_tiles × channels × frequencies in `order`, contiguous
  ElementType type =
      ElementType::kInt16;  // float32 goes through the reference quantiser (§10.1); float16 is refused
  Order order = Order::kTile;
  std::span<const uint8_t> tile_mask = {};  // n_tiles; non-zero = none of the tile's own tokens is valid
  std::span<const uint8_t> token_mask =
      {};  // n_tiles × tokens; non-zero = invalid; not looked at in masked tiles
};

// Writes records of one plane. Scratch memory is kept between records; one encoder is used by one thread.
class RecordEncoder {
 public:
  RecordEncoder(const PlaneContext& context, const EncodeSource& source);
  ~RecordEncoder();

  // Appends the complete record (header, payload, CRC) to `out`. `header` is a packed record header (§4.1) of
  // kind 1 whose length and check fields are 0; the record is of kind 6 where it has one lane and no masks.
  // Refused with kBadInput: a field that does not fit the tables, a symbol outside ±32767, a non-zero symbol
  // where nothing is coded (its table has no threshold), masks that contradict each other; with kLimit: a
  // payload above 65,536 bytes, more than kMaxRecordSymbols symbols.
  [[nodiscard]] MaybeError encode(uint64_t header, std::vector<uint8_t>& out);

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

struct DecodeTarget {
  void* symbols = nullptr;  // n_tiles × channels × frequencies in `order`, contiguous
  ElementType type = ElementType::kInt16;
  Order order = Order::kTile;
  std::span<uint8_t> token_mask = {};  // n_tiles × tokens: 1 = invalid. Written by records of layer 0
  std::span<uint16_t> layers = {};     // n_tiles: bit l is set when layer l of the tile has been decoded
};

struct SharedPlans;  // internal

// Reads records of one plane. A record that is refused leaves the target as it was, but for coefficients of
// its layer in its tiles where that layer had not been decoded: they may be zero now, as if it had never
// arrived.
class RecordDecoder {
 public:
  RecordDecoder(const PlaneContext& context, const DecodeTarget& target);
  ~RecordDecoder();

  // `record` is one complete record. Error offsets are bytes of the record. kBadInput is said of an intact
  // record that is not this call's business: another kind or plane, or a value that does not fit an int8 or
  // float16 target.
  [[nodiscard]] MaybeError decode(std::span<const uint8_t> record);

  // Several of them, as if one after the other; many of one lane are decoded side by side. One outcome for
  // each record.
  void decode(std::span<const std::span<const uint8_t>> records, std::span<MaybeError> outcomes);

 private:
  struct Work;
  size_t prepare_alike(std::span<const std::span<const uint8_t>> records);
  bool decode_at_once(size_t n);
  void decode_side_by_side(std::span<MaybeError> outcomes);

  std::unique_ptr<SharedPlans> shared_;
  std::vector<std::unique_ptr<Work>> works_;  // one, or as many as go side by side
};

// The one-lane estimate of one layer in 1/256 bit, tile by tile (§10.2): magnitudes, signs and escapes of the
// coded coefficients; `q` is ladder index + offset. `costs` has n_tiles entries. int8 or int16 as in
// EncodeSource; where nothing is coded they are not looked at.
[[nodiscard]] MaybeError tile_costs(const TableSet& tables, unsigned plane, unsigned layer, int q,
                                    const void* symbols, ElementType type, Order order,
                                    std::span<uint64_t> costs);

// Number of (band, channel) pairs of the layer that have symbols at q = ladder index + offset (§5.2).
[[nodiscard]] Result<uint32_t> coded_pairs(const TableSet& tables, unsigned plane, unsigned layer, int q);

}  // namespace swathpack
