"""New tables from decoded symbols alone: the class of every (band, channel), thresholds and reconstruction points.

Transform, ladder, bands, layers and shifts stay, so embeddings mean the same and a ladder index is the same steps.

*Classes.* The levels of the old tables are distributions of known scale. A (band, channel) gets the class under which its
received symbols take the fewest bits, the old class counting as so many tiles more; ties go to the class nearest the old
one. What no symbol was received of (too small to be coded at the received quality, or its layer never came) moves with
the median of its plane.
*Thresholds.* The symbols that now meet on a level, with the old table counting as some more of them, make its table.
Levels that few symbols met keep theirs; what escaped was decoded exactly and counts like all else.
*Points.* Symbols do not say where in its bin a coefficient lay, but how fast the bins thin out does: for an exponential
density the centroid follows from the ratio of neighbouring bins. The old points, which a fit measured, move by the
difference of that centroid between old and new counts.
All sums are of integers, so equal symbols give equal tables on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform.levels import level_of_counts
from codec.transform.maps import quant_maps
from codec.transform.rate import magnitude_costs
from codec.transform.tables import Level, PlaneMaps, Tables
from codec.types import PlaneKind, SymbolArray

IntArray = npt.NDArray[np.int64]

# Layer 0 has one coefficient per tile and channel. A scale is known to half a class (an eighth of an octave, 9 %) from
# 1 / 0.09² ≈ 128 of them; below that a refit would follow the weather.
LEAST_TILES = 128
_OLD_CLASS_WEIGHT = 32  # tiles that the old class counts as
_OLD_TABLE_WEIGHT = 256  # symbols that the old table counts as
_LEAST_SYMBOLS = 2048  # on a level, for a new table
_LEAST_NEIGHBOURS = 256  # symbols in each of two bins whose ratio moves a point
_MAGNITUDES = 1024  # of histograms; larger ones count as the largest
_FINE = 256  # a symbol's weight, so that old tables can count as fractions


@dataclass(frozen=True)
class PlaneSymbolSet:
    """Received symbols of one plane of one file; arrays as `codec.transform.drift.tally` takes them."""

    plane: int
    ladder_index: int
    symbols: SymbolArray  # n×C×F
    layers: npt.NDArray[np.uint16]  # n
    offsets: npt.NDArray[np.int8]  # n×n_layers


@dataclass(frozen=True)
class Refitted:
    """New tables, and what they do for the symbols that they were made from."""

    tables: Tables
    tiles: tuple[int, ...]  # of each plane
    seen: tuple[int, ...]  # (band, channel) of each plane that symbols were received of
    moved: tuple[float, ...]  # median change of class of each plane, quarter octaves
    new_levels: int  # tables that changed
    bytes_before: float  # payload bytes of the received symbols, by integer costs
    bytes_after: float


def refit(tables: Tables, received: Iterable[PlaneSymbolSet]) -> Refitted:
    """Tables for what was received. Raises InputError where a plane holds integers, or has too few tiles."""
    for number, maps in enumerate(tables.planes):
        if maps.kind is not PlaneKind.FLOAT:
            raise InputError(
                f"plane {number} holds integers, whose tables are no scales", fix="fit it anew: swathpack fit"
            )
    histograms = [_Histograms(tables, number) for number in range(len(tables.planes))]
    for part in received:
        histograms[part.plane].add(part)
    for number, found in enumerate(histograms):
        if found.tiles < LEAST_TILES:
            raise InputError(
                f"plane {number}: too few tiles were received whole to know its scales",
                expected=f"at least {LEAST_TILES}",
                found=found.tiles,
                fix="add files of more passes",
            )
    lengths = _lengths(tables)
    classes, moved = zip(*(found.classes(lengths) for found in histograms), strict=True)
    planes = tuple(replace(maps, class_map=c) for maps, c in zip(tables.planes, classes, strict=True))
    on_level = np.zeros((len(tables.levels), _MAGNITUDES), dtype=np.int64)
    for found, new in zip(histograms, classes, strict=True):
        found.gather(new, on_level)
    levels = tuple(_level(old, counts) for old, counts in zip(tables.levels, on_level, strict=True))
    result = Tables(tables.ladder, levels, planes)
    return Refitted(
        result,
        tuple(found.tiles for found in histograms),
        tuple(int(found.seen.sum()) for found in histograms),
        tuple(float(m) for m in moved),
        sum(a != b for a, b in zip(tables.levels, levels, strict=True)),
        sum(
            found.bytes(tables, maps.class_map) for found, maps in zip(histograms, tables.planes, strict=True)
        ),
        sum(found.bytes(result, maps.class_map) for found, maps in zip(histograms, planes, strict=True)),
    )


class _Histograms:
    """Counts of magnitudes of one plane by ladder position, band and channel."""

    def __init__(self, tables: Tables, plane: int) -> None:
        self.tables, self.plane = tables, plane
        self.maps: PlaneMaps = tables.planes[plane]
        self.tiles = 0
        self.counts: dict[int, IntArray] = {}  # ladder position → (bands·channels)×magnitudes

    def add(self, part: PlaneSymbolSet) -> None:
        maps = self.maps
        n_bands, channels = maps.class_map.shape
        if not len(part.symbols):
            return
        self.tiles += len(part.symbols)
        cell_of = (maps.bands[None, :].astype(np.int64) * channels + np.arange(channels)[:, None]).reshape(-1)
        shift = np.array([*maps.layer_shift, 0], dtype=np.int64)
        keys = np.concatenate([part.layers[:, None].astype(np.int64), part.offsets.astype(np.int64)], axis=1)
        kinds, kind_of = np.unique(keys, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds):
            q = quant_maps(self.tables, self.plane, part.ladder_index, kind[1:].tolist())
            layer = np.minimum(q.layer, len(shift) - 1).astype(np.int64)
            position = (part.ladder_index + shift[layer] + np.append(kind[1:], 0)[layer]).reshape(-1)
            arrived = (int(kind[0]) >> np.minimum(q.layer, 16).astype(np.int64)) & 1
            usable = (q.coded & (arrived == 1)).reshape(-1)
            tiles = part.symbols[kind_of.reshape(-1) == number].reshape(-1, len(cell_of))
            for place in np.unique(position[usable]).tolist():
                cells = np.flatnonzero(usable & (position == place))
                magnitude = np.minimum(np.abs(tiles[:, cells].astype(np.int64)), _MAGNITUDES - 1)
                flat = (cell_of[cells] * _MAGNITUDES + magnitude).reshape(-1)
                size = n_bands * channels * _MAGNITUDES
                found = np.bincount(flat, minlength=size).reshape(-1, _MAGNITUDES)
                before = self.counts.get(place)
                self.counts[place] = found if before is None else before + found

    @property
    def seen(self) -> npt.NDArray[np.bool_]:
        """(bands·channels): symbols were received."""
        found = np.zeros(self.maps.class_map.size, dtype=bool)
        for counts in self.counts.values():
            found |= counts.any(axis=1)
        return found

    def classes(self, lengths: IntArray) -> tuple[npt.NDArray[np.uint8], float]:
        """The new class map, and the median change of the classes that were seen."""
        old = self.maps.class_map.reshape(-1).astype(np.int64)
        n_levels = len(lengths)
        candidates = np.arange(256)
        cost = np.zeros((len(old), len(candidates)), dtype=np.int64)
        total = sum(
            (counts.sum(axis=1) for counts in self.counts.values()), np.zeros(len(old), dtype=np.int64)
        )
        old_shares = _shares(lengths)
        for place, counts in self.counts.items():
            rows = np.flatnonzero(counts.any(axis=1))
            used = int(np.flatnonzero(counts.any(axis=0)).max(initial=0)) + 1
            level = np.clip(old[rows] - place, 0, n_levels - 1)
            weight = _OLD_CLASS_WEIGHT * _FINE * counts[rows].sum(axis=1) // np.maximum(1, total[rows])
            weighted = counts[rows] * _FINE + weight[:, None] * old_shares[level] // _SHARE_UNITS
            used = max(used, int(np.flatnonzero(weighted.any(axis=0)).max(initial=0)) + 1)
            by_level = weighted[:, :used] @ lengths[:, :used].T  # integers: exact
            cost[rows] += by_level[:, np.clip(candidates - place, 0, n_levels - 1)]
        seen = self.seen
        # Equal costs: the nearest to the old class, the smaller of two as near.
        distance = np.abs(candidates[None, :] - old[:, None])
        lowest = cost == cost.min(axis=1, keepdims=True)
        best = np.where(lowest, distance, 1000).argmin(axis=1)
        moved = float(np.median(best[seen] - old[seen])) if seen.any() else 0.0
        new = np.where(seen, best, np.clip(old + round(moved), 0, 255))
        return new.astype(np.uint8).reshape(self.maps.class_map.shape), moved

    def gather(self, classes: npt.NDArray[np.uint8], on_level: IntArray) -> None:
        """Add all symbols to the levels that these classes put them on."""
        for place, counts in self.counts.items():
            level = np.clip(classes.reshape(-1).astype(np.int64) - place, 0, len(on_level) - 1)
            np.add.at(on_level, level, counts)

    def bytes(self, tables: Tables, classes: npt.NDArray[np.uint8]) -> float:
        """Payload bytes of all symbols under tables and classes; what these do not code costs nothing."""
        costs = np.stack([magnitude_costs(level, _MAGNITUDES) for level in tables.levels])
        on_level = np.zeros_like(costs)
        self.gather(classes, on_level)
        return float((on_level * costs).sum()) / (8 * 256)


_SHARE_UNITS = 1 << 20


def _lengths(tables: Tables) -> IntArray:
    """Code lengths of magnitudes on every level, levels×magnitudes in 1/256 bit, also where a level has no table.

    Levels lie a quarter octave apart, and the logarithm of a Laplace density's share of non-zeros is inverse to its scale:
    the lowest table says what the levels below it would be.
    """
    lengths = np.stack([magnitude_costs(level, _MAGNITUDES) for level in tables.levels])
    coded = [number for number, level in enumerate(tables.levels) if level.thresholds]
    if not coded:
        raise InputError("the tables code nothing", fix="fit the package anew")
    lowest = coded[0]
    rare = -math.log2(1 - tables.levels[lowest].thresholds[0] / 65536)  # bits of "not zero"
    for number in range(lowest):
        bits = rare * 2 ** ((lowest - number) / 4)
        lengths[number] = np.rint(256 * (bits * np.arange(_MAGNITUDES) + 1))
        lengths[number, 0] = round(-256 * math.log2(1 - 2.0**-bits))
    return lengths


def _shares(lengths: IntArray) -> IntArray:
    """The distributions that code lengths stand for, in 2⁻²⁰."""
    bits = lengths / 256 - (np.arange(lengths.shape[1]) > 0)
    return np.rint(2.0**-bits * _SHARE_UNITS).astype(np.int64)


def _level(old: Level, counts: IntArray) -> Level:
    """A level's table from the symbols that it met, with the old one as further symbols."""
    if int(counts.sum()) < _LEAST_SYMBOLS or not old.thresholds:
        return old
    prior = _shares(magnitude_costs(old, _MAGNITUDES)[None])[0]
    # As far as the old table expected anything worth a symbol of its weight.
    likely = np.flatnonzero(prior >= _SHARE_UNITS // (16 * _OLD_TABLE_WEIGHT)).max()
    n = max(int(np.flatnonzero(counts).max()), int(likely)) + 1
    mixed = counts[:n] * _FINE + _OLD_TABLE_WEIGHT * _FINE * prior[:n] // _SHARE_UNITS
    new = level_of_counts(mixed // _FINE, is_cut=n >= _MAGNITUDES)
    r1, r2 = old.r1, old.r2
    if counts[1] >= _LEAST_NEIGHBOURS and counts[2] >= _LEAST_NEIGHBOURS:
        r1 += _centroid(mixed[2] / mixed[1]) - _centroid(prior[2] / prior[1])
    above, further = int(counts[2:].sum()), int(counts[3:].sum())
    if above >= _LEAST_NEIGHBOURS and further >= _LEAST_NEIGHBOURS:
        r2 += _centroid(mixed[3:].sum() / mixed[2:].sum()) - _centroid(prior[3:].sum() / prior[2:].sum())
    points = float(np.float32(np.clip(r1, 0.5, 2.0))), float(np.float32(np.clip(r2, -1.0, 1.0)))
    return replace(new, r1=points[0], r2=points[1], theta=old.theta)


def _centroid(ratio: float) -> float:
    """Where in its bin (0 … 1) an exponential density lies on average whose next bin holds `ratio` as much."""
    ratio = min(max(float(ratio), 1e-6), 1 - 1e-6)
    return -1 / math.log(ratio) - ratio / (1 - ratio)


__all__ = ["LEAST_TILES", "PlaneSymbolSet", "Refitted", "refit"]
