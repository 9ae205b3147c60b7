"""DEFLECT's rivals: what they compute, what learns in them, how they take more bands, and that they merge."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from codec.adapt import apply
from codec.adapt.inflation import inflate
from codec.adapt.low_rank import LoraLinear, SlrLinear
from codec.adapt.registry import base_of
from codec.adapt.types import METHODS, Method
from codec.errors import InputError
from codec.models.bands import REFLECTANCE_MEAN, REFLECTANCE_SPREAD
from codec.models.vit import Encoder
from tests.adapt.small_bases import BANDS, CASES, batch_of, kicked, own_encoder, rgb_of

RIVALS = [method for method in METHODS if method != "deflect"]
FAMILIES = ["own", "MAE", "Scale-MAE", "Galileo"]


def small_rank(method: str) -> dict[str, Any]:
    return {"rank": 3} if method in ("lora", "slr") else {}


@pytest.mark.parametrize("inputs", ["own", "repeat", "rgb+random"])
@pytest.mark.parametrize("method", RIVALS)
def test_the_merged_encoder_does_the_same(method: Method, inputs: str) -> None:
    adapted = kicked(apply(own_encoder().double(), method, BANDS, inputs=inputs, **small_rank(method)))
    merged = adapted.merged()
    assert isinstance(merged, Encoder)
    batch = batch_of(dtype=torch.float64)
    given = rgb_of(batch, merged.config.bands) if inputs == "own" else batch
    torch.testing.assert_close(merged(*given)["tokens"], adapted(*batch)["tokens"], atol=1e-11, rtol=1e-11)
    assert merged.config.bands == (own_encoder().config.bands if inputs == "own" else BANDS)
    assert not any(p.requires_grad for p in merged.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", RIVALS)
def test_on_its_own_bands_a_rival_starts_as_the_frozen_model(method: Method, family: str) -> None:
    case = CASES[family]
    base = base_of(case.encoder(), **case.side)
    batch = rgb_of(batch_of(), base.bands)
    adapted = apply(base, method, base.bands, **small_rank(method))
    assert torch.equal(adapted(*batch)["tokens"], base(*batch))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", [m for m in RIVALS if m != "frozen"])
def test_a_rival_of_every_family_learns_from_other_bands(method: Method, family: str) -> None:
    case = CASES[family]
    adapted = apply(base_of(case.encoder(), **case.side), method, BANDS, **small_rank(method))
    pixels, present, validity = batch_of()
    other = pixels.clone()
    other[:, BANDS.index("nir")] += 0.2
    tokens = adapted(pixels, present, validity)["tokens"]
    assert (adapted(other, present, validity)["tokens"] - tokens).abs().max() > 1e-3
    tokens.square().mean().backward()
    assert all(
        (p.grad is not None and bool(p.grad.any())) or "down" in n for n, p in adapted.trained().items()
    )


def test_lora_is_the_formula_of_the_paper() -> None:
    linear = nn.Linear(6, 4).double()
    lora = LoraLinear(linear, 2, 8.0, torch.Generator().manual_seed(0))
    lora.up.data = torch.randn(4, 2, dtype=torch.float64)
    x = torch.randn(3, 6, dtype=torch.float64)
    w, b, a, up = (t.detach().numpy() for t in (linear.weight, linear.bias, lora.down, lora.up))
    expected = x.numpy() @ w.T + b + 8.0 / 2 * (x.numpy() @ a.T) @ up.T
    np.testing.assert_allclose(lora(x).detach().numpy(), expected, atol=1e-13)
    assert float(lora.down.detach().abs().max()) <= 1 / math.sqrt(6)


def test_slr_is_the_formula_of_the_paper() -> None:
    linear = nn.Linear(6, 4).double()
    slr = SlrLinear(linear, 2, torch.Generator().manual_seed(0))
    for p in (slr.up, slr.scale_in, slr.scale_out):
        p.data = torch.randn(p.shape, dtype=torch.float64)
    x = torch.randn(3, 6, dtype=torch.float64)
    w, b, a, up, i, o = (
        t.detach().numpy()
        for t in (linear.weight, linear.bias, slr.down, slr.up, slr.scale_in, slr.scale_out)
    )
    scaled = x.numpy() * i
    expected = o * (scaled @ w.T + b + (scaled @ a.T) @ up.T)
    np.testing.assert_allclose(slr(x).detach().numpy(), expected, atol=1e-13)


def test_lora_is_that_of_peft() -> None:
    peft = pytest.importorskip("peft")
    batch = batch_of()
    theirs = own_encoder(bands=BANDS)
    ours = kicked(apply(own_encoder(bands=BANDS), "lora", BANDS, rank=3))
    config = peft.LoraConfig(r=3, target_modules=["qkv", "blocks.0.proj", "blocks.1.proj", "fc1", "fc2"])
    wrapped = peft.get_peft_model(theirs, config)
    layers = {n: m for n, m in wrapped.named_modules() if hasattr(m, "lora_A") and hasattr(m, "scaling")}
    assert len(layers) == 8
    for name, layer in layers.items():
        own = ours.live.encoder.get_submodule(name.removeprefix("base_model.model."))
        assert layer.scaling["default"] == own.scale
        assert own.down.shape == layer.lora_A["default"].weight.shape
        layer.lora_A["default"].weight.data = own.down.data.clone()
        layer.lora_B["default"].weight.data = own.up.data.clone()
    torch.testing.assert_close(wrapped(*batch)["tokens"], ours(*batch)["tokens"], atol=1e-6, rtol=1e-6)
    assert sum(p.numel() for p in wrapped.parameters() if p.requires_grad) == ours.n_trained


def test_what_learns_is_what_the_method_says() -> None:
    encoder = own_encoder()
    norms = {n for n, m in encoder.named_modules() if isinstance(m, nn.LayerNorm)}
    found = {method: set(apply(encoder, method, BANDS).trained()) for method in ("norm", "bitfit", "full")}  # type: ignore[call-overload]
    assert found["norm"] == {f"live.encoder.{n}.{part}" for n in norms for part in ("weight", "bias")}
    assert found["bitfit"] == {
        f"live.encoder.{n}"
        for n, _ in encoder.named_parameters()
        if n.endswith("bias") and n != "presence.bias"
    }
    assert found["full"] == {f"live.encoder.{n}" for n, _ in encoder.named_parameters()}
    stem = {
        f"live.encoder.{n}" for n in ("stem.weight", "texture.weight", "presence.weight", "presence.bias")
    }
    assert set(apply(encoder, "norm", BANDS, train_stem=True).trained()) == found["norm"] | stem
    assert set(apply(encoder, "full", BANDS, train_stem=False).trained()) == found["full"] - stem


def test_lora_can_be_put_on_some_roles_only() -> None:
    names = set(apply(own_encoder(), "lora", BANDS, rank=3, roles=("qkv",)).trained())
    assert names == {f"live.encoder.blocks.{i}.qkv.{part}" for i in range(2) for part in ("down", "up")}


def test_repeated_filters_are_those_of_known_bands_in_turn() -> None:
    filters = torch.arange(1.0, 4.0).reshape(1, 3)  # of blue, green, red
    bands = ("nir", "red", "swir16", "green", "blue", "swir22", "nir08")
    found = inflate(filters, ("blue", "green", "red"), bands, "repeat")
    expected = torch.tensor([[1.0, 3.0, 2.0, 2.0, 1.0, 3.0, 1.0]]) * 3 / 7
    torch.testing.assert_close(found, expected)


def test_random_filters_stand_beside_the_known_ones_and_follow_their_seed() -> None:
    filters = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.05
    own, bands = ("blue", "green", "red"), ("green", "nir", "red", "blue")
    found, again, other = (inflate(filters, own, bands, "rgb+random", seed) for seed in (1, 1, 2))
    assert torch.equal(found, again)
    assert torch.equal(found[:, [3, 0, 2]], filters)
    assert not torch.equal(found[:, 1], other[:, 1])
    assert float(found[:, 1].std()) == pytest.approx(float(filters.std()), rel=0.1)


def test_a_picture_that_is_equal_in_all_bands_keeps_its_tokens_under_repeated_filters() -> None:
    encoder = own_encoder()
    z = torch.rand((2, 1, 12, 12), generator=torch.Generator().manual_seed(0))
    mean, spread = (
        torch.tensor([values[b] for b in BANDS])[:, None, None]
        for values in (REFLECTANCE_MEAN, REFLECTANCE_SPREAD)
    )
    # Six bands are twice the three own ones, each filter once more.
    bands = (*BANDS, "swir22")
    pixels = torch.cat(
        [mean + spread * z, REFLECTANCE_MEAN["swir22"] + REFLECTANCE_SPREAD["swir22"] * z], dim=1
    )
    batch = pixels, torch.ones(2, 6), torch.ones(2, 12, 12)
    adapted = apply(encoder, "frozen", bands)
    index = [bands.index(band) for band in encoder.config.bands]
    frozen = encoder(pixels[:, index], torch.ones(2, 3), torch.ones(2, 12, 12))["tokens"]
    torch.testing.assert_close(adapted(*batch)["tokens"], frozen, atol=1e-4, rtol=1e-4)


def test_a_rank_beyond_the_width_is_refused() -> None:
    with pytest.raises(InputError, match="exceeds the width"):
        apply(own_encoder(), "lora", BANDS, rank=25)


def test_filters_for_a_band_without_normalisation_are_refused_with_the_remedy() -> None:
    for case in ("own", "MAE", "Galileo"):
        with pytest.raises(InputError, match=r"w0705.*own.*DEFLECT"):
            apply(CASES[case].encoder(), "lora", ("blue", "green", "red", "w0705"), rank=3)
    assert apply(own_encoder(), "lora", ("blue", "green", "red", "w0705"), rank=3, inputs="own").n_trained > 0
