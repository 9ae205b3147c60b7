"""Packed arrays in xarray: the axes that they had, and the numbers that their integers mean."""

from __future__ import annotations

import io

import numpy as np
import pytest

xr = pytest.importorskip("xarray", reason="the `arrays` extra is not installed")

from codec.arrays.pack import pack  # noqa: E402
from codec.arrays.unpack import unpack  # noqa: E402
from codec.arrays.xarray_backend import NecBackendEntrypoint  # noqa: E402
from codec.bitstream.reader import read_bytes  # noqa: E402
from codec.bitstream.writer import to_bytes  # noqa: E402
from codec.types import Georeference, RecordKind  # noqa: E402
from tests.transform.synthetic_embeddings import embeddings  # noqa: E402

ROWS, COLS, CHANNELS = 40, 52, 24


def open_packed(data: bytes):
    return xr.open_dataset(io.BytesIO(data), engine=NecBackendEntrypoint)


@pytest.fixture(scope="module")
def integers() -> np.ndarray:
    """ROWS×COLS×24 int8 with a hole."""
    tiles = embeddings(35, seed=3).reshape(5, 7, 8, 8, CHANNELS).transpose(0, 2, 1, 3, 4)
    x = tiles.reshape(40, 56, CHANNELS)[:, :COLS]
    q = np.clip(np.rint(100 * x / np.abs(x).max()), -127, 127).astype(np.int8)
    q[3:9, 40:] = -128
    return q


def test_vectors_are_vectors() -> None:
    x = embeddings(20, seed=4).reshape(-1, CHANNELS)[:1000]
    data = pack(x, bytes_per_vector=20)
    dataset = open_packed(data)
    assert dataset["embedding"].dims == ("vector", "channel")
    expected = unpack(data).values
    np.testing.assert_array_equal(dataset["embedding"], expected)
    picked = [999, 3, 3, 64, 500]
    np.testing.assert_array_equal(dataset["embedding"][picked, ::5], expected[picked, ::5])
    assert dataset["embedding_validity"].all()


def test_token_grids_are_tiles() -> None:
    x = embeddings(20, seed=4)
    data = pack(x, bytes_per_vector=20)
    dataset = open_packed(data)
    assert dataset["embedding"].dims == ("tile", "row", "col", "channel")
    np.testing.assert_array_equal(dataset["embedding"], unpack(data).values)


def test_alphaearth_integers_are_shown_as_what_they_mean(integers: np.ndarray) -> None:
    """value = sign(q) · (q / 127.5)², −128 masked: Brown et al. 2025, as its users decode it in float64."""
    where = Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 6e6), 32633)
    dataset = open_packed(pack(integers, axes="hwc", quantisation="alphaearth", georeference=where))
    q = integers.astype(np.float64)
    expected = np.where(q == -128, np.nan, np.sign(q) * (np.abs(q) / 127.5) ** 2)
    assert dataset["embedding"].dims == ("y", "x", "channel")
    np.testing.assert_allclose(dataset["embedding"], expected, rtol=1e-6)
    np.testing.assert_array_equal(dataset["embedding_validity"], integers[..., 0] != -128)
    np.testing.assert_allclose(dataset["x"][:2], [500_005.0, 500_015.0])


def test_tessera_integers_are_multiplied_by_their_scales(integers: np.ndarray) -> None:
    q = np.where(integers == -128, 0, integers)
    scale = np.random.default_rng(5).uniform(0.01, 0.4, q.shape[:2]).astype(np.float32)
    dataset = open_packed(pack(q, axes="hwc", quantisation="tessera", scale=scale))
    assert dataset["scale"].dims == ("y", "x")
    np.testing.assert_array_equal(dataset["scale"], scale)
    np.testing.assert_array_equal(dataset["scale"][5, [7, 51]], scale[5, [7, 51]])
    np.testing.assert_allclose(dataset["embedding"], q * scale[..., None].astype(np.float64), rtol=1e-6)


def test_wide_integers_come_back_exactly() -> None:
    q = np.random.default_rng(6).integers(-30_000, 30_000, (24, 24, 3)).astype(np.int16)
    np.testing.assert_array_equal(open_packed(pack(q, axes="hwc"))["embedding"], q)


def test_a_tile_of_integers_that_was_lost_is_nan_and_counted(integers: np.ndarray) -> None:
    file = read_bytes(pack(integers, axes="hwc", quantisation="alphaearth", target_bytes=960))
    lost = file.records[-1]
    kept = [
        r
        for r in file.scan.records
        if (r.header.is_coefficients or r.header.kind == RecordKind.TABLES) and r != lost
    ]
    dataset = open_packed(to_bytes(file.header, kept))
    expected = unpack(to_bytes(file.header, kept))
    assert dataset.attrs["missing_tiles"] == expected.missing_tiles == lost.header.tile_count
    np.testing.assert_array_equal(dataset["embedding_validity"], expected.validity)
    np.testing.assert_array_equal(np.isnan(dataset["embedding"][..., 0]), ~expected.validity)
