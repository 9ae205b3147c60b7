"""A codec with what was learned behind its fitted transform: matrices of each frequency group, multipliers of the step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from benchmarks.nec.costed import Codec, Costed
from benchmarks.nec.equal_error import Point
from codec.transform.fit_cells import LOWEST_LEVEL, cells_of, classes_of, n_levels
from codec.transform.layout import QUARTER_OCTAVES, PlaneLayout
from codec.transform.levels import fit_level
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs
from codec.transform.rotations import by_group
from codec.transform.tables import Tables
from codec.types import FloatArray, SymbolArray

IntArray = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

_MEAN_HEADER = 6  # bytes of a mean vector's extension besides its payload


@dataclass(frozen=True)
class Learned:
    """Behind the fitted transform: z = gain · (forward[g] @ y), and back."""

    codec: Codec  # the fitted transform, and tables of z
    gain: FloatArray  # C×F
    level_gain: FloatVector  # by level: steps are divided by it
    forward: FloatArray | None = None  # G×C×C; None: nothing is turned
    back: FloatArray | None = None
    promised: float = (
        1.0  # bytes at equal error over the fitted ones', by what was descended on, of windows learned from
    )

    def latents(self, fitted: FloatArray) -> FloatArray:
        """N×C×F of the fitted transform → N×C×F."""
        return self._turned(fitted, self.forward) * self.gain

    def fitted(self, latents: FloatArray) -> FloatArray:
        """And as the ground goes back."""
        return self._turned(latents / self.gain, self.back)

    def _turned(self, values: FloatArray, matrices: FloatArray | None) -> FloatArray:
        rotations = self.codec.transform.rotations
        if matrices is None or rotations is None:
            return values
        rows = np.ascontiguousarray(values.transpose(0, 2, 1))
        return by_group(rows, matrices.transpose(0, 2, 1), rotations.group).transpose(0, 2, 1)

    def with_tables(self, fitted: FloatArray) -> Learned:
        """With tables of these latents, N×C×F of the fitted transform."""
        values, ladder = self.latents(fitted), self.codec.tables.ladder
        plane = self.codec.tables.planes[0]
        plane = replace(
            plane,
            layer_shift=plane.layer_shift[:2],
            layer_map=np.minimum(plane.layer_map, 1),
            class_map=classes_of(values, plane.bands, ladder, flat=False),
        )
        cells = cells_of(plane, values, ladder)
        usable = Tables(ladder, (), (plane,)).usable_indices()
        count = n_levels(cells, usable, {"tokens": PlaneLayout()})
        gain = np.ones(count)
        gain[: len(self.level_gain)] = self.level_gain[:count]
        levels = []
        for number in range(count):  # as `fit_cells.fit_levels`, whose steps are equal
            met = [c.pool for c in cells if any(c.klass - q - c.shift == number for q in usable)]
            levels.append(fit_level(met, gain[number] * 2.0 ** ((number - LOWEST_LEVEL) / QUARTER_OCTAVES)))
        tables = Tables(ladder, tuple(levels), (plane,))
        return replace(self, codec=replace(self.codec, tables=tables), level_gain=gain)

    def curve(self, fitted: FloatArray, file: IntArray, indices: Iterable[int]) -> list[Costed]:
        """Bytes and squared errors of N×C×F of the fitted transform, as `costed.costed` has them of what was fitted."""
        latents = np.ascontiguousarray(self.latents(fitted))
        return [self._costed(fitted, latents, file, index) for index in indices]

    def _costed(self, fitted: FloatArray, latents: FloatArray, file: IntArray, index: int) -> Costed:
        tables = self.codec.tables
        every = quant_maps(tables, 0, index)
        step = (every.step / self.level_gain[every.level]).astype(np.float32)
        every = replace(every, step=step, inv_step=np.float32(1) / step)
        there = every.n_coded_channels
        maps, values = every.first(there), latents[:, :there]
        size, decoded = _sent(tables, maps, values)
        step = maps.step[:, 0]
        _, at, count = np.unique(file, return_inverse=True, return_counts=True)
        if len(count) < len(file):  # a mean vector for each file where it pays
            means = np.stack([values[at == k, :, 0].mean(axis=0) for k in range(len(count))])
            vector = np.zeros((len(count), *values.shape[1:]), np.float32)
            vector[:, :, 0] = np.rint(means / step) * step
            alone = _size(tables, maps, np.rint(vector / maps.step).astype(np.int16))[:, 0] + _MEAN_HEADER
            relieved, left = _sent(tables, maps, values - vector[at])
            theirs = relieved[:, 0] + (alone / count)[at]
            pays = (np.bincount(at, theirs) < np.bincount(at, size[:, 0]))[at]
            size[pays, 0] = theirs[pays]
            decoded[pays, :, 0] = (left + vector[at])[pays, :, 0]
        whole = np.zeros_like(fitted)
        whole[:, :there] = decoded
        errors = np.square(self.fitted(whole) - fitted, dtype=np.float64).sum(axis=1)
        return Costed(Point(size.sum(axis=1), errors.sum(axis=1)), Point(size[:, 0], errors[:, 0]))


def _sent(tables: Tables, maps: QuantMaps, latents: FloatArray) -> tuple[FloatVector, FloatArray]:
    """Bytes of each tile and frequency, N×F, and what is decoded, N×C×F."""
    symbols = maps.quantise(np.ascontiguousarray(latents))
    return _size(tables, maps, symbols), maps.reconstruct(symbols)


def _size(tables: Tables, maps: QuantMaps, symbols: SymbolArray) -> FloatVector:
    magnitude = np.abs(symbols.astype(np.int32))
    n = int(magnitude.max(initial=0)) + 1
    cost = np.stack([magnitude_costs(level, n) for level in tables.levels])[maps.level, magnitude]
    return np.asarray(np.where(maps.coded, cost, 0).sum(axis=1) / COST_UNITS_PER_BYTE, dtype=np.float64)
