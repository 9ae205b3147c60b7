"""The recipe's own parts against its paper and code (arXiv 2403.17886; figures in docs/reproduce_nec.md)."""

from __future__ import annotations

import math

import pytest
import torch
from small_nec import REPAIRED, needs_compressai, recipe, small, views

from codec.models.bands import RGB_BANDS
from codec.nec.encoders import MaeVit
from codec.nec.mae import MaskedAutoencoder
from codec.nec.patches import choose_visible
from codec.nec.published import Nec2024, coded_part, patch_tokens, terms
from codec.nec.recipe import LARGEST_DENSITY_RATE, load_recipe
from codec.nec.samples import HELD_BACK, Samples

pytestmark = needs_compressai


@pytest.fixture(scope="module")
def vit_base() -> Nec2024:
    vit = MaeVit(RGB_BANDS, tile=224, patch=16, width=768, depth=12, heads=12)
    model = Nec2024(MaskedAutoencoder(vit))
    model.train_set()
    return model


def test_the_trained_share_of_vit_b_is_the_papers_ten_percent(vit_base: Nec2024) -> None:
    """Counted in the published code: 11.67 M of 111.70 M, 10.4 %."""
    sizes = {name: p.numel() for name, p in vit_base.named_parameters()}
    trained = sum(sizes[name] for name in vit_base.trained())
    assert trained / 1e6 == pytest.approx(11.67, abs=0.01)
    assert sum(sizes.values()) / 1e6 == pytest.approx(111.70, abs=0.02)
    assert vit_base.share() == pytest.approx(0.104, abs=0.0005)


def test_the_trained_parts_are_those_of_the_published_code(vit_base: Nec2024) -> None:
    parts = {
        "autoencoder.encoder.patch_embed",
        "autoencoder.encoder.cls_token",
        "autoencoder.encoder.blocks.11",
        "autoencoder.encoder.norm",
        "autoencoder.decoder.mask_token",
        "autoencoder.decoder.embed",
        "autoencoder.decoder.blocks.0",
        "autoencoder.decoder.norm",
        "autoencoder.decoder.pred",
        "bottleneck.core.matrices",
        "bottleneck.core.biases",
        "bottleneck.core.factors",
        "bottleneck.core.quantiles",
    }
    found = {next((part for part in parts if name.startswith(part)), name) for name in vit_base.trained()}
    assert found == parts


def step_of(class_token: bool, **changes: object) -> tuple[Nec2024, object]:
    model = Nec2024(small(class_token))
    samples = Samples.of(views(), model.encoder, 8)
    tiles, _ = samples.batch(0, 0, 8)
    keep = choose_visible(8, 64, 0.75, torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    unmasked = bool(changes.pop("unmasked", False))
    return model, terms(model, tiles, keep, recipe(**changes), unmasked=unmasked)


def test_the_published_rate_is_of_the_whole_batch_and_the_repaired_one_of_a_token() -> None:
    """Defect 4: 8 tiles × 17 tokens × 32 channels against 32."""
    _, published = step_of(True, rate__weight=1e-9)
    _, repaired = step_of(True, rate__weight=1e-9, switches__units="per token")
    bits = float(published.bits.detach())
    assert float(published.loss.detach()) == pytest.approx(bits * 8 * 17 * 32, rel=1e-4)
    assert float(repaired.loss.detach()) == pytest.approx(bits * 32, rel=1e-4)


def test_the_loss_is_weight_times_distortion_plus_rate() -> None:
    _, small_weight = step_of(True, rate__weight=1e-9)
    _, found = step_of(True, rate__weight=500.0)
    assert float(found.loss.detach()) == pytest.approx(
        500 * float(found.distortion.detach()) + float(small_weight.loss.detach()), rel=1e-5
    )


def test_a_class_token_that_is_left_out_costs_nothing_and_tells_nothing() -> None:
    y = torch.randn(2, 17, 32)
    coded = coded_part(y, 1, recipe(**REPAIRED).switches)
    assert torch.equal(coded, y[:, 1:])
    whole = coded_part(y, 1, recipe().switches)
    assert torch.equal(whole, y)
    assert torch.equal(patch_tokens(whole, 1, recipe().switches), y[:, 1:])
    assert torch.equal(patch_tokens(coded, 1, recipe(**REPAIRED).switches), y[:, 1:])


def test_the_class_token_does_not_reach_the_decoder_when_it_is_not_coded() -> None:
    model, found = step_of(True, **REPAIRED, rate__weight=1e6)
    before = float(found.distortion.detach())  # type: ignore[attr-defined]
    with torch.no_grad():
        norm = model.autoencoder.encoder.norm
        handle = norm.register_forward_hook(
            lambda module, inputs, y: torch.cat([y[:, :1] + 100.0, y[:, 1:]], dim=1)
        )
        tiles, _ = Samples.of(views(), model.encoder, 8).batch(0, 0, 8)
        keep = choose_visible(8, 64, 0.75, torch.Generator().manual_seed(1))
        torch.manual_seed(2)
        again = terms(model, tiles, keep, recipe(**REPAIRED, rate__weight=1e6), unmasked=False)
        handle.remove()
    assert float(again.distortion) == pytest.approx(before, rel=1e-6)


def test_the_repaired_rate_ends_on_all_tokens() -> None:
    """Defect 3: the mean over 64 tokens is not the mean over the 16 visible ones; the distortion is the same."""
    _, masked = step_of(False, **REPAIRED)
    _, whole = step_of(False, **REPAIRED, unmasked=True)
    assert float(masked.distortion.detach()) == pytest.approx(float(whole.distortion.detach()), rel=1e-6)
    assert float(masked.bits.detach()) != float(whole.bits.detach())


def test_the_density_of_the_repaired_recipe_is_float32_under_autocast() -> None:
    """Defect 9: in half precision the same step gives other bits."""
    exact = step_of(False, **REPAIRED)[1].bits
    kept = step_of(False, **REPAIRED, precision="bf16")[1].bits
    coarse = step_of(False, **{**REPAIRED, "switches__density": "autocast"}, precision="bf16")[1].bits
    errors = [abs(float(x.detach()) / float(exact.detach()) - 1) for x in (kept, coarse)]
    assert errors[0] < 0.01 < math.inf
    assert errors[0] < errors[1]


def test_images_kept_back_are_not_trained_on() -> None:
    found = Samples.of(views(), small().of, 8)
    images = views().image
    assert not set(images[found.training]) & set(images[found.held])
    assert set(images[found.held] % HELD_BACK) == {0}


def test_a_step_draws_the_same_views_whenever_it_is_asked() -> None:
    found = Samples.of(views(), small().of, 8)
    a, b, other = found.batch(1, 7, 4)[0], found.batch(1, 7, 4)[0], found.batch(1, 8, 4)[0]
    assert torch.equal(a.pixels, b.pixels)
    assert not torch.equal(a.pixels, other.pixels)
    assert not torch.equal(a.pixels, found.batch(1, 7, 4, rank=1)[0].pixels)


def test_the_shipped_recipes_differ_in_the_five_defects_alone() -> None:
    published, repaired = load_recipe("nec-2024"), load_recipe("nec-2024-repaired")
    assert published.switches.model_dump().keys() == {
        "class_token", "finish_unmasked", "units", "quantiles", "density"
    }  # fmt: skip
    assert all(
        getattr(published.switches, name) != getattr(repaired.switches, name)
        for name in type(published.switches).model_fields
    )
    assert published.schedule == repaired.schedule
    assert published.start == repaired.start
    # Published: 0.75, AdamW at 6e-4 with weight decay 0.01 (the stated 0.05 does not arrive).
    schedule = published.schedule
    assert (schedule.mask, schedule.peak_rate, schedule.weight_decay) == (0.75, 6e-4, 0.01)


def test_a_shorter_run_lets_the_density_go_as_far_as_the_published_one() -> None:
    """Half a cosine sums to half its peak a step: 19.3 k · 6e-4 / 2."""
    schedule = recipe(schedule__steps=1000).schedule
    assert recipe(schedule__steps=10).schedule.density_rate == LARGEST_DENSITY_RATE
    assert schedule.density_rate * 1000 == pytest.approx(19_300 * 6e-4)
    assert recipe(schedule__steps=100_000).schedule.density_rate == 6e-4
