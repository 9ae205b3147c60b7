"""A date is more bands: names, indices on every date, and a date that is missing."""

from __future__ import annotations

import pytest
import torch

from codec.adapt import apply
from codec.adapt.dated_indices import resolved_indices
from codec.adapt.files import decode_adapter, encode_adapter
from codec.adapt.patch_statistics import PatchStatistics
from codec.errors import InputError
from codec.models.vit import Encoder, EncoderConfig
from codec.scene.band_names import check_names, dated, split_date

BANDS = ("blue", "green", "red", "nir", "red@1", "nir@1", "nir@2")


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand((6, len(BANDS), 16, 16), generator=generator) * 0.5 + 0.02
    return pixels, torch.ones(6, len(BANDS)), torch.ones(6, 16, 16)


def test_names_and_dates() -> None:
    assert split_date("nir@12") == ("nir", 12)
    assert split_date("nir") == ("nir", 0)
    assert (dated("nir", 0), dated("w0705", 3)) == ("nir", "w0705@3")
    check_names([*BANDS, "w0705@1"])


@pytest.mark.parametrize(
    "band", ["nir@0", "nir@", "nir@01", "nir@-1", "nir@1000", "nir@1@2", "@1", "near@1", "w705@1"]
)
def test_what_is_no_band_is_refused(band: str) -> None:
    with pytest.raises(InputError, match="unknown band"):
        check_names(["red", band])


def test_an_index_is_computed_on_every_date_that_has_its_bands() -> None:
    found, left_out = resolved_indices(["NDVI"], BANDS)
    assert [(index.name, [band for _, band in index.bands]) for index in found] == [
        ("NDVI", ["nir", "red"]),
        ("NDVI@1", ["nir@1", "red@1"]),
    ]
    assert left_out == (("NDVI@2", ("red",)),)
    pixels, present, validity = batch()
    statistics = PatchStatistics(BANDS, 8, indices=["NDVI"])
    values, there = statistics.raw(pixels, present, validity)
    column = statistics.feature_names.index("mean of NDVI@1")
    red, nir = pixels[0, 4, :8, :8], pixels[0, 5, :8, :8]
    torch.testing.assert_close(values[0, 0, 0, column], ((nir - red) / (nir + red)).mean(), atol=1e-5, rtol=0)
    assert bool(there.all())


def test_a_missing_date_is_the_training_mean_and_changes_nothing_else() -> None:
    statistics = PatchStatistics(BANDS, 8, indices=["NDVI"])
    statistics.fit([batch(1)])
    pixels, present, validity = batch(2)
    whole = statistics(pixels, present, validity)
    present[:, 4:6] = 0
    pixels[:, 4:6] = float("nan")
    without = statistics(pixels, present, validity)
    of_date = torch.tensor([name.endswith("@1") for name in statistics.feature_names])
    assert bool((without[..., of_date] == 0).all())
    assert torch.equal(without[..., ~of_date], whole[..., ~of_date])


def test_one_adapter_for_a_series_is_stored_and_starts_as_the_first_date() -> None:
    torch.manual_seed(0)
    config = EncoderConfig(bands=("blue", "green", "red"), tile=16, width=32, depth=2, heads=4)
    encoder = Encoder(config).eval()
    adapted = apply(encoder, "deflect", BANDS, layers="all")
    adapted.fit_statistics([batch(1)])  # type: ignore[operator]
    pixels, present, validity = batch(3)
    tokens = adapted(pixels, present, validity)["tokens"]
    own = encoder.planes(pixels[:, :3], present[:, :3], validity)["tokens"]
    torch.testing.assert_close(tokens, own, atol=1e-6, rtol=0)
    assert decode_adapter(encode_adapter(adapted)).bands == BANDS
