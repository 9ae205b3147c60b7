"""Arrays at the edges of their types: coded as they are, or refused as input in one line and without a warning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.arrays.pack import fit, pack, unpack
from codec.errors import InputError, LimitExceeded
from tests.arrays.embedding_arrays import vectors


def test_wide_int16_of_more_channels_than_halves_have_room_for_stays_whole() -> None:
    x = np.random.default_rng(0).integers(-30000, 30000, (40, 2049)).astype(np.int16)
    assert np.array_equal(unpack(pack(x)).values, x)


@pytest.mark.filterwarnings("error")
def test_int16_without_a_valid_token_is_packed_without_a_warning() -> None:
    x = np.full((10, 10, 3), -9999, dtype=np.int16)
    back = unpack(pack(x, axes="hwc", nodata=-9999))
    assert np.array_equal(back.values, x)
    assert not back.validity.any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("factor", [1e-42, 1e37, 1e300])
def test_numbers_that_float32_cannot_quantise_are_refused_as_input(factor: float) -> None:
    x = np.random.default_rng(0).normal(size=(500, 4)) * factor
    with pytest.raises(InputError):
        pack(x)


@pytest.mark.filterwarnings("error")
def test_a_nodata_value_beyond_float32_marks_tokens_of_a_float64_array() -> None:
    lowest = float(np.finfo(np.float64).min)  # GDAL's usual one
    x = np.random.default_rng(0).normal(size=(500, 4))
    x[7] = lowest
    back = unpack(pack(x, nodata=lowest))
    assert np.flatnonzero(~back.validity).tolist() == [7]
    assert (back.values[7] == lowest).all()


@pytest.mark.filterwarnings("error")
def test_float16_near_its_end_comes_back_finite() -> None:
    x = np.where(np.random.default_rng(0).normal(size=(500, 4)) > 0, 65504, -65504).astype(np.float16)
    assert np.isfinite(unpack(pack(x)).values).all()


def test_dequantised_floats_are_nan_where_not_valid() -> None:
    x = np.random.default_rng(0).normal(size=(4, 9, 11)).astype(np.float32)
    x[:, 2, 3] = -9999
    found = unpack(pack(x, axes="chw", nodata=-9999))
    numbers = found.dequantised()
    assert np.isnan(numbers[:, 2, 3]).all()
    assert np.isnan(numbers).sum() == 4


def test_what_is_no_numpy_array_of_numbers_is_refused_as_input() -> None:
    class Foreign:
        dtype, shape = "torch.float32", (10, 4)

    masked = np.ma.masked_array(np.ones((10, 4), np.float32), mask=np.eye(10, 4) > 0)
    for array in (Foreign(), masked):
        with pytest.raises(InputError):
            pack(array)
    with pytest.raises(InputError, match="nodata"):
        pack(np.ones((10, 4), np.float32), nodata="none")  # type: ignore[arg-type]


def test_an_array_beyond_the_memory_limit_is_refused_before_it_is_made() -> None:
    data = pack(np.ones((4096, 8), dtype=np.int8))
    with pytest.raises(LimitExceeded, match="32768 bytes"):
        unpack(data, max_bytes=32_767)


def test_numbers_beyond_a_packages_range_are_refused_not_clipped(tmp_path: Path) -> None:
    x = vectors(400, 6)
    package = fit(x, name="near", folder=tmp_path / "near")
    with pytest.raises(InputError, match="cannot hold"):
        pack(x * np.float32(1e6), package)
    x[7] *= (
        1000  # holds at coarse qualities only: a budget that would allow a finer one gets the finest that does
    )
    back = unpack(pack(x, package, total_bytes=10**9), package).values
    assert np.abs(back - x).max() < 0.01 * np.abs(x[7]).max()


@pytest.mark.parametrize("factor", [1e37, 1e300])
def test_numbers_beyond_float32_are_refused_with_a_package_too(factor: float, tmp_path: Path) -> None:
    x = vectors(400, 6).astype(np.float64)
    package = fit(x, name="near", folder=tmp_path / "near")
    with pytest.raises(InputError):
        pack(x * factor, package)
