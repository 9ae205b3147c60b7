"""The spectral plane beside the tokens: what it adds to a file, and what it would save if tokens were predicted from it.

*Price*: bytes of the plane over those of the tokens at the same ladder index; the error of the tokens is the same with it
and without. *Prediction* (bitstream §8.2, reserved): each frequency of the tokens above the tile mean less a linear map of
the decoded spectral coefficients of that frequency, fitted to training windows, with classes moved by what it takes from the
variance. Bytes are integer costs of the shipped tables, without record headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.nec.equal_error import Point, ratio, times
from benchmarks.nec.held_out import SPLITS, Collection
from codec.evaluate.rows import Row
from codec.transform.maps import QuantMaps, quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs
from codec.transform.tables import Level, Tables
from codec.types import FloatArray, SymbolArray

SUITE = "nec"
RATES = (125.0, 200.0, 350.0)  # bytes per tile of tokens and plane together
_STEPS_BACK = 3  # rungs below and above, for a curve
_QUARTER_OCTAVES = 4
_RIDGE = 1e-4  # of the mean power, for channels that nearly repeat each other


def _bytes(tables: Tables, maps: QuantMaps, symbols: SymbolArray) -> FloatArray:
    """N, of costs."""
    magnitude = np.abs(symbols.astype(np.int32))
    n = int(magnitude.max(initial=0)) + 1
    cost = np.stack([magnitude_costs(level, n) for level in tables.levels])[maps.level, magnitude]
    return np.asarray(np.where(maps.coded, cost, 0).sum(axis=(1, 2)) / COST_UNITS_PER_BYTE)


def _moved(maps: QuantMaps, levels: tuple[Level, ...], by: FloatArray) -> QuantMaps:
    """The maps with every cell's level lower by as many rungs."""
    level = np.clip(maps.level - by.astype(np.int16), 0, len(levels) - 1).astype(np.int16)

    def each(of: str) -> FloatArray:
        return np.array([getattr(one, of) for one in levels], dtype=np.float32)[level]

    thresholds = np.array([len(one.thresholds) for one in levels])[level]
    return replace(
        maps, level=level, coded=maps.coded & (thresholds > 0), theta=each("theta"), r1=each("r1"), r2=each("r2")
    )  # fmt: skip


def _maps_of(plane: FloatArray, tokens: FloatArray) -> FloatArray:
    """F×S×C: tokens above the mean from spectral coefficients of their frequency."""
    s, c, f = plane.shape[1], tokens.shape[1], tokens.shape[2]
    found = np.zeros((f, s, c), dtype=np.float32)
    for i in range(1, f):
        x, y = plane[:, :, i].astype(np.float64), tokens[:, :, i].astype(np.float64)
        power = x.T @ x
        if (ridge := _RIDGE * np.trace(power) / s) > 0:
            found[i] = np.linalg.solve(power + ridge * np.eye(s), x.T @ y)
    return found


def rows(of: Collection) -> Iterator[Row]:
    """Price and prediction at three rates, tiles of all sets."""
    package, tables = of.package, of.package.table_file
    number = {name: package.plane_index(name) for name in ("tokens", "spectral")}
    train, parts = of.training("tokens")
    tokens = package.transforms["tokens"].analyse(train)
    spectral = package.transforms["spectral"].analyse(of.training("spectral")[0])
    held = np.concatenate([one.latents for one in of.held])
    beside = np.concatenate(
        [
            package.transforms["spectral"].analyse(
                np.asarray(of.run.planes(one.name).values["spectral"][one.chosen])
            )
            for one in of.held
        ]
    )
    groups = np.concatenate([one.groups + 10**9 * k for k, one in enumerate(of.held)])

    def decoded(plane: str, index: int, latents: FloatArray) -> tuple[FloatArray, FloatArray]:
        maps = quant_maps(tables, number[plane], index)
        symbols = maps.quantise(latents)
        return maps.reconstruct(symbols), _bytes(tables, maps, symbols)

    def direct(index: int) -> tuple[Point, FloatArray]:
        values, size = decoded("tokens", index, held)
        _, more = decoded("spectral", index, beside)
        return Point(size + more, np.square(values.astype(np.float64) - held).sum(axis=(1, 2))), more

    def predicted(index: int, part: FloatArray) -> Point:
        chosen = part.astype(bool)
        known, _ = decoded("spectral", index, spectral[chosen])
        weights = _maps_of(known, tokens[chosen])
        rest = tokens[chosen] - np.einsum("nsf,fsc->ncf", known, weights)
        before, after = np.square(tokens[chosen]).mean(axis=0), np.square(rest).mean(axis=0)
        by = np.rint(_QUARTER_OCTAVES / 2 * np.log2(np.maximum(before, 1e-12) / np.maximum(after, 1e-12)))
        maps = _moved(quant_maps(tables, number["tokens"], index), tables.levels, np.maximum(by, 0))
        there, more = decoded("spectral", index, beside)
        guess = np.einsum("nsf,fsc->ncf", there, weights)
        symbols = maps.quantise(held - guess)
        values = maps.reconstruct(symbols) + guess
        errors = np.square(values.astype(np.float64) - held).sum(axis=(1, 2))
        return Point(_bytes(tables, maps, symbols) + more, errors)

    usable = list(package.ladder_indices)
    sizes = {index: direct(index)[0].bytes.mean() for index in usable}
    for rate in RATES:
        index = min(sizes, key=lambda i: abs(np.log(sizes[i] / rate)))
        point, more = direct(index)
        case = f"{package.name}/all sets/tokens and spectral plane near {rate:g} B"
        price = times(more, point.bytes - more, groups)
        yield Row(SUITE, case, "bytes", float(point.bytes.mean()), unit="B/tile, costs", n=len(groups))
        yield Row(
            SUITE, case, "spectral plane over tokens, bytes", 100 * price.value, 100 * price.low, 100 * price.high,
            "% [95% over places]", n=price.n,
        )  # fmt: skip
        near = [i for i in range(index - _STEPS_BACK, index + _STEPS_BACK + 1) if i in usable]
        curves = [[predicted(i, part) for i in near] for part in parts]
        r = ratio(curves, [point] * SPLITS, groups)
        yield Row(
            SUITE, case, "bytes at equal error, tokens predicted from the plane", r.value, r.low, r.high,
            f"ratio [95% over places and {SPLITS} fits]", "no prediction", r.n, ",".join(map(str, range(SPLITS))),
        )  # fmt: skip
