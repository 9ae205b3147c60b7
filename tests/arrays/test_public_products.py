"""AlphaEarth-like and TESSERA-like arrays: exact, with their meaning kept, nothing to be dequantised by the user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.arrays.pack import fit, pack, unpack
from codec.errors import InputError
from tests.arrays.embedding_arrays import field, integers


def alphaearth(rows: int = 40, cols: int = 50) -> np.ndarray:
    q = integers(rows, cols, 64)
    q[:7, 30:] = -128
    return q


def tessera(rows: int = 40, cols: int = 50) -> tuple[np.ndarray, np.ndarray]:
    x = field(rows, cols, 128, seed=4)
    scale = (np.abs(x).max(axis=2) / 127).astype(np.float32)
    return np.rint(x / scale[..., None]).astype(np.int8), scale


def test_alphaearth_round_trips_and_means_what_its_paper_says() -> None:
    q = alphaearth()
    unpacked = unpack(pack(q, axes="hwc", quantisation="alphaearth"))
    assert np.array_equal(unpacked.values, q)
    assert unpacked.quantisation == "alphaearth"
    assert np.array_equal(unpacked.validity, (q != -128).all(axis=2))
    x = unpacked.dequantised()
    assert np.isnan(x[0, 40]).all()
    for value, meant in ((127, (127 / 127.5) ** 2), (-51, -0.16), (0, 0.0)):
        where = np.argwhere(q == value)[0]
        assert x[tuple(where)] == pytest.approx(meant, rel=1e-6)


def test_tessera_round_trips_with_its_scales_to_the_bit() -> None:
    q, scale = tessera()
    scale[3, 4], scale[5, 6], scale[7, 8] = np.float32(1e-40), np.inf, -np.nan
    unpacked = unpack(pack(q, axes="hwc", quantisation="tessera", scale=scale))
    assert np.array_equal(unpacked.values, q)
    assert unpacked.scale is not None
    assert unpacked.scale.tobytes() == scale.tobytes()
    np.testing.assert_array_equal(unpacked.dequantised()[20], q[20] * scale[20][:, None])


@pytest.mark.parametrize("axes", ["chw", "nc"])
def test_other_orders_of_axes(axes: str) -> None:
    q, scale = tessera(20, 30)
    if axes == "chw":
        q = np.ascontiguousarray(np.moveaxis(q, 2, 0))
    else:
        q, scale = q.reshape(-1, 128), scale.reshape(-1)
    unpacked = unpack(pack(q, axes=axes, quantisation="tessera", scale=scale))
    assert np.array_equal(unpacked.values, q)
    assert np.array_equal(unpacked.scale, scale)
    expected = q * (scale if axes == "chw" else scale[:, None])
    np.testing.assert_array_equal(unpacked.dequantised(), expected)


def test_a_package_remembers_what_the_integers_mean(tmp_path: Path) -> None:
    q, scale = tessera()
    package = fit(
        q, name="tessera-like", folder=tmp_path / "p", axes="hwc", quantisation="tessera", scale=scale
    )
    other, its_scale = tessera(33, 35)
    unpacked = unpack(pack(other, package, scale=its_scale), package)
    assert unpacked.quantisation == "tessera"
    assert np.array_equal(unpacked.values, other)
    assert np.array_equal(unpacked.scale, its_scale)
    with pytest.raises(InputError, match="scale"):
        pack(other, package)


def test_integers_of_known_meaning_may_be_coded_as_the_floats_they_mean(tmp_path: Path) -> None:
    q = alphaearth()
    package = fit(
        q, name="lossy", folder=tmp_path / "p", axes="hwc", quantisation="alphaearth", lossless=False
    )
    unpacked = unpack(pack(q, package, bytes_per_vector=24), package)
    assert unpacked.values.dtype == np.float32
    valid = (q != -128).all(axis=2)
    meant = np.sign(q[valid]) * (q[valid].astype(np.float64) / 127.5) ** 2
    assert np.array_equal(unpacked.validity, valid)
    assert ((unpacked.values[valid] - meant) ** 2).sum() < 0.05 * ((meant - meant.mean(axis=0)) ** 2).sum()
    assert np.isnan(unpacked.values[~valid]).all()


def test_scales_of_another_shape_are_refused() -> None:
    q, scale = tessera(10, 10)
    with pytest.raises(InputError, match="scales do not fit"):
        pack(q, axes="hwc", quantisation="tessera", scale=scale[:5])
