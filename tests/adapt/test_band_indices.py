"""Spectral indices against spyndex itself, and what they do where its arithmetic has no answer."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch

from codec.adapt import indices
from codec.adapt.indices import LIMIT, BandIndex, choose
from codec.adapt.types import DEFAULT_INDICES
from codec.errors import BackendUnavailable, Corrupt, InputError
from codec.models.bands import S2_NANO_BANDS
from codec.scene.sensors import CANONICAL_BANDS

spyndex = pytest.importorskip("spyndex")


def reflectance(seed: int = 1) -> dict[str, torch.Tensor]:
    values = np.random.default_rng(seed).uniform(0.01, 0.9, (len(S2_NANO_BANDS), 5, 7))
    return {band: torch.from_numpy(plane) for band, plane in zip(S2_NANO_BANDS, values, strict=True)}


def test_every_computable_index_of_the_catalogue_is_what_spyndex_computes() -> None:
    pixels = reflectance()
    compared = 0
    for name, entry in spyndex.indices.items():
        try:
            found = choose([name], S2_NANO_BANDS).indices
        except InputError:
            continue
        for index in found:
            given = {letter: pixels[band].numpy() for letter, band in index.bands}
            with np.errstate(all="ignore"):
                expected = spyndex.computeIndex(name, {**given, **dict(index.constants)})
            try:
                got = index(pixels).numpy()
            except InputError:  # powers that vary
                continue
            fine = np.isfinite(expected) & (np.abs(expected) < LIMIT)
            np.testing.assert_allclose(got[fine], np.asarray(expected)[fine], rtol=1e-9, err_msg=name)
            assert np.isfinite(got).all(), name
            compared += fine.any()
            assert set(entry.bands) == {letter for letter, _ in (*index.bands, *index.constants)}
    assert compared > 120


def test_ndvi_by_hand() -> None:
    (ndvi,) = choose(["NDVI"], ["red", "nir"]).indices
    assert ndvi({"red": torch.tensor(0.2), "nir": torch.tensor(0.6)}).item() == pytest.approx(0.5)


def test_names_of_bands_are_those_of_the_registry() -> None:
    chosen = choose(DEFAULT_INDICES, S2_NANO_BANDS)
    assert [index.name for index in chosen.indices] == list(DEFAULT_INDICES)
    assert chosen.left_out == ()
    assert {band for index in chosen.indices for _, band in index.bands} <= set(CANONICAL_BANDS)
    by_name = {index.name: dict(index.bands) for index in chosen.indices}
    assert by_name["NBR"] == {"N": "nir", "S2": "swir22"}


def test_an_index_whose_band_is_absent_is_left_out_and_said() -> None:
    chosen = choose(DEFAULT_INDICES, ["red", "green", "nir"])
    assert [index.name for index in chosen.indices] == ["NDVI", "NDWI"]
    assert dict(chosen.left_out)["MNDWI"] == ("swir16",)


def test_the_near_infrared_of_landsat_8_serves_where_there_is_no_broad_one() -> None:
    assert dict(choose(["NDVI"], ["red", "nir08"]).indices[0].bands) == {"N": "nir08", "R": "red"}
    assert dict(choose(["NDVI"], ["red", "nir08", "nir"]).indices[0].bands) == {"N": "nir", "R": "red"}


@pytest.mark.parametrize("red", [0.0, -0.3, 1e-9])
def test_a_denominator_of_nothing_gives_zero(red: float) -> None:
    (ndvi,) = choose(["NDVI"], ["red", "nir"]).indices
    assert ndvi({"red": torch.tensor([red]), "nir": torch.tensor([0.0])}).item() == 0.0


def test_negative_reflectance_does_not_leave_the_range_of_a_normalised_difference() -> None:
    (ndvi,) = choose(["NDVI"], ["red", "nir"]).indices
    values = torch.linspace(-0.2, 0.2, 41)
    found = ndvi({"red": values[:, None].expand(41, 41), "nir": values[None].expand(41, 41)})
    assert found.abs().max() <= 1.0


def test_a_ratio_is_bounded() -> None:
    (ratio,) = choose(["SR"], ["red", "nir"]).indices
    assert ratio({"red": torch.tensor(1e-5), "nir": torch.tensor(0.5)}).item() == LIMIT


def test_an_unknown_index_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no index 'ndvi'.*NDVI"):
        choose(["ndvi"], S2_NANO_BANDS)


def test_an_index_asked_for_twice_is_refused() -> None:
    with pytest.raises(InputError, match="NDVI is asked for twice"):
        choose(["NDVI", "NDVI"], S2_NANO_BANDS)


def test_an_index_that_needs_more_than_bands_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="kNDVI needs kNN"):
        choose(["kNDVI"], S2_NANO_BANDS)


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os')",
        "N.real",
        "N[0]",
        "(lambda: N)()",
        "N if R else N",
        "N, R",
        "N + ",
        "N @ R",
        "X + N",
        "'a'",
        "True",
        "N * 1e999",
        f"N * 1{'0' * 400}",
        "(" * 600 + "N" + ")" * 600,
    ],
)
def test_anything_but_arithmetic_is_refused(formula: str) -> None:
    with pytest.raises(InputError, match="index odd: "):
        BandIndex("odd", formula, (("N", "nir"), ("R", "red")))


@pytest.mark.parametrize(
    ("formula", "says"),
    [
        ("N ** R", "power"),
        ("N ** 9", "power"),
        ("N ** (0 - 1)", "power"),
        ("((8 ** 8) ** 8) ** 8 * N", "range of numbers"),
        ("N * 1e308 * 10 - N * 1e308 * 10", "not finite"),
        ("1", "depends on no band"),
    ],
)
def test_formulas_without_a_value_are_refused_before_anybody_stores_them(formula: str, says: str) -> None:
    with pytest.raises(InputError, match=rf"index odd.*{says}.*leave it out"):
        BandIndex("odd", formula, (("N", "nir"), ("R", "red")))


def test_a_stored_index_needs_no_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    (ndvi,) = choose(["NDVI"], ["red", "nir"]).indices
    stored = ndvi.to_json()
    monkeypatch.setattr(indices, "_catalogue", lambda: pytest.fail("the catalogue was read"))
    assert BandIndex.from_json(stored) == ndvi


@pytest.mark.parametrize("entry", [{}, {"name": "a", "formula": "N", "bands": [1], "constants": []}])
def test_a_stored_index_of_another_form_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(Corrupt, match="spectral index"):
        BandIndex.from_json(entry)


def test_without_spyndex_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    indices._catalogue.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r"swathpack\[adapt\]"):
        choose(["NDVI"], S2_NANO_BANDS)
    indices._catalogue.cache_clear()


def test_choosing_indices_imports_neither_spyndex_nor_a_client_for_the_web() -> None:
    code = (
        "import sys; from codec.adapt.indices import choose; choose(['NDVI'], ['red', 'nir']);"
        "print(sorted({'spyndex', 'requests', 'urllib3'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
