"""Identity at the start on weights that were trained, whose activations are not those of random ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from codec.adapt import apply
from codec.adapt.base import Base
from codec.adapt.deflect import Deflected
from codec.adapt.patch_statistics import PatchStatistics
from codec.adapt.registry import base_of
from codec.models import load_encoder
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD, S2_NANO_BANDS
from codec.models.foreign import load_foreign

BANDS = (*S2_NANO_BANDS, "cirrus")


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Smooth reflectance with the means and spreads of Sentinel-2, 64×64 pixels."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((2, len(BANDS), 9, 9), generator=generator)
    z = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic", align_corners=True)
    mean, spread = (
        torch.tensor([values.get(band, 0.01) for band in BANDS])[:, None, None]
        for values in (REFLECTANCE_MEAN, REFLECTANCE_SPREAD)
    )
    return (mean + spread * z).clamp(0, 1), torch.ones(2, len(BANDS)), torch.ones(2, 64, 64)


def check(base: Base, expected: torch.Tensor) -> None:
    adapted = apply(
        base, "deflect", BANDS, statistics=PatchStatistics(BANDS, base.patch, indices=()), layers="all"
    )
    assert isinstance(adapted, Deflected)
    adapted.fit_statistics([scene()])
    batch, own = scene(), adapted.own
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        frozen = base(batch[0][:, own], batch[1][:, own], batch[2])
        assert torch.equal(adapted.use("four-products")(*batch)["tokens"], frozen)
    with torch.no_grad():
        torch.testing.assert_close(adapted.use("folded")(*batch)["tokens"], expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(adapted.use("stacked")(*batch)["tokens"], expected, atol=1e-5, rtol=1e-5)
    assert expected.std() > 0.1


@pytest.mark.parametrize("name", ["rgb-small", "s2-nano"])
def test_shipped_encoders_start_as_they_are(name: str, root: Path) -> None:
    encoder = load_encoder(root / "models" / name / "encoder.safetensors")
    pixels, present, validity = scene()
    own = [BANDS.index(band) for band in encoder.config.bands]
    with torch.no_grad():
        expected = encoder(pixels[:, own], present[:, own], validity)["tokens"]
    check(base_of(encoder), expected)


@pytest.mark.shared_data
def test_galileo_on_its_rgb_group_starts_as_it_is(shared_data: Path) -> None:
    files = [*(shared_data / "galileo_nano").rglob("*.pt"), *(shared_data / "galileo_nano").rglob("*.pth")]
    encoder = load_foreign("galileo_nano_encoder", files[0])
    own = [BANDS.index(band) for band in ("blue", "green", "red")]
    with torch.no_grad():
        expected = encoder.teacher(scene()[0][:, own], ("blue", "green", "red"))  # type: ignore[operator]
    check(base_of(encoder), expected)
