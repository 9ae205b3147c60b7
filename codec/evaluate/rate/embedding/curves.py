"""Which qualities and layers of a layered codec are scored: points chosen by what training tiles cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from codec.bitstream import core
from codec.transform.maps import quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, choose_ladder_index
from codec.transform.tables import Tables
from codec.types import MAX_LAYERS, FloatArray

# Bits per element of tokens × width that the points of all layers, and those of layer 0 alone, aim at.
TARGETS = (2.0, 1.0, 0.5, 0.25, 0.125, 0.06, 0.03, 0.015)
MEAN_TARGETS = (0.1, 0.06, 0.04, 0.03, 0.02, 0.015, 0.01, 0.0075, 0.005)
PREFIX_TARGET = 1.0  # of the whole file whose prefixes are scored
COST_TILES = 128  # training tiles that are quantised to know what a quality costs

Points = dict[str, tuple[int, int]]  # setting → ladder index, number of layers that arrive


@dataclass(frozen=True)
class LayerCosts:
    """Payload bytes of a training tile by layer, all planes together, at any ladder index."""

    tables: Tables
    parsed: core.TableSet
    latents: Sequence[FloatArray]  # N×C×F of every plane that is sent
    planes: Sequence[int]  # their numbers in the tables
    elements: int  # of a tile, all planes that are sent
    _known: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def n_layers(self) -> int:
        """Of the plane that has the most."""
        return max(len(self.tables.planes[plane].layer_shift) for plane in self.planes)

    def at(self, index: int) -> npt.NDArray[np.float64]:
        """Bytes of each layer."""
        if index not in self._known:
            found = np.zeros(MAX_LAYERS)
            for plane, latents in zip(self.planes, self.latents, strict=True):
                symbols = quant_maps(self.tables, plane, index).quantise(latents)
                for layer in range(len(self.tables.planes[plane].layer_shift)):
                    costs = core.tile_costs(self.parsed, plane, layer, index, symbols)
                    found[layer] += float(costs.mean()) / COST_UNITS_PER_BYTE
            self._known[index] = found
        return self._known[index]

    def index_for(self, bits_per_element: float, layers: int = MAX_LAYERS) -> int:
        """The finest index at which the first `layers` layers keep within the target, or the coarsest."""
        indices = self.tables.usable_indices()
        budget = max(bits_per_element * self.elements / 8, float(self.at(indices.stop - 1)[:layers].sum()))
        return choose_ladder_index(indices, lambda i: float(self.at(i)[:layers].sum()), budget)


def qualities(costs: LayerCosts) -> Points:
    """All layers at several qualities."""
    return {f"q{index}": (index, MAX_LAYERS) for index in map(costs.index_for, TARGETS)}


def means(costs: LayerCosts) -> Points:
    """Layer 0 alone at several qualities."""
    return {f"q{index} L0": (index, 1) for index in (costs.index_for(t, 1) for t in MEAN_TARGETS)}


def prefixes(costs: LayerCosts) -> Points:
    """One file of 1 bit per element: all its layers, all but the last, … layer 0."""
    index = costs.index_for(PREFIX_TARGET)
    counts = range(costs.n_layers, 0, -1)
    return {f"q{index} L0" + (f"-{n - 1}" if n > 1 else ""): (index, n) for n in counts}


Choice = Callable[[LayerCosts], Points]
