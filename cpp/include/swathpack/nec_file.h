// What surrounds the records of a .nec file (bitstream §3, §4.6), for writers that hold the header as ready
// bytes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "swathpack/error.h"
#include "swathpack/sha256.h"
#include "swathpack/tile_grid.h"

namespace swathpack {

// The fields of a file header that coding needs. Sensor, identities, georeference and extensions are not
// looked into: they were made, and are checked, elsewhere.
struct NecHeader {
  struct Plane {
    unsigned rows, cols, channels, n_layers, kind;
  };
  size_t length = 0;  // whole header, CRC included
  unsigned ladder_index = 0;
  TileGrid grid;
  std::vector<Plane> planes;

  // Reads the header that `data` begins with. Refusals as the table of §3 says; offsets are bytes of the
  // header.
  [[nodiscard]] static Result<NecHeader> parse(std::span<const uint8_t> data);
};

// Makes index and seal while the caller writes header and records. Memory: 8 bytes per record.
class NecTail {
 public:
  // `header`: exactly the file's header.
  [[nodiscard]] static Result<NecTail> begin(std::span<const uint8_t> header);

  // One complete record of coefficients or tables that fits the header and has right checksums; anything else
  // is refused with kBadInput.
  [[nodiscard]] MaybeError add(std::span<const uint8_t> record);

  // What stands behind the last record: index parts and seal.
  [[nodiscard]] std::vector<uint8_t> finish() const;

 private:
  NecHeader header_;
  Sha256 sha_;
  uint64_t offset_ = 0;
  std::vector<uint8_t> heads_;  // packed headers of the records
};

}  // namespace swathpack
