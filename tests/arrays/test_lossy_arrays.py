"""Floats come back within the coding error, in their type and shape, inside the bytes that were allowed."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from codec.arrays.pack import fit, pack, unpack
from codec.bitstream.reader import read_bytes
from codec.errors import IdentityError, InputError
from codec.package import Package
from tests.arrays.embedding_arrays import field, vectors

CHANNELS = 24


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return fit(vectors(6000, seed=1), name="vectors", folder=tmp_path_factory.mktemp("p") / "p")


def relative_error(decoded: np.ndarray, x: np.ndarray) -> float:
    x = x.astype(np.float64)
    return float(((decoded - x) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum())


def coefficient_bytes(data: bytes) -> int:
    return sum(len(r.data) for r in read_bytes(data).scan.records if r.header.is_coefficients)


@pytest.mark.parametrize("budget", [1.5, 4.0, 12.0])
def test_a_budget_per_vector_is_kept_and_used(package: Package, budget: float) -> None:
    x = vectors(5000, seed=2)
    data = pack(x, package, bytes_per_vector=budget)
    assert 0.75 * budget < coefficient_bytes(data) / 5000 <= budget


@pytest.mark.parametrize("budget", [3000, 20000, 60000])
def test_a_budget_of_the_file_is_kept_to_the_byte(package: Package, budget: int) -> None:
    data = pack(vectors(5000, seed=3), package, total_bytes=budget)
    assert 0.75 * budget < len(data) <= budget


def test_more_bytes_give_less_error(package: Package) -> None:
    x = vectors(3000, seed=4)
    errors = [
        relative_error(unpack(pack(x, package, bytes_per_vector=b), package).values, x) for b in (1, 3, 9, 27)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 1
    assert errors[3] < 1e-4


def test_error_is_that_of_the_rate_distortion_bound_within_a_few_decibels(package: Package) -> None:
    """Reverse water-filling of a Gaussian source with the test vectors' own covariance (Cover & Thomas, 10.3.3)."""
    x = vectors(8000, seed=5).astype(np.float64)
    data = pack(x.astype(np.float32), package, bytes_per_vector=9)
    rate = 8 * coefficient_bytes(data) / len(x)
    error = ((unpack(data, package).values - x) ** 2).sum(axis=1).mean()
    variances = np.linalg.eigvalsh(np.cov(x.T))
    levels = np.geomspace(1e-9, variances.max(), 4000)
    rates = np.array([0.5 * np.log2(np.maximum(variances / level, 1)).sum() for level in levels])
    level = levels[np.argmin(np.abs(rates - rate))]
    bound = np.minimum(variances, level).sum()
    assert bound < error < bound * 10**0.25  # 1.53 dB of scalar quantisation, and tables of a few levels


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_number_of_vectors_in_any_float_type(package: Package, n: int, dtype: type) -> None:
    x = vectors(n, seed=n).astype(dtype)
    unpacked = unpack(pack(x, package, ladder_index=0), package)
    assert unpacked.values.dtype == dtype
    assert unpacked.values.shape == x.shape
    assert unpacked.validity.shape == (n,)
    assert unpacked.validity.all()
    np.testing.assert_allclose(unpacked.values.astype(np.float64), x.astype(np.float64), atol=0.15)


def test_vectors_do_not_depend_on_those_beside_them(package: Package) -> None:
    """A list of vectors is no picture: a vector decodes to the same numbers wherever it stands in its tile."""
    x = vectors(128, seed=6)
    order = np.random.default_rng(0).permutation(128)
    a = unpack(pack(x, package, ladder_index=20), package).values
    b = unpack(pack(x[order], package, ladder_index=20), package).values
    np.testing.assert_array_equal(a[order], b)


@pytest.mark.parametrize("axes", ["hwc", "chw", "thwc"])
def test_rasters_and_grids_with_ragged_edges_and_holes(axes: str, tmp_path: Path) -> None:
    x = field(45, 61, 10)
    holes = np.zeros((45, 61), bool)
    holes[5:20, 40:61] = True
    x[holes] = np.nan
    if axes == "chw":
        x = np.ascontiguousarray(np.moveaxis(x, 2, 0))
    elif axes == "thwc":
        x = np.ascontiguousarray(x[:40, :60].reshape(5, 8, 6, 10, 10).swapaxes(1, 2).reshape(30, 8, 10, 10))
    package = fit(x, name="field", folder=tmp_path / "p", axes=axes, nodata=np.nan)
    unpacked = unpack(pack(x, package, bytes_per_vector=6), package)
    valid = ~np.isnan(x).all(axis=0 if axes == "chw" else -1)
    assert np.array_equal(unpacked.validity, valid)
    assert np.array_equal(np.isnan(unpacked.values), np.isnan(x))
    if axes == "chw":
        x, values = np.moveaxis(x, 0, 2), np.moveaxis(unpacked.values, 0, 2)
    else:
        values = unpacked.values
    assert relative_error(values[valid], x[valid]) < 0.02


def test_a_self_contained_file_needs_nothing_else(package: Package) -> None:
    x = vectors(4000, seed=7)
    data = pack(x, bytes_per_vector=6)
    assert read_bytes(data).header.is_self_contained
    own = relative_error(unpack(data).values, x)
    assert own < 1.3 * relative_error(unpack(pack(x, package, bytes_per_vector=6), package).values, x)


def test_prefixes_of_layers_get_better(package: Package) -> None:
    from codec.pipeline.decoding import decode

    x = vectors(640, seed=8)
    file = read_bytes(pack(x, package, bytes_per_vector=12))
    errors = []
    for layers in range(1, package.planes[0].spec.n_layers + 1):
        found = decode(package, file.header, [r.data for r in file.records], max_layers=layers)
        errors.append(relative_error(found.embeddings["array"].values.reshape(-1, CHANNELS), x))
    assert len(errors) >= 3
    assert all(b < a for a, b in pairwise(errors))


def test_another_package_is_refused(package: Package, tmp_path: Path) -> None:
    other = fit(vectors(2000, seed=9), name="other", folder=tmp_path / "p")
    with pytest.raises(IdentityError):
        unpack(pack(vectors(100), package), other)


def test_spaces_of_packages_differ_by_name(tmp_path: Path) -> None:
    a, b = (fit(vectors(500), name=name, folder=tmp_path / name) for name in ("one", "two"))
    assert a.space_ids["array"] != b.space_ids["array"]
    assert a.codec_id == b.codec_id


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused_by_place(package: Package, bad: float) -> None:
    x = vectors(200)
    x[130, 7] = bad
    for call in (lambda: pack(x, package), lambda: pack(x), lambda: pack(x, package, nodata=np.nan)):
        with pytest.raises(InputError, match="tile 2, row 0, column 2, channel 7"):
            call()


def test_a_budget_out_of_reach_names_the_range(package: Package) -> None:
    with pytest.raises(InputError, match=r"expected \d+ to \d+, found 50"):
        pack(vectors(3000), package, total_bytes=50)
    with pytest.raises(InputError, match="bytes_per_vector lies below"):
        pack(vectors(3000), package, bytes_per_vector=0.0001)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bytes_per_vector": 3.0, "total_bytes": 9}, "one of"),
        ({"bytes_per_vector": float("nan")}, "finite"),
        ({"ladder_index": 999}, "no such quality"),
        ({"tile": (4, 4)}, "other tiles"),
        ({"lossless": True}, "with loss"),
    ],
)
def test_options_that_make_no_sense_are_refused(package: Package, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        pack(vectors(100), package, **options)


def test_vectors_of_another_length_are_refused(package: Package) -> None:
    with pytest.raises(InputError, match="24 channels"):
        pack(vectors(100, 23), package)


def test_a_memory_map_gives_the_same_bytes(package: Package, tmp_path: Path) -> None:
    x = vectors(1000)
    np.save(tmp_path / "x.npy", x)
    assert pack(np.load(tmp_path / "x.npy", mmap_mode="r"), package) == pack(x, package)
