"""Before the first step an adapted encoder is the frozen one (A12): bit for bit where it can be, else to rounding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from codec.adapt import deflect
from codec.adapt.attention_forms import FORMS, Form
from codec.adapt.registry import base_of
from codec.errors import InputError
from tests.adapt.small_bases import BANDS, CASES, SWITCHES, batch_of, deflected, rgb_of


def frozen_tokens(case: str) -> Tensor:
    """By the encoder's own interface, on the base's own bands."""
    given = CASES[case]
    encoder = given.encoder()
    own = ("blue", "green", "red", "nir") if "groups" in case else ("blue", "green", "red")
    return given.tokens(encoder, rgb_of(batch_of(), own))


@pytest.mark.parametrize("case", CASES)
def test_a_base_is_its_encoder(case: str) -> None:
    given = CASES[case]
    base = base_of(given.encoder(), **given.side)
    found = base(*rgb_of(batch_of(), base.bands))
    torch.testing.assert_close(found, frozen_tokens(case), atol=2e-6, rtol=1e-5)
    assert found.std() > 0.1, "tokens near zero would agree with anything"


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
@pytest.mark.parametrize("case", ["own", "MAE", "Galileo"])
def test_the_readable_twin_starts_bit_for_bit_as_the_frozen_model(
    case: str, switches: dict[str, Any]
) -> None:
    adapted = deflected(case, **switches).use("four-products")
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels round otherwise than attention written out
        given = CASES[case]
        frozen = base_of(given.encoder(), **given.side)(*rgb_of(batch_of(), adapted.base.bands))
        assert torch.equal(adapted(*batch_of())["tokens"], frozen)


@pytest.mark.parametrize("case", CASES)
def test_the_readable_twin_of_every_family_starts_bit_for_bit_as_the_frozen_model(case: str) -> None:
    adapted = deflected(case).use("four-products")
    given = CASES[case]
    base = base_of(given.encoder(), **given.side)
    with sdpa_kernel(SDPBackend.MATH):
        assert torch.equal(adapted(*batch_of())["tokens"], base(*rgb_of(batch_of(), base.bands)))


@pytest.mark.parametrize("form", ["folded", "stacked"])
@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
@pytest.mark.parametrize("case", ["own", "DINO-MC"])
def test_folded_forms_start_with_a_scale_of_one(
    case: str, switches: dict[str, Any], form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapted = deflected(case, **switches)
    try:
        adapted.use(form)
    except InputError:
        assert form == "stacked"
        assert not adapted._one_projection
        return
    ratios: list[Tensor] = []
    exact = deflect.length_ratio

    def recorded(*arguments: Any) -> Tensor:
        ratios.append(exact(*arguments))
        return ratios[-1]

    monkeypatch.setattr(deflect, "length_ratio", recorded)
    tokens = adapted(*batch_of())["tokens"]
    # Stacked, the two branches are other rows of one product, and a product may round its rows differently. And a run
    # without adapter is attended to at another width than the adapted one, so their streams may differ in the last bit.
    one_stream = switches.get("norm__ref") != "z_P" and switches.get("uatt__stream") != "diff"
    off = 0.0 if form == "folded" and one_stream else 1e-6
    assert all(bool(((ratio - 1.0).abs() <= off).all()) for ratio in ratios)
    assert ratios or switches.get("norm__mode") == "off"
    assert (tokens - frozen_tokens(case)).abs().max() <= 1e-6 * frozen_tokens(case).abs().max()


@pytest.mark.parametrize("form", FORMS)
def test_what_stands_in_other_bands_matters_only_after_training_has_begun(form: Form) -> None:
    adapted = deflected().use(form)
    pixels, present, validity = batch_of()
    other = pixels.clone()
    other[:, BANDS.index("nir")] += 0.2
    assert torch.equal(
        adapted(pixels, present, validity)["tokens"], adapted(other, present, validity)["tokens"]
    )
    for layer in adapted.layers.values():
        layer.up_q.data += 0.1
    changed = adapted(other, present, validity)["tokens"] - adapted(pixels, present, validity)["tokens"]
    assert changed.abs().max() > 1e-4


def test_a_published_encoder_reads_what_its_normalisation_says() -> None:
    encoder = CASES["MAE"].encoder()
    pixels, present, validity = rgb_of(batch_of(), ("red", "green", "blue"))
    base = base_of(encoder, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7), full_scale=0.25)
    z = torch.stack(
        [
            ((pixels[:, i] / 0.25).clamp(0, 1) - m) / s
            for i, (m, s) in enumerate(((0.1, 0.5), (0.2, 0.6), (0.3, 0.7)))
        ],
        dim=1,
    )
    expected = encoder(torch.where(validity[:, None] > 0.5, z, 0.0)).reshape(2, 3, 3, -1)
    torch.testing.assert_close(base(pixels, present, validity), expected, atol=2e-6, rtol=1e-5)
