"""The code of a patch sees its pixels as a set; nothing of a patch without pixels; nothing for tokens without a patch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from codec.adapt import apply
from codec.adapt.deflect import Deflected
from codec.adapt.patch_statistics import PatchStatistics
from tests.adapt.small_bases import BANDS, auxiliary_of, batch_of, deflected, kicked, own_encoder

STREAMS: dict[str, dict[str, Any]] = {
    "code": {},
    "x_A of a twin": {"uatt__stream": "twin"},
    "x_A in the stream": {"upe__add_to_stream": True},
    "mlp": {"upe__map": "mlp"},
}


def adapted_with_real_statistics(**settings: Any) -> Deflected:
    statistics = PatchStatistics(BANDS, 4, indices=(), stats=("mean", "std", "min", "max"))
    found = apply(own_encoder(), "deflect", BANDS, statistics=statistics, **{"uatt__rank": 5, **settings})
    assert isinstance(found, Deflected)
    found.fit_statistics([batch_of(4, seed=8)])
    return kicked(found)


def shuffled_in_patches(x: Tensor, seed: int) -> Tensor:
    """N×C×12×12 with the pixels of every 4×4 patch in another order, the same for all channels."""
    n, c = x.shape[:2]
    cut = x.reshape(n, c, 3, 4, 3, 4).permute(0, 1, 2, 4, 3, 5).reshape(n, c, 3, 3, 16)
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(16, generator=generator) for _ in range(n * 9)]).reshape(
        n, 1, 3, 3, 16
    )
    cut = cut.gather(-1, order.expand(-1, c, -1, -1, -1))
    return cut.reshape(n, c, 3, 3, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(n, c, 12, 12)


@pytest.mark.parametrize("settings", STREAMS.values(), ids=list(STREAMS))
def test_the_order_of_pixels_in_a_patch_does_not_matter(settings: dict[str, Any]) -> None:
    adapted = adapted_with_real_statistics(**settings)
    pixels, present, validity = batch_of()
    moved = shuffled_in_patches(torch.cat([pixels, validity[:, None]], dim=1), 4)
    assert not torch.equal(moved[:, :-1], pixels)
    before = auxiliary_of(adapted, (pixels, present, validity))
    after = auxiliary_of(adapted, (moved[:, :-1], present, moved[:, -1]))
    torch.testing.assert_close(after, before, atol=1e-5, rtol=1e-5)
    assert before.std() > 0.05


def test_moving_pixels_from_patch_to_patch_does_matter() -> None:
    adapted = adapted_with_real_statistics()
    pixels, present, validity = batch_of()
    moved = auxiliary_of(adapted, (pixels.roll(4, dims=-1), present, validity.roll(4, dims=-1)))
    assert (moved - auxiliary_of(adapted, (pixels, present, validity))).abs().max() > 0.1


@pytest.mark.parametrize("settings", STREAMS.values(), ids=list(STREAMS))
def test_a_patch_without_a_valid_pixel_has_no_code(settings: dict[str, Any]) -> None:
    found = auxiliary_of(adapted_with_real_statistics(**settings), batch_of())
    assert torch.all(found[0, 0, 1] == 0)
    assert not torch.all(found[0, 1, 1] == 0)


def test_leading_tokens_have_no_code_and_groups_share_theirs() -> None:
    adapted = deflected("own, registers and groups")
    grid = torch.arange(2 * 9 * 2, dtype=torch.float32).reshape(2, 3, 3, 2) + 1
    spread = adapted.base.spread(grid)  # 2 registers, then 9 tokens of each of 2 groups
    assert spread.shape == (2, 20, 2)
    assert torch.all(spread[:, :2] == 0)
    assert torch.equal(spread[:, 2:11], grid.flatten(1, 2))
    assert torch.equal(spread[:, 11:], grid.flatten(1, 2))


@pytest.mark.parametrize("junk", [5.0, float("nan")])
def test_what_stands_in_absent_bands_and_invalid_pixels_does_not_matter(junk: float) -> None:
    adapted = adapted_with_real_statistics()
    pixels, present, validity = batch_of()
    spoiled = torch.where(validity[:, None] * present[:, :, None, None] > 0.5, pixels, torch.tensor(junk))
    assert torch.equal(
        adapted(pixels, present, validity)["tokens"], adapted(spoiled, present, validity)["tokens"]
    )


@pytest.mark.parametrize("stream", ["static", "twin"])
@pytest.mark.parametrize("normalised", [True, False])
def test_a_normalised_code_says_in_which_direction_a_patch_lies_and_not_how_far(
    stream: str, normalised: bool
) -> None:
    adapted = adapted_with_real_statistics(
        uatt__stream=stream, uatt__ln_aux=normalised, layers="first-half", norm__mode="off"
    ).double()
    batch = batch_of(dtype=torch.float64)
    with torch.no_grad():
        s = adapted.described(*batch)
        near, far = (adapted(*batch, described=size * s)["tokens"] for size in (100.0, 300.0))
    assert ((near - far).abs().max() < 1e-4) == normalised
