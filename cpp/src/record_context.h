// What encoder, decoder and cost estimate ask of the caller's arguments.
#pragma once

#include <string>

#include "swathpack/error.h"
#include "swathpack/tables.h"

namespace swathpack {

// e of (plane, layer) at q = ladder index + offset, all three taken from a caller of ours.
[[nodiscard]] inline Result<unsigned> find_layer(const TableSet& tables, unsigned plane, unsigned layer,
                                                 int q) {
  if (plane >= tables.planes().size()) {
    return Error{ErrorKind::kBadInput, "the tables have no such plane", std::nullopt,
                 "below " + std::to_string(tables.planes().size()), std::to_string(plane)};
  }
  if (layer >= tables.planes()[plane].n_layers) {
    return Error{ErrorKind::kBadInput, "the plane has no such layer", std::nullopt,
                 "below " + std::to_string(tables.planes()[plane].n_layers), std::to_string(layer)};
  }
  if (const auto e = tables.layer_index(tables.planes()[plane], layer, q)) return *e;
  return Error{
      ErrorKind::kBadInput,
      "the ladder index, or its sum with the shift of layer " + std::to_string(layer) + ", is off the ladder",
      std::nullopt, "0 to " + std::to_string(tables.ladder().size() - 1),
      std::to_string(q) + " and " + std::to_string(q + tables.planes()[plane].layer_shift[layer])};
}

}  // namespace swathpack
