"""The published shares of trained parameters (poster of arXiv 2503.09493), on ViT-L, without its memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from codec.adapt import apply
from codec.adapt.base import Base
from codec.adapt.registry import base_of
from codec.models.foreign import build, read_layout
from tests.adapt.small_bases import LoopStatistics

# Ten bands of Sentinel-2 as So2Sat has them; two statistics of ten bands and six indices are 32 features.
TEN = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")
FEATURES = 32
D, BLOCKS, R = 1024, 24, 16


def vit_l(layout: str = "mae_vit_large_patch16", **side: float) -> Base:
    with torch.device("meta"):
        return base_of(build(read_layout(layout)), **side)


def trained_and_share(method: Any, base: Base | None = None, **settings: Any) -> tuple[int, float]:
    """Numbers that learn, and their percentage of the base's."""
    statistics = {"statistics": LoopStatistics(FEATURES // 2, 16)} if method == "deflect" else {}
    adapted = apply(base or vit_l(), method, TEN, **statistics, **settings)
    return adapted.n_trained, 100 * adapted.share


def test_the_base_is_the_published_vit_l() -> None:
    # Twelve D² and thirteen D per block, filters of 3·16² with a bias, class token, 197 positions, last norm.
    expected = BLOCKS * (12 * D * D + 13 * D) + D * 3 * 16 * 16 + D + D + 197 * D + 2 * D
    assert sum(p.numel() for p in vit_l().encoder.parameters()) == expected
    assert round(expected / 1e6, 1) == 303.3


@pytest.mark.parametrize(
    ("method", "numbers", "percent", "digits"),
    [
        ("frozen", 0, 0.0, 2),
        ("norm", (4 * BLOCKS + 2) * D, 0.033, 3),
        ("bitfit", (11 * BLOCKS + 1) * D, 0.089, 3),
        ("lora", BLOCKS * R * 16 * D, 2.07, 2),
        ("slr", BLOCKS * (R * 16 * D + 16 * D), 2.20, 2),
    ],
)
def test_rivals_have_the_published_share(method: str, numbers: int, percent: float, digits: int) -> None:
    trained, share = trained_and_share(method)
    assert trained == numbers
    assert round(share, digits) == percent


def test_scale_mae_trains_the_same_numbers_as_any_vit_l() -> None:
    for method in ("norm", "bitfit", "lora", "slr", "deflect"):
        scale_mae = trained_and_share(method, vit_l("scalemae_vit_large", gsd_m=10.0))
        assert scale_mae[0] == trained_and_share(method)[0]


@pytest.mark.parametrize(
    ("settings", "numbers"),
    [
        ({}, FEATURES * R + 12 * 3 * R * D),  # static: three up-projections in half of the blocks
        (
            {"layers": (0, 1, 2, 3, 4, 5), "uatt__stream": "twin", "uatt__share_down": False},
            FEATURES * R + R * D + 6 * 6 * R * D,  # E and U of each of q, k, v; and U₀
        ),
        (
            {"layers": "first-half", "uatt__stream": "twin", "uatt__share_down": False, "uatt__rank": 8},
            FEATURES * 8 + 8 * D + 12 * 6 * 8 * D,
        ),
    ],
    ids=["rank 16, static, 12 blocks", "rank 16, own downs, 6 blocks", "rank 8, own downs, 12 blocks"],
)
def test_deflect_has_the_published_share(settings: dict[str, Any], numbers: int) -> None:
    trained, share = trained_and_share("deflect", **settings)
    assert trained == numbers
    assert round(share, 1) == 0.2


def test_full_fine_tuning_of_three_bands_trains_everything() -> None:
    assert apply(vit_l(), "full", ("red", "green", "blue")).share == 1.0


def test_deflect_trains_a_tenth_of_lora() -> None:
    assert trained_and_share("deflect")[0] < trained_and_share("lora")[0] / 10
