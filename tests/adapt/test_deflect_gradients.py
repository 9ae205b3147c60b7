"""What learns does learn, by the right gradient; what is frozen does not move by a bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from codec.adapt import apply
from codec.adapt.attention_forms import FORMS, Form
from codec.adapt.types import METHODS, Method
from tests.adapt.small_bases import (
    BANDS,
    SWITCHES,
    LoopStatistics,
    batch_of,
    deflected,
    kicked,
    own_encoder,
    rgb_of,
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"uatt__stream": "twin", "uatt__products": "separate"},
        {"norm__where": "post", "norm__mlp": True},
        {"norm__per": "head", "upe__map": "mlp", "upe__add_to_stream": True},
    ],
    ids=["defaults", "twin, separate", "post, mlp", "head, literal"],
)
def test_gradients_are_those_of_finite_differences(form: Form, settings: dict[str, Any]) -> None:
    adapted = kicked(deflected(double=True, **{"uatt__rank": 2, "layers": (0,), **settings}).use(form))
    batch = batch_of(1, dtype=torch.float64)
    weight = torch.randn((1, 3, 3, adapted.width), generator=torch.Generator().manual_seed(2)).double()
    parameters = list(adapted.trained().values())
    direction = [
        torch.randn(p.shape, generator=torch.Generator().manual_seed(i)).double()
        for i, p in enumerate(parameters)
    ]

    def along(step: Tensor) -> Tensor:
        moved = {name: p + step[i] * direction[i] for i, (name, p) in enumerate(adapted.trained().items())}
        return (torch.func.functional_call(adapted, moved, batch)["tokens"] * weight).sum()

    steps = torch.zeros(len(parameters), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(along, (steps,), eps=1e-6, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
def test_every_trained_tensor_moves_within_three_steps_and_nothing_else_does(
    switches: dict[str, Any],
) -> None:
    adapted = deflected(**switches)
    before = adapted.state()
    frozen = {name: p.detach().clone() for name, p in adapted.named_parameters() if not p.requires_grad}
    train(adapted, 3)
    for name, value in adapted.trained().items():
        assert not torch.equal(value, before[name]), f"{name} did not move"
    for name, p in adapted.named_parameters():
        if name in frozen:
            assert torch.equal(p, frozen[name]), f"{name} moved"


@pytest.mark.parametrize("method", METHODS)
def test_training_leaves_the_base_as_it_was_bit_for_bit(method: Method) -> None:
    encoder = own_encoder()
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    batch = rgb_of(batch_of(), encoder.config.bands)
    tokens = encoder(*batch)["tokens"]
    statistics = {"statistics": LoopStatistics(len(BANDS), 4)} if method == "deflect" else {}
    adapted = apply(encoder, method, BANDS, **statistics, **({"uatt__rank": 5} if statistics else {}))  # type: ignore[arg-type]
    before = adapted(*batch_of())["tokens"].detach()
    if method != "frozen":
        train(adapted, 2)
        assert not torch.allclose(adapted(*batch_of())["tokens"], before)
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())
    assert torch.equal(encoder(*batch)["tokens"], tokens)


def test_an_encoder_that_was_learning_goes_on_learning() -> None:
    encoder = own_encoder().requires_grad_(True)
    apply(encoder, "norm", BANDS)
    assert all(p.requires_grad for p in encoder.parameters())


def train(adapted: Any, steps: int) -> None:
    """A few steps of plain descent towards random tokens."""
    target = torch.randn((2, 3, 3, adapted.width), generator=torch.Generator().manual_seed(3))
    optimiser = torch.optim.AdamW(adapted.trained().values(), lr=1e-2, weight_decay=0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        (adapted(*batch_of())["tokens"] - target).square().mean().backward()
        optimiser.step()
