"""Lengths of displacements, read off at the blocks of the encoder itself and not from the code that sets them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codec.adapt import apply
from codec.adapt.deflect import Deflected
from codec.adapt.deflection import length_ratio
from codec.adapt.types import NormSwitches
from codec.models.vit import Encoder
from tests.adapt.small_bases import BANDS, LoopStatistics, batch_of, kicked, own_encoder, rgb_of


def seen_by(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """What comes into a module while `run` runs, at its first call: a frozen branch that needs it comes after."""
    found: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0].detach()))
    with torch.no_grad():
        run()
    handle.remove()
    return found[0]


class Lengths:
    """One block, adapted and frozen on the same input: before the projection, after it, and after the MLP."""

    def __init__(self, **settings: Any) -> None:
        self.encoder: Encoder = own_encoder(depth=1).double()
        adapted = apply(
            self.encoder, "deflect", BANDS, statistics=LoopStatistics(len(BANDS), 4), layers="all",
            **{"uatt__rank": 5, **settings},
        ).double()  # fmt: skip
        assert isinstance(adapted, Deflected)
        self.adapted = kicked(adapted.use("four-products"), 1.0)
        self.batch = batch_of(dtype=torch.float64)
        inner = self.adapted.base.encoder
        assert isinstance(inner, Encoder)
        frozen = copy.deepcopy(self.encoder)
        self.heads = frozen.config.heads

        def run() -> None:
            self.adapted(*self.batch)

        def run_frozen() -> None:
            frozen(*rgb_of(self.batch, frozen.config.bands))

        block, plain = inner.blocks[0], frozen.blocks[0]
        self.start = seen_by(plain.norm1, run_frozen)
        self.before = seen_by(block.proj, run), seen_by(plain.proj, run_frozen)
        middle, middle_frozen = seen_by(block.norm2, run), seen_by(plain.norm2, run_frozen)
        bias = plain.proj.bias.detach()
        self.after = middle - self.start - bias, middle_frozen - self.start - bias
        end, end_frozen = seen_by(inner.norm, run), seen_by(frozen.norm, run_frozen)
        self.second = end - middle, end_frozen - middle_frozen


def lengths(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair[0].norm(dim=-1), pair[1].norm(dim=-1)


def turned(pair: tuple[Tensor, Tensor]) -> float:
    """Least cosine between the two displacements of a token."""
    return float(torch.cosine_similarity(*pair, dim=-1).min())


def same(a: Tensor, b: Tensor) -> bool:
    return bool(((a / b - 1).abs() < 1e-12).all())


def test_by_default_each_token_keeps_the_length_before_the_projection_and_changes_direction() -> None:
    found = Lengths()
    assert same(*lengths(found.before))
    assert turned(found.before) < 0.8
    assert not same(*lengths(found.after))


@pytest.mark.parametrize("ref", ["z_P", "same"])
def test_the_reference_is_of_a_run_without_adapter_only_where_that_is_asked(ref: str) -> None:
    """With x_A in the stream the adapted block does not see what the frozen encoder's block sees."""
    found = Lengths(norm__ref=ref, upe__add_to_stream=True)
    assert same(*lengths(found.before)) == (ref == "z_P")


def test_per_head_every_head_keeps_its_length() -> None:
    found = Lengths(norm__per="head")
    adapted, frozen = (x.unflatten(-1, (found.heads, -1)) for x in found.before)
    assert same(*lengths((adapted, frozen)))
    assert same(*lengths(found.before))
    adapted, frozen = (x.unflatten(-1, (found.heads, -1)) for x in Lengths().before)
    assert not same(*lengths((adapted, frozen)))


def test_after_the_projection_the_displacement_without_its_bias_keeps_its_length() -> None:
    found = Lengths(norm__where="post")
    assert same(*lengths(found.after))
    assert turned(found.after) < 0.8


def test_an_upper_bound_only_shortens() -> None:
    clipped, off = (Lengths(norm__mode=mode, uatt__value_aux=False) for mode in ("clip", "off"))
    adapted, frozen = lengths(off.before)
    assert bool((adapted > frozen).any())
    assert bool((adapted < frozen).any())
    torch.testing.assert_close(lengths(clipped.before)[0], torch.minimum(adapted, frozen), rtol=1e-12, atol=0)


def test_the_second_displacement_is_free_unless_constrained() -> None:
    assert not same(*lengths(Lengths().second))
    assert same(*lengths(Lengths(norm__mlp=True).second))


def test_a_detached_reference_changes_gradients_only() -> None:
    plain, detached = (
        Lengths(upe__add_to_stream=True),
        Lengths(upe__add_to_stream=True, norm__detach_ref=True),
    )
    tokens, gradients = [], []
    for found in (plain, detached):
        out = found.adapted(*found.batch)["tokens"]
        out.square().sum().backward()
        tokens.append(out.detach())
        gradients.append(found.adapted.upe.up.grad)
    assert torch.equal(*tokens)
    assert not torch.allclose(*gradients)


@pytest.mark.parametrize("mode", ["match", "clip"])
def test_a_token_without_displacement_has_a_finite_ratio_and_gradient(mode: Any) -> None:
    reference = torch.zeros(1, 2, 4, requires_grad=True)
    adapted = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]], requires_grad=True)
    ratio = length_ratio(reference, adapted, (-1,), NormSwitches(mode=mode))
    (ratio * adapted).sum().backward()
    assert bool(torch.isfinite(ratio).all())
    assert reference.grad is not None
    assert adapted.grad is not None
    assert bool(torch.isfinite(reference.grad).all() & torch.isfinite(adapted.grad).all())
    assert float((ratio * adapted).detach().abs().max()) < 1e-9


def test_the_ratio_of_three_and_four_to_five_is_one() -> None:
    ratio = length_ratio(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.5]]), (-1,), NormSwitches())
    assert float(ratio) == 2.0
    assert (
        float(length_ratio(torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0, 0.0]]), (-1,), NormSwitches()))
        == 1.0
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_long_displacements_of_half_precision_are_measured(kind: torch.dtype) -> None:
    reference = torch.full((1, 64), 900.0, dtype=kind)  # a square of it is beyond float16
    ratio = length_ratio(reference, reference / 2, (-1,), NormSwitches())
    assert ratio.dtype == kind
    assert float(ratio) == 2.0


@pytest.mark.parametrize("size", [1e-8, 1e-4, 1.0, 1e6])
def test_equal_lengths_give_exactly_one(size: float) -> None:
    x = size * torch.randn((50, 8), generator=torch.Generator().manual_seed(0))
    assert torch.all(length_ratio(x, x.clone(), (-1,), NormSwitches()) == 1.0)
