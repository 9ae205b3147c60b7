"""Statistics of patches against NumPy, and their independence of order, of absent bands and of what lies under a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.adapt.indices import NEAR_ZERO
from codec.adapt.patch_statistics import REACH, PatchStatistics
from codec.adapt.types import UpeSwitches
from codec.errors import Corrupt, InputError
from codec.models.bands import S2_NANO_BANDS

pytest.importorskip("spyndex")
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
P = 4
Batch = tuple[Tensor, Tensor, Tensor]


def batch(n: int = 3, seed: int = 0, side: int = 12, bands: int = len(BANDS)) -> Batch:
    random = np.random.default_rng(seed)
    pixels = torch.from_numpy(random.uniform(0.02, 0.6, (n, bands, side, side)).astype(np.float32))
    return pixels, torch.ones(n, bands), torch.ones(n, side, side)


def fitted(stats: Sequence[str] = ("mean", "std"), **switches: object) -> PatchStatistics:
    module = PatchStatistics(BANDS, P, stats=stats, **switches)  # type: ignore[arg-type]
    module.fit([batch(4, seed) for seed in (10, 11)])
    return module


def test_raw_features_are_those_of_numpy() -> None:
    module = PatchStatistics(BANDS, P, stats=("mean", "std", "min", "max"))
    pixels, present, validity = batch()
    validity[0, 0, 1:3] = 0
    values, there = module.raw(pixels, present, validity)
    assert there.all()
    assert values.shape == (3, 3, 3, module.n_features)
    x, v = pixels.double().numpy(), validity.numpy() > 0
    names = {name: i for i, name in enumerate(module.feature_names)}
    for n, row, col in np.ndindex(3, 3, 3):
        part = np.s_[row * P : row * P + P, col * P : col * P + P]
        sets = {band: x[n, i][part][v[n][part]] for i, band in enumerate(BANDS)}
        sets["NDVI"] = (sets["nir"] - sets["red"]) / (sets["nir"] + sets["red"])
        sets["NBR"] = (sets["nir"] - sets["swir22"]) / (sets["nir"] + sets["swir22"])
        for source, values_of in sets.items():
            for stat in ("mean", "std", "min", "max"):
                expected = getattr(np, stat)(values_of)
                got = float(values[n, row, col, names[f"{stat} of {source}"]])
                assert got == pytest.approx(expected, abs=2e-6), (stat, source)


def test_features_are_two_per_band_and_index() -> None:
    module = PatchStatistics(S2_NANO_BANDS, 8)
    assert module.n_features == 2 * (12 + 6)
    assert PatchStatistics(S2_NANO_BANDS, 8, use="aux").n_features == 2 * (9 + 6)
    assert module.feature_names[0] == "mean of coastal"
    assert module.feature_names[-1] == "std of NDMI"


def test_indices_are_those_whose_bands_are_there() -> None:
    module = PatchStatistics(("red", "green", "nir"), P)
    assert [index.name for index in module.indices] == ["NDVI", "NDWI"]
    assert dict(module.left_out)["NBR"] == ("swir22",)


def test_auxiliary_bands_are_those_beyond_the_encoder_s_own() -> None:
    module = PatchStatistics(BANDS, P, use="aux", base=("red", "nir"), indices=(), stats=("mean",))
    assert module.sources == ("blue", "green", "swir16", "swir22")


def test_the_order_of_the_pixels_of_a_patch_does_not_matter() -> None:
    module = fitted(("mean", "std", "min", "max"))
    pixels, present, validity = batch(2, 3)
    validity[1, 2, 5] = 0
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(1))

    def shuffled(x: Tensor) -> Tensor:
        n, c, side, _ = x.shape
        cut = x.reshape(n, c, side // P, P, side // P, P).permute(0, 1, 2, 4, 3, 5).flatten(-2)
        back = cut[..., order].unflatten(-1, (P, P)).permute(0, 1, 2, 4, 3, 5)
        return back.reshape(x.shape)

    given = (pixels, present, validity)
    other = (shuffled(pixels), present, shuffled(validity[:, None])[:, 0])
    torch.testing.assert_close(module.raw(*other)[0], module.raw(*given)[0], rtol=0, atol=1e-6)
    # Divided by spreads of 0.02 to 0.05, float32 has no more than this.
    torch.testing.assert_close(module(*other), module(*given), rtol=0, atol=5e-6)
    moved = (pixels.roll(1, -1), present, validity)  # pixels that leave their patch do matter
    assert (module(*moved) - module(*given)).abs().max() > 0.1


def test_training_patches_are_standardised() -> None:
    module = fitted()
    s = torch.cat([module(*batch(4, seed)).flatten(0, 2) for seed in (10, 11)]).double()
    assert s.mean(0).abs().max() < 1e-4
    assert (s.std(0, correction=0) - 1).abs().max() < 1e-3


def test_fitting_in_batches_is_fitting_at_once() -> None:
    parts = [batch(2, seed) for seed in range(5)]
    whole = tuple(torch.cat([part[i] for part in parts]) for i in range(3))
    one, many, again = (PatchStatistics(BANDS, P) for _ in range(3))
    one.fit([whole])  # type: ignore[list-item]
    seen = many.fit(parts)
    again.fit(parts)
    assert seen.patches == 10 * 9
    torch.testing.assert_close(many.feature_mean, one.feature_mean, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(many.feature_inverse_spread, one.feature_inverse_spread, rtol=1e-6, atol=0)
    for name, value in many.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


@pytest.mark.parametrize("wild", [float("nan"), float("inf"), 1e30])
def test_what_stands_in_absent_bands_and_invalid_pixels_changes_nothing(wild: float) -> None:
    module = fitted(("mean", "std", "min", "max"))
    pixels, present, validity = batch(2, 5)
    present[0, 3] = 0
    validity[1, :5, 2] = 0
    expected = module(pixels, present, validity)
    pixels[0, 3] = wild
    pixels[1, :, :5, 2] = wild
    found = module(pixels, present, validity)
    assert torch.equal(found, expected)
    assert torch.isfinite(found).all()


def test_an_absent_band_and_its_indices_are_the_training_mean() -> None:
    module = fitted()
    pixels, present, validity = batch(1, 6)
    present[0, BANDS.index("nir")] = 0
    s = module(pixels, present, validity)
    zero = {name for name, f in zip(module.feature_names, s[0].flatten(0, 1).T, strict=True) if not f.any()}
    gone = ("nir", "NDVI", "NDWI", "NDBI", "NBR", "NDMI")
    assert zero == {f"{stat} of {source}" for stat in ("mean", "std") for source in gone}


def test_a_patch_without_a_valid_pixel_is_zero_and_its_neighbours_are_not() -> None:
    module = fitted(("mean", "std", "min", "max"))
    pixels, present, validity = batch(1, 7)
    validity[0, P : 2 * P, :P] = 0
    s = module(pixels, present, validity)
    assert not s[0, 1, 0].any()
    assert s[0, 0, 0].all()


def test_dark_patches_have_finite_indices() -> None:
    module = fitted()
    pixels, present, validity = batch(1, 8)
    pixels[:] = NEAR_ZERO / 10
    s = module(pixels, present, validity)
    assert torch.isfinite(s).all()
    assert s.abs().max() <= REACH


def test_values_end_at_the_reach() -> None:
    module = fitted()
    pixels, present, validity = batch(1, 9)
    assert module(pixels * 100, present, validity).max() == REACH


def test_a_constant_band_is_refused_by_name_and_nothing_is_kept() -> None:
    module = PatchStatistics(BANDS, P, indices=())
    pixels, present, validity = batch(4)
    pixels[:, 5] = 0.25
    with pytest.raises(InputError, match=r"mean of swir22 and 1 more never changes.*constant='zero'"):
        module.fit([(pixels, present, validity)])
    assert not module.fitted


def test_a_band_that_no_tile_has_is_refused_by_name_with_its_indices() -> None:
    pixels, present, validity = batch(4)
    present[:, 5] = 0
    with pytest.raises(InputError, match=r"mean of swir22 and 3 more never changes"):
        PatchStatistics(BANDS, P, indices=("NBR",)).fit([(pixels, present, validity)])


def test_constant_features_may_be_done_without() -> None:
    module = PatchStatistics(BANDS, P, indices=("NBR",))
    pixels, present, validity = batch(4)
    present[:, 5] = 0
    seen = module.fit([(pixels, present, validity)], constant="zero")
    assert seen.constant == ("mean of swir22", "mean of NBR", "std of swir22", "std of NBR")
    s = module(*batch(1, 3))
    named = dict(zip(module.feature_names, s[0].flatten(0, 1).T, strict=True))
    assert not named["mean of swir22"].any()
    assert named["mean of red"].any()


def test_a_training_set_without_data_is_refused() -> None:
    pixels, present, validity = batch(2)
    with pytest.raises(InputError, match="no patch with a valid pixel"):
        PatchStatistics(BANDS, P).fit([(pixels, present, validity * 0)])
    with pytest.raises(InputError, match="no patch with a valid pixel"):
        PatchStatistics(BANDS, P).fit([])


def test_a_training_pixel_that_is_not_finite_is_named() -> None:
    pixels, present, validity = batch(2)
    pixels[0, 2, 0, 0] = float("nan")
    with pytest.raises(InputError, match="mean of red of a training patch is not finite"):
        PatchStatistics(BANDS, P).fit([(pixels, present, validity)])


def test_without_fit_it_does_not_run() -> None:
    with pytest.raises(InputError, match="call fit"):
        PatchStatistics(BANDS, P)(*batch())


def test_a_state_dict_brings_the_statistics_along() -> None:
    module, other = fitted(), PatchStatistics(BANDS, P)
    other.load_state_dict(module.state_dict())
    assert other.fitted
    assert torch.equal(other(*batch()), module(*batch()))


def test_a_definition_makes_the_same_module() -> None:
    module = fitted(("mean", "max"), use="aux", indices=("NDVI", "NBR"))
    other = PatchStatistics.from_definition(module.definition())
    other.load_state_dict(module.state_dict())
    assert other.feature_names == module.feature_names
    assert torch.equal(other(*batch()), module(*batch()))


def test_a_definition_of_another_form_is_refused() -> None:
    with pytest.raises(InputError, match="not a definition"):
        PatchStatistics.from_definition({"bands": ["red"]})
    lacking = {**PatchStatistics(BANDS, P, indices=("NBR",)).definition(), "bands": ["red", "nir"]}
    with pytest.raises(InputError, match="NBR needs the band swir22"):
        PatchStatistics.from_definition(lacking)
    with pytest.raises(Corrupt, match="spectral index"):
        PatchStatistics.from_definition({**PatchStatistics(BANDS, P).definition(), "indices": [{}]})


def test_switches_choose_what_is_described() -> None:
    switches = UpeSwitches(bands="aux", indices=("NDVI",), stats=("mean",))
    module = PatchStatistics.of(BANDS, P, switches)
    assert module.feature_names == ("mean of nir", "mean of swir16", "mean of swir22", "mean of NDVI")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bands": ("red", "red")}, "different names"),
        ({"bands": ("red", "green"), "use": "aux", "indices": ()}, "nothing to describe"),
        ({"stats": ("median",)}, "median"),
        ({"stats": ()}, "none"),
        ({"use": "some"}, "some"),
        ({"patch": 0}, "at least one pixel"),
        ({"indices": ("NDVI", "NDVI")}, "twice"),
        ({"indices": ("NDXX",)}, "no index 'NDXX'"),
    ],
)
def test_switches_that_cannot_be_met_are_refused(arguments: dict[str, object], words: str) -> None:
    given = {"bands": BANDS, "patch": P, **arguments}
    with pytest.raises(InputError, match=words):
        PatchStatistics(given.pop("bands"), given.pop("patch"), **given)  # type: ignore[arg-type]


def test_pixels_of_another_shape_are_refused() -> None:
    module = fitted()
    pixels, present, validity = batch(1)
    with pytest.raises(InputError, match="number of bands"):
        module(pixels[:, :3], present[:, :3], validity)
    with pytest.raises(InputError, match="multiples of 4"):
        module(pixels[..., :11], present, validity[..., :11])
