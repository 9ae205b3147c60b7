"""Untangled attention against the paper's sums written as loops in NumPy, and its forms against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.adapt.attention_forms import FORMS, Codes, Form, Projected, Ups
from codec.adapt.fused import unfusable
from codec.adapt.own_base import OwnSite
from codec.errors import InputError
from codec.models.vit import Block
from tests.adapt.small_bases import SWITCHES, batch_of, deflected, kicked
from tests.adapt.small_swin import adapted as swin_adapted

W, HEADS, M, HD, R = 2, 3, 7, 4, 5
Array = NDArray[np.float64]


class BiasedSite(OwnSite):
    """A site with an additive bias per window, as windows with relative positions and masks have it."""

    biased = True

    def __init__(self) -> None:
        super().__init__(Block(HEADS * HD, HEADS, 2))
        self.added = torch.randn((W, HEADS, M, M), generator=torch.Generator().manual_seed(9)).double()

    def bias(self) -> Tensor:
        return self.added


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(
    *, separate: bool, shared: bool, values: bool = True, own_reference: bool = False
) -> tuple[Projected, Projected, Codes, Ups]:
    live = Projected(*(drawn(W, HEADS, M, HD, seed=i) for i in range(3)))
    reference = Projected(*(drawn(W, HEADS, M, HD, seed=20 + i) for i in range(3))) if own_reference else live
    codes = [drawn(W, M, R, seed=10 + (0 if shared else i)) for i in range(3)]
    ups = [drawn(HEADS, R, HD, seed=30 + i) for i in range(5)]
    ups[3:] = ups[3:] if separate else ups[:2]
    return reference, live, Codes(*codes), Ups(ups[0], ups[1], ups[2] if values else None, *ups[3:])


def by_loops(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, codes: Codes | None, ups: Ups | None
) -> tuple[Array, Array]:
    """Σ_j softmax_j(four products)·v_j and ·v_A,j: token by token, product by product."""
    out, out_aux = np.zeros((W, HEADS, M, HD)), np.zeros((W, HEADS, M, HD))
    for w in range(W):
        for h in range(HEADS):
            for i in range(M):
                logits = np.zeros(M)
                for j in range(M):
                    a, b = q[w, h, i].numpy(), k[w, h, j].numpy()
                    total = a @ b
                    if codes is not None and ups is not None:
                        c_q, c_k = codes.q[w, i].numpy(), codes.k[w, j].numpy()
                        total += a @ (c_k @ ups.k[h].numpy()) + (c_q @ ups.q[h].numpy()) @ b
                        total += (c_q @ ups.q_own[h].numpy()) @ (c_k @ ups.k_own[h].numpy())
                    logits[j] = total / np.sqrt(HD) + (0.0 if bias is None else float(bias[w, h, i, j]))
                p = np.exp(logits - logits.max())
                p /= p.sum()
                for j in range(M):
                    out[w, h, i] += p[j] * v[w, h, j].numpy()
                    if codes is not None and ups is not None and ups.v is not None:
                        out_aux[w, h, i] += p[j] * (codes.v[w, j].numpy() @ ups.v[h].numpy())
    return out, out_aux


@pytest.mark.parametrize("own_reference", [False, True], ids=["one stream", "frozen branch apart"])
@pytest.mark.parametrize("biased", [False, True], ids=["plain", "biased"])
@pytest.mark.parametrize(
    "switches",
    [
        {"separate": False, "shared": True},
        {"separate": True, "shared": True},
        {"separate": False, "shared": False},
        {"separate": True, "shared": False},
        {"separate": False, "shared": True, "values": False},
    ],
    ids=["sum", "separate", "own codes", "separate, own codes", "no values"],
)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_sum_of_four_products(
    form: Form, switches: dict[str, bool], biased: bool, own_reference: bool
) -> None:
    site = BiasedSite() if biased else OwnSite(Block(HEADS * HD, HEADS, 2))
    reference, live, codes, ups = problem(**switches, own_reference=own_reference)
    if form == "stacked" and own_reference:
        with pytest.raises(InputError, match="same keys and values"):
            FORMS[form](site, reference, live, codes, ups)
        return
    found = FORMS[form](site, reference, live, codes, ups)
    plain, auxiliary = by_loops(*live, site.bias(), codes, ups)
    expected = by_loops(*reference, site.bias(), None, None)[0]
    np.testing.assert_allclose(found.reference.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(found.plain.numpy(), plain, atol=1e-12)
    np.testing.assert_allclose(found.auxiliary.numpy(), auxiliary, atol=1e-12)
    assert np.abs(plain - expected).max() > 0.1, "the codes must do something"


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
@pytest.mark.parametrize("case", ["own", "MAE"])
def test_forms_of_a_whole_encoder_agree(case: str, switches: dict[str, Any]) -> None:
    adapted = kicked(deflected(case, double=True, **switches))
    batch = batch_of(dtype=torch.float64)
    with torch.no_grad():
        tokens = {form: adapted.use(form)(*batch)["tokens"] for form in _allowed(adapted)}
    assert {"four-products", "folded"} <= tokens.keys()
    for form, found in tokens.items():
        assert (found - tokens["four-products"]).abs().max() < 1e-12 * tokens["four-products"].abs().max(), (
            form
        )


def _allowed(adapted: Any) -> Sequence[Form]:
    fusable = not unfusable(adapted.settings, adapted.live is adapted.base, adapted.base.sites())
    return [
        *(form for form in FORMS if form != "stacked" or adapted._one_projection),
        *(("fused",) if fusable else ()),  # type: ignore[list-item]
    ]


@pytest.mark.parametrize("case", ["own", "MAE"])
def test_the_kernels_know_the_settings_that_differ_by_numbers_alone(case: str) -> None:
    """Others are refused by what it is, never computed as something else."""
    known = {"defaults", "A2 mlp", "A14 detached", "A15 clip", "A17 normalised", "A18 in the stream"}
    for name, switches in SWITCHES.items():
        adapted = deflected(case, **switches)
        if name in known:
            assert adapted.use("fused").form == "fused"
            continue
        with pytest.raises(InputError, match="no kernel knows"):
            adapted.use("fused")
        assert adapted.form == "folded"


def test_biases_of_positions_are_not_fused() -> None:
    with pytest.raises(InputError, match="no kernel knows biases of positions"):
        swin_adapted().use("fused")  # type: ignore[attr-defined]


def test_the_kernels_take_what_autocast_gives() -> None:
    adapted = kicked(deflected("own"))
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = [adapted.use(form)(*batch_of())["tokens"].float() for form in ("folded", "fused")]  # type: ignore[arg-type]
    with torch.no_grad():
        exact = adapted.use("folded")(*batch_of())["tokens"]
    near = float((tokens[0] - exact).norm() / exact.norm())
    assert float((tokens[1] - exact).norm() / exact.norm()) < 2 * near + 1e-3


@pytest.mark.parametrize("switches", [{}, {"norm__mode": "clip"}, {"norm__detach_ref": True}], ids=str)
def test_what_the_kernels_teach_is_what_the_other_forms_teach(switches: dict[str, Any]) -> None:
    gradients = []
    for form in ("folded", "fused"):
        adapted = kicked(deflected("own", double=True, **switches)).use(form)  # type: ignore[arg-type]
        adapted(*batch_of(dtype=torch.float64))["tokens"].square().sum().backward()
        gradients.append({name: p.grad for name, p in adapted.trained().items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, found in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], found, atol=1e-10, rtol=1e-10)
