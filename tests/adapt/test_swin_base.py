"""Swin as a base: windows, their bias, tokens and codes merged between stages, and DEFLECT in its three forms."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codec.adapt import deflect
from codec.adapt.attention_forms import FORMS, Form
from codec.adapt.deflect import Deflected
from codec.adapt.registry import base_of
from codec.adapt.swin_base import SwinSite
from codec.errors import InputError, InternalError
from tests.adapt.small_bases import BANDS, SWITCHES, kicked
from tests.adapt.small_swin import PATCH, SIDE, adapted, batch_of, rgb_of, swin


def allowed(found: Deflected) -> list[Form]:
    return [form for form in FORMS if form != "stacked" or found._one_projection]


def test_a_base_is_its_encoder() -> None:
    encoder, batch = swin(), rgb_of(batch_of())
    base = base_of(encoder)
    mean, std = (torch.tensor(x)[:, None, None] for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    usable = batch[1][:, :, None, None] * batch[2][:, None] > 0.5
    z = torch.where(usable, ((batch[0] / 0.3558).clamp(0, 1) - mean) / std, 0.0)
    expected = encoder.forward_tokens(z)
    found = base(*batch)
    assert found.shape == (2, *expected.grid, base.width) == (2, 2, 2, 32)
    torch.testing.assert_close(found.flatten(1, 2), expected.patches, atol=2e-6, rtol=1e-5)
    assert found.std() > 0.1, "tokens near zero would agree with anything"


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
def test_the_readable_twin_starts_bit_for_bit_as_the_frozen_model(switches: dict[str, Any]) -> None:
    found = adapted(**switches).use("four-products")
    assert torch.equal(found(*batch_of())["tokens"], base_of(swin())(*rgb_of(batch_of())))


@pytest.mark.parametrize("form", ["folded", "stacked"])
@pytest.mark.parametrize(
    "settings", [{}, {"norm__where": "post", "norm__mlp": True}, {"norm__per": "head"}], ids=str
)
def test_folded_forms_start_with_a_scale_of_one(
    settings: dict[str, Any], form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    ratios: list[Tensor] = []
    exact = deflect.length_ratio

    def recorded(*arguments: Any) -> Tensor:
        ratios.append(exact(*arguments))
        return ratios[-1]

    monkeypatch.setattr(deflect, "length_ratio", recorded)
    tokens = adapted(**settings).use(form)(*batch_of())["tokens"]
    frozen = base_of(swin())(*rgb_of(batch_of()))
    # Stacked, the two branches are other rows of one product, and a product may round its rows differently.
    off = 0.0 if form == "folded" else 1e-6
    assert len(ratios) == 5 * (2 if "norm__mlp" in settings else 1)
    assert all(bool(((ratio - 1.0).abs() <= off).all()) for ratio in ratios)
    assert (tokens - frozen).abs().max() <= 1e-6 * frozen.abs().max()


@pytest.mark.parametrize("switches", SWITCHES.values(), ids=list(SWITCHES))
def test_forms_agree(switches: dict[str, Any]) -> None:
    found = kicked(adapted(double=True, **switches))
    batch = batch_of(torch.float64)
    with torch.no_grad():
        tokens = {form: found.use(form)(*batch)["tokens"] for form in allowed(found)}
        frozen = base_of(swin()).double()(*rgb_of(batch))
    assert (tokens["four-products"] - frozen).abs().max() > 0.1, "the codes must do something"
    for form, values in tokens.items():
        assert (values - tokens["four-products"]).abs().max() < 1e-12 * frozen.abs().max(), form


def seen_by(module: nn.Module, run: Any) -> Tensor:
    """What comes into a module at its first call while `run` runs."""
    found: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, arguments: found.append(arguments[0].detach()))
    with torch.no_grad():
        run()
    handle.remove()
    return found[0]


@pytest.mark.parametrize("block", [0, 1], ids=["straight windows", "shifted windows"])
def test_each_token_keeps_the_length_of_its_displacement_and_changes_direction(block: int) -> None:
    encoder = swin(depths=(2,), heads=(2,)).double()
    found = kicked(adapted(encoder, double=True, layers=(block,)), 1.0).use("four-products")
    batch = batch_of(torch.float64)
    path = f"layers.0.blocks.{block}.attn.proj"
    base = base_of(encoder)
    one = seen_by(found.base.encoder.get_submodule(path), lambda: found(*batch))
    two = seen_by(base.encoder.get_submodule(path), lambda: base(*rgb_of(batch)))
    assert one.shape == two.shape == (2, SIDE * SIDE, 8)
    assert bool(((one.norm(dim=-1) / two.norm(dim=-1) - 1).abs() < 1e-12).all())
    assert float(torch.cosine_similarity(one, two, dim=-1).min()) < 0.8


def test_the_frozen_run_of_a_base_that_learns_merges_tokens_by_the_frozen_maps() -> None:
    encoder = swin().double()
    settings = {"norm__ref": "z_P", "train_norms": True, "layers": (2,)}
    found = kicked(adapted(encoder, double=True, **settings)).use("four-products")
    batch, path = batch_of(torch.float64), "layers.1.blocks.0.attn.proj"
    base = base_of(encoder)
    one = seen_by(found.live.encoder.get_submodule(path), lambda: found(*batch))
    two = seen_by(base.encoder.get_submodule(path), lambda: base(*rgb_of(batch)))
    assert bool(((one.norm(dim=-1) / two.norm(dim=-1) - 1).abs() < 1e-12).all())


def sites(depths: tuple[int, ...] = (2, 2, 1)) -> list[SwinSite]:
    return list(base_of(swin(depths, (2, 2, 4)[: len(depths)])).sites())  # type: ignore[arg-type]


def test_the_code_of_a_merged_token_is_the_mean_of_its_four_or_of_those_that_are_there() -> None:
    code = torch.randn((2, SIDE * SIDE, 5), generator=torch.Generator().manual_seed(0)).double()
    found = sites()
    assert [site.merging is not None for site in found] == [False, False, True, False, True]
    assert found[1].enter_code(code) is code
    merged = found[2].enter_code(code).reshape(2, 4, 4, 5)
    grid = code.reshape(2, SIDE, SIDE, 5)
    for row in range(4):
        for column in range(4):
            four = grid[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            torch.testing.assert_close(merged[:, row, column], four.mean((1, 2)), atol=1e-15, rtol=0)


def near(row: int, column: int, shift: int) -> Tensor:
    """Tokens of the 7×7 that share the window of one: windows begin at `shift`, and what comes round is no neighbour."""
    of = torch.tensor([(i - shift) // 3 for i in range(SIDE)])
    return (of == of[row])[:, None] & (of == of[column])


@pytest.mark.parametrize("place", [(0, 0), (2, 3), (4, 1), (6, 6), (0, 5)], ids=str)
@pytest.mark.parametrize("block", [0, 1], ids=["straight windows", "shifted windows"])
@pytest.mark.parametrize("form", FORMS)
def test_codes_stay_in_the_window_of_their_patch(form: Form, block: int, place: tuple[int, int]) -> None:
    # One head, so that no token can be moved by another head's share alone.
    found = kicked(adapted(swin(depths=(2,), heads=(1,)), layers=(block,))).use(form)
    pixels, present, validity = batch_of()
    other = pixels.clone()
    rows, columns = (slice(n * PATCH, n * PATCH + PATCH) for n in place)
    other[:, BANDS.index("nir"), rows, columns] += 0.3
    path = f"layers.0.blocks.{block}.norm2"
    one, two = (
        seen_by(found.base.encoder.get_submodule(path), lambda given=given: found(given, present, validity))
        for given in (pixels, other)
    )
    moved = (one - two).abs().amax((0, 2)).reshape(SIDE, SIDE)
    inside = near(*place, shift=block)  # a window of 3 is shifted by 1
    assert bool((moved[inside] > 1e-5).all())
    assert bool((moved[~inside] < 1e-6).all())


@pytest.mark.parametrize("layer", range(5))
def test_codes_reach_every_block(layer: int) -> None:
    found = kicked(adapted(layers=(layer,)))
    pixels, present, validity = batch_of()
    other = pixels.clone()
    other[:, BANDS.index("nir"), 20:24, 8:12] += 0.3
    one, two = (found(given, present, validity)["tokens"] for given in (pixels, other))
    assert (one - two).abs().max() > 1e-4


def test_windows_are_known_only_after_projecting() -> None:
    with pytest.raises(InternalError, match="projected"):
        sites()[0].bias()


def test_a_rank_beyond_the_narrowest_adapted_block_is_refused() -> None:
    with pytest.raises(InputError, match="exceeds the width"):
        adapted(uatt__rank=9)
    assert adapted(uatt__rank=9, layers=(2,)).layers["2"].up_q.shape == (9, 16)


def test_pictures_that_are_no_squares_are_refused() -> None:
    base = base_of(swin())
    with pytest.raises(InputError, match="cut square tiles"):
        base(torch.zeros(1, 3, 28, 24), torch.ones(1, 3), torch.ones(1, 28, 24))
    with pytest.raises(InputError, match="multiples of 4"):
        base(torch.zeros(1, 3, 26, 26), torch.ones(1, 3), torch.ones(1, 26, 26))


def test_side_inputs_of_other_families_are_refused() -> None:
    with pytest.raises(InputError, match="gsd_m"):
        base_of(swin(), gsd_m=10.0)
    with pytest.raises(InputError, match="normalisation"):
        base_of(swin(), std=(1.0, 1.0))


def test_a_copy_for_learning_is_another_encoder_over_the_same_memory() -> None:
    first = base_of(swin())
    second = first.twin()
    kept = copy.deepcopy(first.encoder.state_dict())
    second.encoder.norm = nn.LayerNorm(32)
    assert all(torch.equal(value, kept[name]) for name, value in first.encoder.state_dict().items())
    weights = [base.encoder.get_parameter("patch_embed.proj.weight") for base in (first, second)]
    assert weights[0].data_ptr() == weights[1].data_ptr()
