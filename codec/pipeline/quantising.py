"""One plane at one quality: latents → symbols and their costs, with the scene's mean vector where it saves bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream import core, mean_vector
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.sources import Source
from codec.transform import rdo
from codec.transform.maps import QuantMaps
from codec.transform.quantiser import MAX_MAGNITUDE, quantise
from codec.transform.rate import COST_UNITS_PER_BYTE
from codec.transform.rdo import Choice
from codec.types import BoolArray, FloatArray, SymbolArray

_CHUNK = 1024  # tiles quantised at a time: bounds the temporary copies
_EXTENSION_BYTES = 4  # type, length and plane of the header extension that holds a mean vector

Costs = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Mean:
    """The mean of layer 0 over a scene's coded tiles, as the header sends it (bitstream §3.3)."""

    payload: bytes
    values: FloatArray  # C×F latent units, what the ground adds to layer 0; 0 elsewhere

    @classmethod
    def of(cls, package: Package, source: Source, ladder_index: int) -> Mean:
        """Rounded to the steps of layer 0 at this quality: plain rounding, as it has no reconstruction point."""
        maps = package.maps(source.number, ladder_index)
        cells = (maps.layer == 0) & maps.coded
        symbols = np.zeros(cells.shape, dtype=np.int16)
        mean = source.values[source.coded][:, cells].mean(axis=0, dtype=np.float64)
        symbols[cells] = np.clip(np.rint(mean / maps.step[cells]), -MAX_MAGNITUDE, MAX_MAGNITUDE)
        payload = mean_vector.encode(package.tables, source.number, ladder_index, symbols)
        return cls(payload, (symbols * maps.step).astype(np.float32))

    @property
    def cost(self) -> int:
        """Of its header extension, in 1/256 bit."""
        return (len(self.payload) + _EXTENSION_BYTES) * COST_UNITS_PER_BYTE


@dataclass(frozen=True)
class Quantiser:
    """Symbols of one plane at one quality, in whatever pieces they are asked for."""

    package: Package
    source: Source
    ladder_index: int
    mean: Mean | None = None  # may be that of another quality
    tradeoff: float = 0.0  # squared steps for a bit, above layer 0 (`codec.transform.rdo`)

    @property
    def maps(self) -> QuantMaps:
        return self.package.maps(self.source.number, self.ladder_index)

    def layer(self, layer: int, tiles: slice) -> tuple[SymbolArray, BoolArray]:
        """Symbols n×k of one layer of some tiles, and which of C×F cells these are."""
        maps = self.maps
        cells = maps.layer == layer
        values = self.source.values[tiles][:, cells]
        if self.mean is not None and layer == 0:
            values = values - self.mean.values[cells]
        symbols = quantise(values, maps.inv_step[cells], maps.theta[cells])
        symbols[:, ~maps.coded[cells]] = 0
        if layer > 0:
            choice = Choice(self.package.table_file.levels)
            choice.reconsider(symbols, values, maps.level[cells], maps.inv_step[cells], self.tradeoff)
        symbols[~self.source.coded[tiles]] = 0
        return symbols, cells

    def clamped(self) -> BoolArray:
        """N tiles of which some latent lies so far out that the quantiser (bitstream §10.1) would put another in its place.

        Asked of no tile that is masked.
        """
        maps, source = self.maps, self.source
        limit = MAX_MAGNITUDE * maps.step
        found = np.zeros(len(source.values), dtype=bool)
        largest = max(source.values.max(initial=0), -source.values.min(initial=0))
        if self.mean is not None:
            largest += np.abs(self.mean.values).max(initial=0)
        if largest <= limit.min(initial=np.inf):  # nearly always
            return found
        for start in range(0, len(found), _CHUNK):
            tiles = slice(start, start + _CHUNK)
            values = source.values[tiles]
            if self.mean is not None:
                values = values - self.mean.values
            beyond = (np.abs(values) > limit) & maps.coded
            found[tiles] = beyond.any(axis=(1, 2))
        return found & source.coded

    def all(self) -> SymbolArray:
        """Symbols N×C×F int16."""
        symbols = np.empty(self.source.values.shape, dtype=np.int16)
        maps = self.maps
        for start in range(0, len(symbols), _CHUNK):
            tiles = slice(start, start + _CHUNK)
            values = self.source.values[tiles]
            if self.mean is not None:
                values = values - self.mean.values
            symbols[tiles] = rdo.quantise(self.package.table_file.levels, maps, values, self.tradeoff)
        symbols[~self.source.coded] = 0
        return symbols

    def costs(self, layers: range) -> list[Costs]:
        """One-lane costs of these layers for each of N tiles, 1/256 bit; holds no more than some symbols at a time."""
        n_tiles = len(self.source.values)
        found = [np.zeros(n_tiles, dtype=np.uint64) for _ in layers]
        for start in range(0, n_tiles, _CHUNK):
            tiles = slice(start, min(start + _CHUNK, n_tiles))
            symbols = np.zeros((tiles.stop - start, *self.maps.layer.shape), dtype=np.int16)
            for layer in layers:
                values, cells = self.layer(layer, tiles)
                symbols[:, cells] = values
            for costs, layer in zip(found, layers, strict=True):
                costs[tiles] = core.tile_costs(
                    self.package.tables, self.source.number, layer, self.ladder_index, symbols
                )
        for costs in found:
            costs[~self.source.coded] = 0
        return found


def check_reach(quantisers: Sequence[Quantiser]) -> None:
    """Raises InputError, naming the first tile, where a latent would be clamped: it would decode to another number."""
    for quantiser in quantisers:
        clamped = quantiser.clamped()
        if clamped.any():
            package = quantiser.package
            raise InputError(
                f"plane {package.planes[quantiser.source.number].name!r}: latents of tile {int(clamped.argmax())} lie so "
                "far out that this quality cannot hold them",
                found=f"ladder index {quantiser.ladder_index} of {package.ladder_indices[-1]}",
                fix="choose a coarser one, or mark the tile invalid",
            )


def chosen_mean(package: Package, source: Source, ladder_index: int, file_mean: bool | None) -> Mean | None:
    """The mean vector that shall be sent; None: none.

    `file_mean` None: where it saves more bytes in layer 0 than it takes, by integer costs.
    """
    if file_mean is False or not source.coded.any():
        return None
    mean = Mean.of(package, source, ladder_index)
    if file_mean:
        return mean
    first = range(1)
    (without,) = Quantiser(package, source, ladder_index).costs(first)
    (with_mean,) = Quantiser(package, source, ladder_index, mean).costs(first)
    return mean if int(without.sum()) - int(with_mean.sum()) > mean.cost else None
