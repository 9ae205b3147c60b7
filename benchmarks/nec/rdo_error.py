"""Rate–distortion-optimised quantisation against plain rounding: bytes at equal embedding error.

Two ways, both decoded by the decoder that there is: the *encoder alone*, with tables fitted to plain rounding, trades above
layer 0; *with tables* fitted to what such an encoder sends, it trades everywhere. Tables come from three disjoint parts of
the training windows. Layer 0 has the same step on both sides: its records carry the ladder offset that keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.nec.coded import Way
from benchmarks.nec.equal_error import Point, ratio
from benchmarks.nec.held_out import SPLITS, Collection
from codec.evaluate.rows import Row
from codec.transform.levels import Pool, fit_level
from codec.transform.rdo_levels import fit_traded_level
from codec.transform.tables import Tables
from codec.types import FloatArray

SUITE = "nec"
RATES = (100.0, 300.0, 1000.0)  # bytes per tile of plain rounding, tokens alone
ENCODER_ALONE, WITH_TABLES = 0.07, 2 * np.log(2) / 12  # λ, squared steps for a bit
_FINER = 3  # rungs below plain rounding's index: as far as a record header reaches to keep layer 0
_MEAN_SHIFT = 3  # by which tables of their own may make layer 0 coarser, to reach further
_QUARTER_OCTAVES, _LOWEST = 4, 16  # of the levels: the scale is one step at level 16


def one_plane(tables: Tables) -> Tables:
    """The tokens' part of a table file alone."""
    return replace(tables, planes=tables.planes[:1])


def pools_by_level(tables: Tables, latents: FloatArray) -> dict[int, list[Pool]]:
    """Training magnitudes of plane 0 in units of their class's scale, for every level that meets them at some index."""
    plane, first = tables.planes[0], float(tables.ladder[0])
    found: dict[int, list[Pool]] = {}
    for layer, shift in enumerate(plane.layer_shift):
        for klass in np.unique(plane.class_map[plane.layer_map == layer]).tolist():
            where = ((plane.class_map == klass) & (plane.layer_map == layer))[plane.bands].T
            scale = np.float32(first * 2.0 ** ((klass - _LOWEST) / _QUARTER_OCTAVES))
            pool = Pool.of(np.abs(latents[:, where]).ravel() / scale)
            for index in tables.usable_indices():
                level = klass - index - shift
                if 0 <= level < len(tables.levels):
                    found.setdefault(level, []).append(pool)
    return found


def fitted(tables: Tables, pools: dict[int, list[Pool]], tradeoff: float) -> Tables:
    """The tables with every level fitted anew."""
    levels = list(tables.levels)
    for number, own in pools.items():
        scale = 2.0 ** ((number - _LOWEST) / _QUARTER_OCTAVES)
        levels[number] = fit_traded_level(own, scale, tradeoff) if tradeoff else fit_level(own, scale)
    return replace(tables, levels=tuple(levels))


def coarser_mean(tables: Tables, by: int) -> Tables:
    """The same with layer 0 of the tokens `by` rungs coarser."""
    plane = tables.planes[0]
    shift = (plane.layer_shift[0] + by, *plane.layer_shift[1:])
    return replace(tables, planes=(replace(plane, layer_shift=shift),))


@dataclass(frozen=True)
class Split:
    """Three ways with tables of one part of the training windows."""

    plain: Way
    alone: Way
    with_tables: Way

    @classmethod
    def of(cls, tables: Tables, latents: FloatArray) -> Split:
        pools = pools_by_level(tables, latents)
        rounded = fitted(tables, pools, 0.0)
        traded = coarser_mean(fitted(tables, pools, WITH_TABLES), _MEAN_SHIFT)
        return cls(
            Way.of(rounded), Way.of(rounded, ENCODER_ALONE), Way.of(traded, WITH_TABLES, mean_too=True)
        )


def splits(of: Collection) -> list[Split]:
    """One per part of the training windows."""
    values, parts = of.training("tokens")
    transform, tables = of.package.transforms["tokens"], one_plane(of.package.table_file)
    return [Split.of(tables, transform.analyse(values[part])) for part in parts]


def index_near(way: Way, latents: FloatArray, bytes_per_tile: float) -> tuple[int, Point]:
    """The ladder index whose records take nearest to so many bytes per tile."""
    usable = way.tables.usable_indices()
    low, high = usable.start, usable.stop - 1
    while low < high:
        middle = (low + high) // 2
        if way.point(latents, middle).bytes.mean() <= bytes_per_tile:
            high = middle
        else:
            low = middle + 1
    near = [(i, way.point(latents, i)) for i in (high - 1, high) if i in usable]
    return min(near, key=lambda found: abs(np.log(found[1].bytes.mean() / bytes_per_tile)))


def rows(of: Collection) -> Iterator[Row]:
    """Bytes at equal error of both ways over plain rounding, on each held-out set and on all of them together."""
    found = splits(of)
    latents = np.concatenate([one.latents for one in of.held])
    name = np.repeat([one.name for one in of.held], [len(one.latents) for one in of.held])
    groups = np.concatenate([one.groups + 10**9 * k for k, one in enumerate(of.held)])
    for rate in RATES:
        plain: list[Point] = []
        ours: dict[str, list[list[Point]]] = {"rdo, encoder alone": [], "rdo, with tables": []}
        for split in found:
            index, point = index_near(split.plain, latents, rate)
            plain.append(point)
            for label, way, shift in (
                ("rdo, encoder alone", split.alone, 0),
                ("rdo, with tables", split.with_tables, _MEAN_SHIFT),
            ):
                ours[label].append(
                    [way.point(latents, index - k, k - shift) for k in range(_FINER + shift + 1)]
                )
        for of_set in ("all sets", *(one.name for one in of.held)):
            chosen = np.ones(len(name), dtype=bool) if of_set == "all sets" else name == of_set
            case = f"{of.package.name}/{of_set}/tokens near {rate:g} B"
            rival = [point.only(chosen) for point in plain]
            size = float(np.mean([point.bytes.mean() for point in rival]))
            yield Row(SUITE, case, "bytes, plain rounding", size, unit="B/tile", n=int(chosen.sum()))
            for label, curves in ours.items():
                mine = [[point.only(chosen) for point in curve] for curve in curves]
                r = ratio(mine, rival, groups[chosen])
                yield Row(
                    SUITE, case, f"bytes at equal error, {label}", r.value, r.low, r.high,
                    f"ratio [95% over places and {SPLITS} fits of tables]", "plain rounding", r.n,
                    ",".join(map(str, range(SPLITS))),
                )  # fmt: skip
