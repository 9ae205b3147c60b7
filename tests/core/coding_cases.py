"""Random arguments of one coding call: tables, symbols, masks, record headers. Legal by docs/bitstream.md §5 and §6."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from table_files import PlaneTableSpec, TableFile, TableSpec, packed_header

from _swathpack_core import TableSet, decode_records, encode_records

Refusal = tuple[str, str, int]
Order = Literal["tile", "token"]


def level_of(file: TableFile, plane: int, band: int, channel: int, q: int) -> int | None:
    """The level of §5.2 in Python's own integers; None: never sent."""
    spec = file.planes[plane]
    layer = int(spec.layer_map[band, channel])
    if layer == 255:
        return None
    e = q + spec.layer_shift[layer]
    return max(0, min(int(spec.class_map[band, channel]) - e, len(file.tables) - 1))


@dataclass
class Case:
    """One plane, all its tiles, and the headers of records of one layer."""

    file: TableFile
    ladder_index: int
    symbols: npt.NDArray[Any]  # N×C×F, 0 where the layer has nothing
    tile_mask: npt.NDArray[np.bool_]  # N
    token_mask: npt.NDArray[np.bool_]  # N×F
    doubled: npt.NDArray[np.bool_]  # N×F
    headers: list[int]
    layer: int
    offset: int = 0
    log2_lanes: int = 0
    tables: TableSet = field(init=False)

    def __post_init__(self) -> None:
        self.tables = TableSet(self.file.encode())

    @property
    def n_tiles(self) -> int:
        return int(self.symbols.shape[0])

    def encode(
        self, symbols: npt.NDArray[Any] | None = None, order: Order = "tile", threads: int = 1
    ) -> list[bytes]:
        return encode_records(
            self.tables,
            np.array(self.headers, np.uint64),
            self.ladder_index,
            self.symbols if symbols is None else symbols,
            self.tile_mask,
            self.token_mask,
            self.doubled,
            order,
            threads,
        )

    def decode(
        self, records: list[bytes], dtype: Any = np.int16, order: Order = "tile", threads: int = 1
    ) -> Decoded:
        decoded = Decoded.empty(self, dtype, order)
        decoded.outcomes = decode_records(
            self.tables,
            records,
            self.ladder_index,
            self.n_tiles,
            self.doubled,
            decoded.symbols,
            decoded.token_mask,
            decoded.layers,
            None,
            order,
            threads,
        )
        return decoded

    def expected_symbols(self) -> npt.NDArray[Any]:
        """What the layer's records must give: masked tiles are 0."""
        return np.where(self.tile_mask[:, None, None], 0, self.symbols)

    def expected_token_mask(self) -> npt.NDArray[np.bool_]:
        return self.tile_mask[:, None] | self.token_mask | self.doubled


@dataclass
class Decoded:
    """The arrays decode_records writes, with contents it must not leave where it writes."""

    symbols: npt.NDArray[Any]
    token_mask: npt.NDArray[np.bool_]
    layers: npt.NDArray[np.uint16]
    outcomes: list[Refusal | None] = field(default_factory=list)

    @classmethod
    def empty(cls, case: Case, dtype: Any, order: Order = "tile") -> Decoded:
        n, c, f = case.symbols.shape
        shape = (n, c, f) if order == "tile" else (n, f, c)
        return cls(np.full(shape, 99, dtype), np.ones((n, f), np.bool_), np.zeros(n, np.uint16))


def sent(case: Case) -> npt.NDArray[np.bool_]:
    """C×F: the coefficients of the case's layer."""
    spec = case.file.planes[0]
    return np.stack([spec.layer_map[band] == case.layer for band in spec.bands], axis=1)


def coded(case: Case) -> npt.NDArray[np.bool_]:
    """C×F: the coefficients of the layer whose table has a threshold."""
    spec = case.file.planes[0]
    out = sent(case)
    q = case.ladder_index + case.offset
    for f, band in enumerate(spec.bands):
        for channel in range(spec.channels):
            level = level_of(case.file, 0, band, channel, q)
            out[channel, f] &= level is not None and len(case.file.tables[level].thresholds) > 0
    return out


def random_symbols(case: Case, rng: np.random.Generator, density: float, largest: int) -> npt.NDArray[Any]:
    """Symbols where the layer can have some: mostly small, some up to `largest`, the extremes included."""
    shape = case.symbols.shape
    small = np.ceil(rng.exponential(1.0, shape)).astype(np.int64)
    magnitudes = np.where(rng.random(shape) < 0.05, rng.integers(0, largest + 1, shape), small)
    magnitudes[rng.random(shape) < 0.01] = largest
    magnitudes = np.minimum(magnitudes, largest) * (rng.random(shape) < density)
    values = magnitudes * rng.choice([-1, 1], shape) * coded(case)[None]
    return values.astype(np.int16)


@st.composite
def table_specs(draw: st.DrawFn) -> TableSpec:
    """No threshold, one, a few, up to 255; also the extreme frequencies 1 and 65535; often with low bits."""
    chosen = draw(
        st.one_of(
            st.just(()),
            st.sampled_from([(1,), (65535,), (32768,), (1, 2), (65534, 65535), tuple(range(1, 256))]),
            st.sets(st.integers(1, 65535), min_size=1, max_size=20).map(lambda s: tuple(sorted(s))),
            st.tuples(st.integers(1, 255), st.integers(0, 2**32 - 1)).map(random_thresholds),
        )
    )
    r1, r2, theta = draw(
        st.sampled_from([(1.0, 0.0, 0.25), (0.8, -0.1, 0.5), (2.0, 1.0, 0.0), (0.5, -1.0, 0.1)])
    )
    low_bits = draw(st.one_of(st.just(0), st.integers(1, 8)))
    coarse = tuple(sorted({t >> low_bits << low_bits for t in chosen} - {0}))[: 32767 >> low_bits]
    return TableSpec(coarse, r1, r2, theta, low_bits if coarse else 0)


def random_thresholds(size_and_seed: tuple[int, int]) -> tuple[int, ...]:
    size, seed = size_and_seed
    return tuple(sorted(1 + int(t) for t in np.random.default_rng(seed).choice(65535, size, replace=False)))


@st.composite
def plane_specs(draw: st.DrawFn, max_channels: int = 7) -> PlaneTableSpec:
    rows, cols = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    channels, n_layers = draw(st.integers(1, max_channels)), draw(st.integers(1, 3))
    n = rows * cols
    kind = draw(st.integers(0, 1))
    if kind == 0:
        n_bands = 1 if n == 1 else draw(st.integers(2, min(n, 5)))
        rest = [1 + f if f < n_bands - 1 else draw(st.integers(1, n_bands - 1)) for f in range(n - 1)]
        bands = (0, *rest)
    else:
        n_bands = draw(st.integers(1, min(n, 5)))
        bands = tuple(f if f < n_bands else draw(st.integers(0, n_bands - 1)) for f in range(n))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layer_map = rng.integers(0, n_layers, (n_bands, channels)).astype(np.uint8)
    layer_map[rng.random((n_bands, channels)) < 0.1] = 255
    class_map = rng.integers(0, 14, (n_bands, channels)).astype(np.uint8)
    shifts = tuple(draw(st.integers(-2, 2)) for _ in range(n_layers))
    return PlaneTableSpec(rows, cols, channels, n_layers, bands, layer_map, class_map, shifts, kind)


@st.composite
def cases(draw: st.DrawFn, *, max_channels: int = 7, largest: int = 32767, max_tiles: int = 9) -> Case:
    file = TableFile(
        draw(st.lists(table_specs(), min_size=1, max_size=5)), [draw(plane_specs(max_channels=max_channels))]
    )
    spec = file.planes[0]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, max_tiles))
    doubled, token_mask = (np.zeros((n, spec.rows, spec.cols), np.bool_) for _ in range(2))
    style = draw(st.sampled_from(["plain", "tiles", "tokens", "edges", "all masked"]))
    if style in ("edges", "tokens"):
        for tile in np.nonzero(rng.random(n) < 0.5)[0]:
            doubled[tile, : rng.integers(0, spec.rows)] = True
            doubled[tile, :, : rng.integers(0, spec.cols)] = True
    if style == "tokens":
        token_mask = rng.random((n, spec.rows, spec.cols)) < rng.random((n, 1, 1)) * (
            rng.random((n, 1, 1)) < 0.6
        )
        token_mask[:, 1:] = np.where(
            rng.random((n, spec.rows - 1, 1)) < 0.5, token_mask[:, :-1], token_mask[:, 1:]
        )
    tile_mask = rng.random(n) < 0.3 if style == "tiles" else np.full(n, style == "all masked")
    tile_mask |= (token_mask | doubled).all(axis=(1, 2))
    layer = draw(st.integers(0, spec.n_layers - 1))
    log2_lanes = draw(st.sampled_from([0, 0, 0, 1, 2, 3, 4, 5, 6, 7]))
    offset = draw(st.integers(-1, 1))
    step = draw(st.integers(1, n))
    headers = [
        packed_header(t, min(step, n - t) - 1, layer=layer, log2_lanes=log2_lanes, offset=offset)
        for t in range(0, n, step)
    ]
    empty = np.zeros((n, spec.channels, spec.n_frequencies), np.int16)
    flat = (n, spec.n_frequencies)
    case = Case(
        file,
        3,
        empty,
        tile_mask,
        token_mask.reshape(flat),
        doubled.reshape(flat),
        headers,
        layer,
        offset,
        log2_lanes,
    )
    case.symbols = random_symbols(case, rng, draw(st.sampled_from([0.0, 0.02, 0.3, 1.0])), largest)
    return case
