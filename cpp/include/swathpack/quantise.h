// The reference quantiser (bitstream §10.1) for whole tiles, where symbols are wanted before they are coded.
#pragma once

#include <cstdint>
#include <span>

#include "swathpack/error.h"
#include "swathpack/records.h"

namespace swathpack {

// Symbols of one layer of n_tiles tiles at q = ladder index + offset; `latents` and `symbols` have
// n_tiles × channels × frequencies elements in `order`. Only coefficients of the layer are read and written.
// RecordEncoder makes the same of float32. kBadInput: off the ladder, not a number.
[[nodiscard]] MaybeError quantise_layer(const TableSet& tables, unsigned plane, unsigned layer, int q,
                                        std::span<const float> latents, Order order,
                                        std::span<int16_t> symbols);

}  // namespace swathpack
