"""A pyramid of windows as a base: attention within windows, a bias, tokens merged between blocks (as Swin has them).

The encoder here is the smallest that has these three; it stands for the families whose sites cut and merge.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codec.adapt.attention_forms import FORMS
from codec.adapt.base import Base, Site
from codec.adapt.deflect import Deflected
from codec.adapt.low_rank import replace_module
from codec.adapt.own_base import OwnSite
from codec.adapt.registry import apply
from codec.adapt.types import Role
from codec.models.vit import Block
from tests.adapt.small_bases import BANDS, LoopStatistics, kicked, random_weights

SIDE, WINDOW, WIDTH = 6, 3, 12  # patches of 2×2 pixels, windows of 3×3 patches


def merge_four(x: Tensor, side: int) -> Tensor:
    """N×side²×C → N×(side/2)²×C: means of 2×2 neighbours."""
    n, _, c = x.shape
    return x.reshape(n, side // 2, 2, side // 2, 2, c).mean((2, 4)).reshape(n, -1, c)


class Pyramid(nn.Module):
    """Patch filters, a block in windows, tokens merged and widened, a block over all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 2, stride=2)
        self.blocks = nn.ModuleList([Block(WIDTH, 2, 2), Block(2 * WIDTH, 3, 2)])
        self.added = nn.Parameter(torch.zeros(2, WINDOW * WINDOW, WINDOW * WINDOW))
        self.widen = nn.Linear(WIDTH, 2 * WIDTH)


class WindowSite(OwnSite):
    """Four windows of nine tokens, with a bias per head."""

    def __init__(self, block: Block, added: Tensor) -> None:
        super().__init__(block)
        self.added = added

    def arrange(self, values: Tensor) -> Tensor:
        n, _, c = values.shape
        cut = values.reshape(n, SIDE // WINDOW, WINDOW, SIDE // WINDOW, WINDOW, c)
        return cut.transpose(2, 3).reshape(-1, WINDOW * WINDOW, c)

    def back(self, values: Tensor) -> Tensor:
        k = SIDE // WINDOW
        cut = values.reshape(-1, k, k, WINDOW, WINDOW, values.shape[-1])
        return cut.transpose(2, 3).reshape(-1, SIDE * SIDE, values.shape[-1])

    def project(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return super().project(self.arrange(normed))

    def bias(self) -> Tensor:
        return self.added

    def merge(self, values: Tensor) -> Tensor:
        return self.back(super().merge(values))

    def whole(self, x: Tensor) -> Tensor:
        q, k, v = self.project(self.normed(x))
        x = x + self.output(self.merge(self.attend(q, k, v, self.bias())))
        return x + self.second(x)


class SecondSite(OwnSite):
    """The block after the merging."""

    def __init__(self, block: Block, widen: nn.Linear) -> None:
        super().__init__(block)
        self.widen = widen

    def enter(self, values: Tensor) -> Tensor:
        out: Tensor = self.widen(merge_four(values, SIDE))
        return out

    def enter_code(self, code: Tensor) -> Tensor:
        return merge_four(code, SIDE)


class PyramidBase(Base):
    """Three bands, 12×12 pixels; tokens of a 3×3 grid, twice as wide as the first block's."""

    encoder: Pyramid
    bands = ("blue", "green", "red")
    width, patch = 2 * WIDTH, 2

    def embed(self, pixels: Tensor, present: Tensor, validity: Tensor) -> tuple[Tensor, tuple[int, int]]:
        return self.encoder.stem(pixels).flatten(2).transpose(1, 2), (SIDE, SIDE)

    def sites(self) -> Sequence[Site]:
        first, second = self.encoder.blocks
        assert isinstance(first, Block)
        assert isinstance(second, Block)
        return [WindowSite(first, self.encoder.added), SecondSite(second, self.encoder.widen)]

    def finish(self, sequence: Tensor, grid: tuple[int, int]) -> Tensor:
        return sequence.reshape(-1, SIDE // 2, SIDE // 2, self.width)

    def linears(self) -> Mapping[str, Role]:
        return {f"blocks.{i}.{role}": role for i in range(2) for role in ("qkv", "proj", "fc1", "fc2")}  # type: ignore[misc]

    def stem(self) -> tuple[str, ...]:
        return ("stem.weight",)

    def inflated(self, bands: Sequence[str], how: str, seed: int = 0) -> PyramidBase:
        raise NotImplementedError


def base() -> PyramidBase:
    return PyramidBase(random_weights(Pyramid(), 5))


def batch() -> tuple[Tensor, Tensor, Tensor]:
    pixels = torch.rand((2, len(BANDS), 12, 12), generator=torch.Generator().manual_seed(1)) * 0.4
    return pixels, torch.ones(2, len(BANDS)), torch.ones(2, 12, 12)


def adapted(**settings: Any) -> Deflected:
    given = {"statistics": LoopStatistics(len(BANDS), 2), "uatt__rank": 5, "layers": "all", **settings}
    found = apply(base(), "deflect", BANDS, **given)
    assert isinstance(found, Deflected)
    return found


@pytest.mark.parametrize(
    ("form", "settings"),
    [
        *((form, {}) for form in FORMS),
        *((form, {"norm__where": "post", "norm__mlp": True}) for form in FORMS),
        *((form, {"norm__ref": "z_P"}) for form in FORMS if form != "stacked"),
    ],
    ids=str,
)
def test_windows_start_as_the_frozen_model(form: Any, settings: dict[str, Any]) -> None:
    pixels, present, validity = batch()
    index = [BANDS.index(band) for band in base().bands]
    frozen = base()(pixels[:, index], present[:, index], validity)
    found = adapted(**settings).use(form)(pixels, present, validity)["tokens"]
    assert torch.equal(found, frozen) or form != "four-products"
    assert (found - frozen).abs().max() <= 1e-6 * frozen.abs().max()


@pytest.mark.parametrize("settings", [{}, {"uatt__share_down": False, "uatt__products": "separate"}], ids=str)
def test_forms_agree_in_windows(settings: dict[str, Any]) -> None:
    found = kicked(adapted(**settings).double())
    given = tuple(x.double() for x in batch())
    tokens = [found.use(form)(*given)["tokens"] for form in FORMS]
    assert (tokens[0] - found.use("folded")(*given)["tokens"]).abs().max() < 1e-11
    assert (tokens[0] - tokens[2]).abs().max() < 1e-11


@pytest.mark.parametrize("form", FORMS)
def test_codes_stay_in_the_window_of_their_patch(form: Any) -> None:
    found = kicked(adapted(layers=(0,)).use(form))
    stream: list[Tensor] = []
    found.base.encoder.get_submodule("widen").register_forward_pre_hook(
        lambda _, arguments: stream.append(arguments[0])
    )
    pixels, present, validity = batch()
    other = pixels.clone()
    other[:, BANDS.index("nir"), 8:10, 2:4] += 0.3  # row 4, column 1 of patches: the lower left window
    found(pixels, present, validity)
    found(other, present, validity)
    moved = (stream[0] - stream[1]).abs().amax((0, 2)).reshape(3, 3)  # after the merging, 2×2 patches each
    window = torch.zeros(3, 3, dtype=torch.bool)
    window[1:, :2] = True  # rows 3–5 and columns 0–2 of patches lie in these
    assert bool((moved[window] > 1e-5).all())
    assert bool((moved[~window] < 1e-6).all())


def test_the_adapted_parts_have_the_width_of_their_block() -> None:
    layers = adapted().layers
    assert [tuple(layers[i].up_q.shape) for i in ("0", "1")] == [(5, WIDTH), (5, 2 * WIDTH)]


def test_a_copy_for_learning_shares_memory_until_a_part_is_replaced() -> None:
    first = base()
    second = first.twin()
    theirs = copy.deepcopy(first.encoder.blocks[0].fc1.weight)
    assert second.encoder.blocks[0].fc1.weight.data_ptr() == first.encoder.blocks[0].fc1.weight.data_ptr()
    replace_module(second.encoder, "blocks.0.fc1", nn.Linear(WIDTH, 2 * WIDTH))
    assert torch.equal(first.encoder.blocks[0].fc1.weight, theirs)
