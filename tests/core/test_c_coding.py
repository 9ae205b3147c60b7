"""The C functions that plan and code records against their Python counterparts: grids, masks, grouping, digests."""

from __future__ import annotations

import ctypes as c
import hashlib
import itertools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from c_library import INT16, ROOT, TILE_ORDER, Bytes, Grid, Run, Source, Target, call, library
from hypothesis import example, given, settings
from hypothesis import strategies as st

from codec.bitstream import grouping
from codec.bitstream.coefficients import encode_plane
from codec.bitstream.core import TableSet
from codec.bitstream.derived import derived_invalid
from codec.bitstream.masks import plane_masks
from codec.types import TileGrid

sys.path.insert(0, str(ROOT / "tests" / "bitstream"))
from nec_cases import header, random_symbols, table_file, uniform_plane

PLANE = uniform_plane(3, 2, 4, 3, layer_shift=(-2, 0, 1))
TABLE_FILE = table_file(PLANE)
TABLES = TableSet(TABLE_FILE)
LADDER_INDEX = 8
GRIDS = st.builds(TileGrid, st.integers(1, 60), st.integers(1, 60), st.integers(6, 12), st.integers(6, 12))


@dataclass(frozen=True)
class CPlane:
    handle: c.c_void_p
    n_tiles: int


@contextmanager
def plane_of(grid: TileGrid, tables_file: bytes = TABLE_FILE) -> Iterator[CPlane]:
    """A plane handle over the first plane of the tables."""
    tables, plane, n_tiles = c.c_void_p(), c.c_void_p(), c.c_size_t()
    call("tables_parse", tables_file, c.c_size_t(len(tables_file)), c.byref(tables))
    c_grid = Grid(grid.height, grid.width, grid.core_height, grid.core_width)
    call("plane_new", tables, c.c_size_t(0), c.byref(c_grid), c.c_uint32(LADDER_INDEX), c.byref(plane))
    call("plane_n_tiles", plane, c.byref(n_tiles))
    try:
        yield CPlane(plane, n_tiles.value)
    finally:
        library().swathpack_plane_free(plane)
        library().swathpack_tables_free(tables)


def address(array: npt.NDArray[np.generic]) -> c.c_void_p:
    return c.c_void_p(array.ctypes.data)


def group(
    plane: CPlane, costs: npt.NDArray[np.uint64], masked: npt.NDArray[np.uint8], layer: int, target: int
) -> list[grouping.Run]:
    runs, n = (Run * plane.n_tiles)(), c.c_size_t()
    call(
        "group", plane.handle, address(masked), c.c_size_t(masked.size), c.c_uint(layer), address(costs),
        c.c_size_t(costs.size), c.c_uint32(target), runs, c.c_size_t(plane.n_tiles), c.byref(n),
    )  # fmt: skip
    return [grouping.Run(r.first_tile, r.n_tiles, r.estimate, r.log2_lanes) for r in runs[: n.value]]


@settings(max_examples=150, deadline=None)
@given(GRIDS, st.integers(0, 1), st.integers(13, 400), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_tiles_are_grouped_as_in_python_with_any_masks(
    grid: TileGrid, layer: int, target: int, valid: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    spec = PLANE.spec()
    validity = rng.random((grid.n_tiles, spec.rows, spec.cols)) < rng.choice(
        [0.0, valid, 1.0], (grid.n_tiles, 1, 1)
    )
    costs = rng.integers(0, rng.choice([1, 2000, 200_000]), grid.n_tiles).astype(np.uint64)
    expected = grouping.runs(
        costs, plane_masks(grid, spec, validity), layer=layer, coefficients_per_tile=4, target_bytes=target
    )
    with plane_of(grid) as plane:
        assert group(plane, costs, (~validity).astype(np.uint8), layer, target) == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 65536), st.integers(0, 2**32 - 1), st.sampled_from([960, 61_440, 2**31]))
def test_long_runs_have_writable_counts_and_lanes_as_in_python(n: int, seed: int, target: int) -> None:
    grid = TileGrid(n, 1, 1, 1)
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, rng.choice([10, 3000, 10**6]), n).astype(np.uint64)
    tiny = uniform_plane(1, 1, 1, 1)
    validity = np.ones((n, 1, 1), bool)
    expected = grouping.runs(
        costs, plane_masks(grid, tiny.spec(), validity), layer=0, coefficients_per_tile=1, target_bytes=target
    )
    with plane_of(grid, table_file(tiny)) as plane:
        assert group(plane, costs, np.zeros(n, np.uint8), 0, target) == expected


def test_runs_hold_at_most_the_coefficients_that_a_record_may() -> None:
    wide = uniform_plane(64, 64, 20, 2)  # layer 1: 4095 frequencies × 20 channels, 819 tiles in 2²⁶
    grid = TileGrid(2000, 1, 1, 1)
    validity = np.ones((2000, 64, 64), bool)
    costs = np.zeros(2000, np.uint64)
    expected = grouping.runs(
        costs, plane_masks(grid, wide.spec(), validity), layer=1, coefficients_per_tile=4095 * 20
    )
    assert expected[0].count == 800  # the largest writable count ≤ 819: 25 · 2⁵
    with plane_of(grid, table_file(wide)) as plane:
        assert group(plane, costs, np.zeros(validity.size, np.uint8), 1, 960) == expected


@settings(max_examples=60, deadline=None)
@given(
    GRIDS,
    st.integers(0, 2**32 - 1),
    st.sampled_from([30, 960, 61_440]),
    st.sampled_from([1.5, 3000]),
    st.integers(1, 3),
)
@example(TileGrid(160, 160, 6, 6), 1, 61_440, 3000, 2)  # payloads that take several lanes
def test_planned_and_coded_records_are_those_of_python_and_decode(
    grid: TileGrid, seed: int, target: int, spread: float, threads: int
) -> None:
    head = header(PLANE, grid=grid)
    symbols = random_symbols(TABLES, head, 0, seed, spread=spread)
    expected = [r.data for r in encode_plane(TABLES, head, 0, symbols, target_bytes=target)]
    values = np.ascontiguousarray(symbols.values, np.int16)
    masked = (~symbols.token_validity).astype(np.uint8)
    source = Source(values.ctypes.data, values.nbytes, INT16, TILE_ORDER, masked.ctypes.data, masked.size)
    written = []
    with plane_of(grid) as plane:
        for layer in range(3):
            headers, n = np.zeros(grid.n_tiles, np.uint64), c.c_size_t()
            call(
                "plan", plane.handle, c.byref(source), c.c_uint(layer), c.c_int(0), c.c_uint32(target),
                address(headers), c.c_size_t(headers.size), c.byref(n),
            )  # fmt: skip
            out, offsets = np.zeros(65_548 * n.value, np.uint8), np.zeros(n.value + 1, np.uintp)
            size = c.c_size_t()
            call(
                "encode_into", plane.handle, c.byref(source), address(headers), n, c.c_uint(threads), address(out),
                c.c_size_t(out.size), address(offsets), c.c_size_t(offsets.size), c.byref(size),
            )  # fmt: skip
            written += [out[a:b].tobytes() for a, b in itertools.pairwise(offsets)]
        assert written == expected

        decoded = np.zeros_like(values)
        mask, layers = np.ones((grid.n_tiles, 6), np.uint8), np.zeros(grid.n_tiles, np.uint16)
        target_arrays = Target(
            decoded.ctypes.data, decoded.nbytes, INT16, TILE_ORDER, mask.ctypes.data, mask.size,
            layers.ctypes.data, layers.size,
        )  # fmt: skip
        records = (Bytes * len(written))(*((r, len(r)) for r in written))
        call(
            "decode", plane.handle, records, c.c_size_t(len(written)), c.byref(target_arrays),
            c.c_uint(threads), None, None,
        )  # fmt: skip
    invalid = derived_invalid(grid, PLANE.spec()) | ~symbols.token_validity
    np.testing.assert_array_equal(mask.reshape(invalid.shape), invalid)
    assert (layers == 7).all()
    whole = invalid.all(axis=(1, 2))
    np.testing.assert_array_equal(decoded, np.where(whole[:, None, None], 0, values))


def test_sha256_is_that_of_hashlib_at_every_length_around_a_block() -> None:
    data = np.random.default_rng(1).integers(0, 256, 300, np.uint8).tobytes()
    digest = c.create_string_buffer(32)
    for n in range(len(data)):
        call("sha256", data, c.c_size_t(n), digest)
        assert digest.raw == hashlib.sha256(data[:n]).digest()


def test_the_version_is_that_of_the_package() -> None:
    library().swathpack_version.restype = c.c_char_p
    assert library().swathpack_version().decode() == version("swathpack")
