"""Tables for the symbols of integer planes: cells of like distribution share one static table.

A cell is a (band, channel); the bands of an integer plane are where a token lies: inside its tile, in the first row or
column (less to predict from), or the first of all. Cells begin in groups of like mean magnitude and then move to the
table that codes them in the fewest bits, a few times (Lloyd's algorithm, with code length as distance).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from codec.bitstream.core import TableSet
from codec.errors import InputError
from codec.transform.fit import FittedCodec
from codec.transform.levels import level_of_counts
from codec.transform.lifting import Lifting
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs
from codec.transform.tables import Level, PlaneMaps, Tables, UInt8Array
from codec.types import MAX_LAYERS, BoolArray, PlaneKind, SymbolArray

LADDER_LENGTH = 8
LADDER_INDEX = 4  # offsets −4 … 3 stay on the ladder
MAX_TABLES = 96
_ROUNDS = 4
_MOST_MAGNITUDES = 1024  # of the histograms; larger ones count as the last
_SAFE_PAYLOAD = 44_000  # bytes of one tile's layer: below 65,536 also where a tile is half as dear again
_EXPONENT_STEPS = 4  # initial groups per octave of mean magnitude


@dataclass(frozen=True)
class IntegerPlane:
    """Training symbols of one plane and what is known about it."""

    rows: int
    cols: int
    lifting: Lifting
    symbols: SymbolArray  # N×C×F
    known: BoolArray  # N×h×w
    spatial: bool


def fit_integers(planes: Mapping[str, IntegerPlane]) -> FittedCodec:
    """Tables and maps of integer planes, in their order. Raises InputError where a tile can never fit its records."""
    bands = {name: band_of_place(p.rows, p.cols, spatial=p.spatial) for name, p in planes.items()}
    counts = [_counts(p, bands[name]) for name, p in planes.items()]
    width = max(c.shape[2] for c in counts)
    cells = np.concatenate([_padded(c, width).reshape(-1, width) for c in counts])
    levels, number = _cluster(cells)
    maps, first = [], 0
    for (name, plane), own in zip(planes.items(), counts, strict=True):
        n_bands, channels, _ = own.shape
        classes = (number[first : first + n_bands * channels] + LADDER_INDEX).reshape(n_bands, channels)
        first += n_bands * channels
        layers = _layers(plane, bands[name], classes - LADDER_INDEX, own, levels)
        n_layers = int(layers.max()) + 1
        maps.append(
            PlaneMaps(
                plane.rows, plane.cols, channels, PlaneKind.INTEGER, (0,) * n_layers, bands[name], layers,
                classes.astype(np.uint8),
            )
        )  # fmt: skip
    ladder = np.arange(
        1, LADDER_LENGTH + 1, dtype=np.float32
    )  # nothing is multiplied with it (bitstream §8.3)
    tables = Tables(ladder, levels, tuple(maps))
    data = tables.encode()
    TableSet(data)  # the core's own validation
    n_tiles = max(1, max(len(p.symbols) for p in planes.values()))
    bits = sum(float(cells[number == k].sum(axis=0) @ _costs(level, width)) for k, level in enumerate(levels))
    return FittedCodec(
        {}, tables, data, LADDER_INDEX, {LADDER_INDEX: bits / COST_UNITS_PER_BYTE / n_tiles},
        {name: plane.lifting for name, plane in planes.items()},
    )  # fmt: skip


def band_of_place(rows: int, cols: int, *, spatial: bool) -> UInt8Array:
    """Band of each token: 0 inside, then first row or column, then the first token; one band where place is nothing."""
    if not spatial or rows * cols == 1:
        return np.zeros(rows * cols, dtype=np.uint8)
    i, j = np.divmod(np.arange(rows * cols), cols)
    place = ((i == 0) | (j == 0)).astype(np.uint8)
    place[0] = 2
    _, numbered = np.unique(place, return_inverse=True)  # a tile of one row has no inside
    return numbered.astype(np.uint8)


def _counts(plane: IntegerPlane, bands: UInt8Array) -> np.ndarray:
    """Histograms of magnitudes of known tokens, B×C×n."""
    magnitude = np.minimum(np.abs(plane.symbols.astype(np.int32)), _MOST_MAGNITUDES - 1)
    n = int(magnitude.max(initial=0)) + 1
    channels = plane.symbols.shape[1]
    known = plane.known.reshape(len(plane.known), -1)
    result = np.zeros((int(bands.max()) + 1, channels, n), dtype=np.int64)
    for b in range(len(result)):
        where = known & (bands == b)
        for c in range(channels):
            result[b, c] = np.bincount(magnitude[:, c][where], minlength=n)
    return result


def _padded(counts: np.ndarray, width: int) -> np.ndarray:
    return np.pad(counts, ((0, 0), (0, 0), (0, width - counts.shape[2])))


def _cluster(cells: np.ndarray) -> tuple[tuple[Level, ...], np.ndarray]:
    """Levels in order of scale, and the number of each cell's level."""
    width = cells.shape[1]
    total = np.maximum(cells.sum(axis=1), 1)
    mean = (cells @ np.arange(width)) / total
    exponent = np.floor(_EXPONENT_STEPS * np.log2(mean + 2.0**-7)).astype(np.int64)
    coarser = 0
    while len(np.unique(exponent >> coarser)) > MAX_TABLES:
        coarser += 1
    _, number = np.unique(exponent >> coarser, return_inverse=True)
    levels = _fit(cells, number)
    for _ in range(_ROUNDS):
        # A cell that training never saw costs the same everywhere: leave it where its mean put it.
        cost = cells.astype(np.float64) @ np.stack([_costs(level, width) for level in levels]).T
        seen = cells.sum(axis=1) > 0
        number = np.where(seen, cost.argmin(axis=1), np.minimum(number, len(levels) - 1))
        _, number = np.unique(number, return_inverse=True)
        levels = _fit(cells, number)
    return levels, number


def _fit(cells: np.ndarray, number: np.ndarray) -> tuple[Level, ...]:
    is_cut = cells.shape[1] == _MOST_MAGNITUDES
    return tuple(
        level_of_counts(cells[number == k].sum(axis=0), is_cut=is_cut) for k in range(int(number.max()) + 1)
    )


def _costs(level: Level, n: int) -> np.ndarray:
    return magnitude_costs(level, n).astype(np.float64)


def _layers(
    plane: IntegerPlane, bands: UInt8Array, classes: np.ndarray, counts: np.ndarray, levels: tuple[Level, ...]
) -> UInt8Array:
    """Channels in as many layers as a dense tile needs for its records, in equal parts of the expected bytes."""
    n_bands, channels, width = counts.shape
    mean = np.zeros(channels)
    for b in range(n_bands):
        tokens = int((bands == b).sum())
        for c in range(channels):
            seen = counts[b, c].sum()
            cost = float(counts[b, c] @ _costs(levels[classes[b, c]], width)) / max(1, seen)
            mean[c] += tokens * cost / COST_UNITS_PER_BYTE
    # The densest a tile can sensibly be: every symbol as wide as the type.
    widest = plane.rows * plane.cols * (plane.lifting.modulus.bit_length() - 1) / 8
    share = np.maximum(mean, 0.75 * widest)
    n_layers = max(1, -(-int(share.sum()) // _SAFE_PAYLOAD))
    if n_layers > MAX_LAYERS:
        raise InputError(
            "one tile of this array does not fit its records", expected=f"at most {MAX_LAYERS} layers",
            found=n_layers, fix="choose smaller tiles",
        )  # fmt: skip
    before = np.cumsum(share) - share
    layer = np.minimum((before / max(share.sum(), 1e-9) * n_layers).astype(np.int64), n_layers - 1)
    _, layer = np.unique(layer, return_inverse=True)
    return np.broadcast_to(layer.astype(np.uint8), (n_bands, channels)).copy()
