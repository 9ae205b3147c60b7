"""Every method on Swin: what learns, how many numbers that is, what is merged, what is exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from codec.adapt import apply
from codec.adapt.adapted import Adapted
from codec.adapt.base import Base
from codec.adapt.patch_statistics import PatchStatistics
from codec.adapt.registry import base_of
from codec.adapt.types import METHODS
from codec.models.foreign import build, read_layout
from codec.models.foreign.swin import SwinEncoder
from tests.adapt.small_bases import BANDS, LoopStatistics, kicked, random_weights
from tests.adapt.small_swin import PATCH, MeanAndSpread, batch_of, swin
from tests.models.foreign_files import swin_layout


def train(found: Adapted, steps: int) -> None:
    target = torch.randn((2, 2, 2, found.width), generator=torch.Generator().manual_seed(3))
    optimiser = torch.optim.AdamW(found.trained().values(), lr=1e-2, weight_decay=0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        (found(*batch_of())["tokens"] - target).square().mean().backward()
        optimiser.step()


METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    "deflect": {"uatt__rank": 5, "layers": "all"},
    "lora": {"rank": 3},
    "slr": {"rank": 3},
    "full": {"train_stem": True},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_trained_tensor_moves_and_the_base_stays_as_it_was_bit_for_bit(method: Any) -> None:
    encoder = swin()
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    statistics = {"statistics": MeanAndSpread()} if method == "deflect" else {}
    found = apply(encoder, method, BANDS, **statistics, **METHOD_SETTINGS.get(method, {}))
    before = found.state()
    if method != "frozen":
        train(found, 3)
        assert all(not torch.equal(value, before[name]) for name, value in found.trained().items())
    assert len(found.trained()) == {"frozen": 0, "deflect": 1 + 5 * 3}.get(method, len(found.trained()))
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize("method", ["lora", "slr", "norm", "bitfit", "full"])
def test_a_merged_encoder_does_what_the_adapted_one_did(method: Any) -> None:
    found = kicked(apply(swin(), method, BANDS, **METHOD_SETTINGS.get(method, {})), 0.1)
    merged = found.merged()
    assert isinstance(merged, SwinEncoder)
    assert merged.layout.bands == BANDS
    batch = batch_of()
    z = found.live.scaling(*batch)
    tokens = found(*batch)["tokens"]
    torch.testing.assert_close(merged(z), tokens.flatten(1, 2), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(tokens, apply(swin(), "frozen", BANDS)(*batch)["tokens"], atol=1e-3)


@pytest.mark.long
def test_deflect_on_swin_exports_to_operators_that_fly(tmp_path: Path) -> None:
    from tests.adapt import small_bases
    from tests.adapt.test_adapted_export import compare

    # 3×3 patches in windows of 2: padded and shifted, then merged with an odd edge.
    layout = swin_layout(depths=(2, 1), heads=(2, 2), width=8, window=2, patch=PATCH, bands=3)
    found = apply(
        random_weights(build(layout), 7),
        "deflect",
        BANDS,
        statistics=PatchStatistics(BANDS, PATCH, indices=()),
        uatt__rank=5,
        layers="all",
    )
    found.fit_statistics([small_bases.batch_of(4, seed=8)])  # type: ignore[operator]
    compare(kicked(found), tmp_path)


# Swin-B: widths of its 24 blocks, which together are 12,032 wide; merging norms are over four tokens each.
BLOCKS = (128, 128, 256, 256, *(512,) * 18, 1024, 1024)
MERGING = 4 * (128 + 256 + 512)
TEN = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")


def swin_b() -> Base:
    with torch.device("meta"):
        return base_of(build(read_layout("gfm_swin_base")))


def test_the_base_is_the_published_swin_b() -> None:
    tables = 11 * 11 * sum(d // 32 for d in BLOCKS)
    blocks = sum(12 * d * d + 13 * d for d in BLOCKS) + tables
    merging = sum(8 * d * d for d in (128, 256, 512)) + 2 * MERGING
    expected = 128 * 3 * 16 + 3 * 128 + blocks + merging + 2 * 1024
    assert sum(p.numel() for p in swin_b().encoder.parameters()) == expected
    # GFM's student as its paper's code trains it: with a mask token, a decoder of 32×32 pixels and a map to the teacher.
    assert expected + 128 + 1025 * 32 * 32 * 3 + 1025 * 1024 == 90_923_704


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        ("frozen", 0),
        ("norm", 2 * 128 + 4 * sum(BLOCKS) + 2 * MERGING + 2 * 1024),
        ("bitfit", 128 + 11 * sum(BLOCKS) + MERGING + 1024),
        ("lora", 16 * 16 * sum(BLOCKS)),
        ("slr", (16 * 16 + 16) * sum(BLOCKS)),
        ("deflect", 32 * 16 + 3 * 16 * sum(BLOCKS[:12])),
    ],
)
def test_methods_train_the_numbers_that_arithmetic_says(method: Any, numbers: int) -> None:
    settings = {"statistics": LoopStatistics(16, PATCH)} if method == "deflect" else {}
    assert apply(swin_b(), method, TEN, **settings).n_trained == numbers
