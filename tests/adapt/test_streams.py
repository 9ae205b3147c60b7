"""What the auxiliary part z_A of the second block is, for each way of carrying it (A3), recomputed from what was seen."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from codec.adapt import deflect
from codec.adapt.attention_forms import Displacements, four_products
from tests.adapt.small_bases import auxiliary_of, batch_of, deflected, kicked


def seen(
    monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> tuple[Any, list[deflect.Streams], list[Displacements]]:
    """A twice adapted encoder after one run: the streams that came into each block, and the displacements in it."""
    adapted = kicked(deflected(double=True, **settings)).use("four-products")
    streams: list[deflect.Streams] = []
    found: list[Displacements] = []
    exact = adapted._codes

    def codes(layer: Any, given: deflect.Streams) -> Any:
        streams.append(given)
        return exact(layer, given)

    def form(*arguments: Any) -> Displacements:
        found.append(four_products(*arguments))
        return found[-1]

    monkeypatch.setattr(adapted, "_codes", codes)
    monkeypatch.setattr(deflect, "FORMS", {"four-products": form})
    with torch.no_grad():
        adapted(*batch_of(dtype=torch.float64))
    return adapted, streams, found


def flat(x: Tensor) -> Tensor:
    """W×heads×M×hd → W×M×D."""
    return x.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("mode", ["match", "off"])
def test_a_twin_adds_what_came_from_its_own_values(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapted, streams, found = seen(monkeypatch, uatt__stream="twin", norm__mode=mode)
    x_aux = auxiliary_of(adapted, batch_of(dtype=torch.float64)).flatten(1, 2)
    torch.testing.assert_close(streams[0].auxiliary, x_aux, atol=1e-13, rtol=0)
    first = found[0]
    reference, whole = flat(first.reference), flat(first.plain + first.auxiliary)
    scale = (
        reference.norm(dim=-1, keepdim=True) / whole.norm(dim=-1, keepdim=True) if mode == "match" else 1.0
    )
    added = (scale * flat(first.auxiliary)) @ adapted.base.encoder.blocks[0].proj.weight.T
    torch.testing.assert_close(streams[1].auxiliary, x_aux + added, atol=1e-12, rtol=0)
    assert added.abs().max() > 0.01


def test_a_difference_is_taken_to_a_run_without_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    adapted, streams, _ = seen(monkeypatch, uatt__stream="diff", upe__add_to_stream=True)
    pixels, present, validity = batch_of(dtype=torch.float64)
    encoder, own = adapted.base.encoder, adapted.own
    entering: list[Tensor] = []
    handle = encoder.blocks[1].register_forward_pre_hook(lambda _, arguments: entering.append(arguments[0]))
    with torch.no_grad():
        encoder(pixels[:, own], present[:, own], validity)
    handle.remove()
    assert streams[1].frozen is not None
    torch.testing.assert_close(streams[1].frozen, entering[0], atol=1e-12, rtol=0)
    first = streams[0].main - streams[0].frozen
    x_aux = auxiliary_of(adapted, (pixels, present, validity)).flatten(1, 2)
    torch.testing.assert_close(first, x_aux, atol=1e-12, rtol=0)
    assert (streams[1].main - streams[1].frozen - first).abs().max() > 0.01
