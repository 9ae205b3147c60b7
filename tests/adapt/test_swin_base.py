"""Swin as a base: windows, their bias, tokens merged between stages; with every method, and DEFLECT in its three forms.

The one here has odd grids: 7×7 patches in windows of 3 (padded, and shifted in every second block), then 4×4, then 2×2.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from codec.adapt import apply, deflect
from codec.adapt.adapted import Adapted
from codec.adapt.attention_forms import FORMS, Form
from codec.adapt.base import Base
from codec.adapt.deflect import Deflected
from codec.adapt.patch_statistics import PatchStatistics
from codec.adapt.registry import base_of
from codec.adapt.swin_base import SwinSite
from codec.adapt.types import METHODS
from codec.errors import InputError, InternalError
from codec.models.foreign import build, read_layout
from codec.models.foreign.swin import SwinEncoder
from tests.adapt.small_bases import BANDS, SWITCHES, LoopStatistics, kicked, random_weights
from tests.models.foreign_files import swin_layout

OWN = ("red", "green", "blue")
SIDE, PATCH = 7, 4  # patches a side of a picture, pixels a side of a patch
Batch = tuple[Tensor, Tensor, Tensor]


def swin(depths: tuple[int, ...] = (2, 2, 1), heads: tuple[int, ...] = (2, 2, 4)) -> SwinEncoder:
    layout = swin_layout(depths=depths, heads=heads, width=8, window=3, patch=PATCH, bands=3)
    encoder = random_weights(build(layout), 7)
    assert isinstance(encoder, SwinEncoder)
    return encoder


class MeanAndSpread(nn.Module):
    """Of each band over the valid pixels of a patch; stands in for the real statistics."""

    n_features = 2 * len(BANDS)

    def forward(self, pixels: Tensor, present: Tensor, validity: Tensor) -> Tensor:
        def patches(x: Tensor) -> Tensor:
            return x.unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).flatten(4)  # N×C×h×w×P²

        x, valid = patches(pixels), patches(validity[:, None] * present[:, :, None, None])
        count = valid.sum(-1).clamp(min=1.0)
        mean = (x * valid).sum(-1) / count
        spread = (((x - mean[..., None]) * valid).square().sum(-1) / count).sqrt()
        return torch.cat([10 * mean - 2, 10 * spread - 1], dim=1).permute(0, 2, 3, 1)


def batch_of(dtype: torch.dtype = torch.float32) -> Batch:
    """Two pictures of 28×28 pixels; some pixels invalid, one patch wholly so, one further band absent."""
    pixels = torch.rand((2, len(BANDS), 28, 28), generator=torch.Generator().manual_seed(1)) * 0.4
    present, validity = torch.ones(2, len(BANDS)), torch.ones(2, 28, 28)
    present[0, 3] = 0.0
    validity[0, :4, 4:8] = 0.0
    validity[1, 5:7, 2:9] = 0.0
    return pixels.to(dtype), present.to(dtype), validity.to(dtype)


def rgb_of(batch: Batch) -> Batch:
    index = [BANDS.index(band) for band in OWN]
    return batch[0][:, index], batch[1][:, index], batch[2]


def adapted(encoder: SwinEncoder | None = None, *, double: bool = False, **settings: Any) -> Deflected:
    given = {"statistics": MeanAndSpread(), "uatt__rank": 5, "layers": "all", **settings}
    found = apply(encoder or swin(), "deflect", BANDS, **given)
    assert isinstance(found, Deflected)
    return found.double() if double else found


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


def train(found: Adapted, steps: int) -> None:
    target = torch.randn((2, 2, 2, found.width), generator=torch.Generator().manual_seed(3))
    optimiser = torch.optim.AdamW(found.trained().values(), lr=1e-2, weight_decay=0.0)
    for _ in range(steps):
        optimiser.zero_grad()
        (found(*batch_of())["tokens"] - target).square().mean().backward()
        optimiser.step()


METHOD_SETTINGS: dict[str, dict[str, Any]] = {
    "deflect": {"uatt__rank": 5, "layers": "all"},
    "lora": {"rank": 3},
    "slr": {"rank": 3},
    "full": {"train_stem": True},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_trained_tensor_moves_and_the_base_stays_as_it_was_bit_for_bit(method: Any) -> None:
    encoder = swin()
    weights = {name: value.clone() for name, value in encoder.state_dict().items()}
    statistics = {"statistics": MeanAndSpread()} if method == "deflect" else {}
    found = apply(encoder, method, BANDS, **statistics, **METHOD_SETTINGS.get(method, {}))
    before = found.state()
    if method != "frozen":
        train(found, 3)
        assert all(not torch.equal(value, before[name]) for name, value in found.trained().items())
    assert len(found.trained()) == {"frozen": 0, "deflect": 1 + 5 * 3}.get(method, len(found.trained()))
    assert all(torch.equal(value, weights[name]) for name, value in encoder.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in encoder.parameters())


@pytest.mark.parametrize("method", ["lora", "slr", "norm", "bitfit", "full"])
def test_a_merged_encoder_does_what_the_adapted_one_did(method: Any) -> None:
    found = kicked(apply(swin(), method, BANDS, **METHOD_SETTINGS.get(method, {})), 0.1)
    merged = found.merged()
    assert isinstance(merged, SwinEncoder)
    assert merged.layout.bands == BANDS
    batch = batch_of()
    z = found.live.scaling(*batch)
    tokens = found(*batch)["tokens"]
    torch.testing.assert_close(merged(z), tokens.flatten(1, 2), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(tokens, apply(swin(), "frozen", BANDS)(*batch)["tokens"], atol=1e-3)


@pytest.mark.long
def test_deflect_on_swin_exports_to_operators_that_fly(tmp_path: Path) -> None:
    from tests.adapt import small_bases
    from tests.adapt.test_adapted_export import compare

    # 3×3 patches in windows of 2: padded and shifted, then merged with an odd edge.
    layout = swin_layout(depths=(2, 1), heads=(2, 2), width=8, window=2, patch=PATCH, bands=3)
    found = apply(
        random_weights(build(layout), 7),
        "deflect",
        BANDS,
        statistics=PatchStatistics(BANDS, PATCH, indices=()),
        uatt__rank=5,
        layers="all",
    )
    found.fit_statistics([small_bases.batch_of(4, seed=8)])  # type: ignore[operator]
    compare(kicked(found), tmp_path)


# Swin-B: widths of its 24 blocks, which together are 12,032 wide; merging norms are over four tokens each.
BLOCKS = (128, 128, 256, 256, *(512,) * 18, 1024, 1024)
MERGING = 4 * (128 + 256 + 512)
TEN = ("blue", "green", "red", "rededge071", "rededge075", "rededge078", "nir", "nir08", "swir16", "swir22")


def swin_b() -> Base:
    with torch.device("meta"):
        return base_of(build(read_layout("gfm_swin_base")))


def test_the_base_is_the_published_swin_b() -> None:
    tables = 11 * 11 * sum(d // 32 for d in BLOCKS)
    blocks = sum(12 * d * d + 13 * d for d in BLOCKS) + tables
    merging = sum(8 * d * d for d in (128, 256, 512)) + 2 * MERGING
    expected = 128 * 3 * 16 + 3 * 128 + blocks + merging + 2 * 1024
    assert sum(p.numel() for p in swin_b().encoder.parameters()) == expected
    # GFM's student as its paper's code trains it: with a mask token, a decoder of 32×32 pixels and a map to the teacher.
    assert expected + 128 + 1025 * 32 * 32 * 3 + 1025 * 1024 == 90_923_704


@pytest.mark.parametrize(
    ("method", "numbers"),
    [
        ("frozen", 0),
        ("norm", 2 * 128 + 4 * sum(BLOCKS) + 2 * MERGING + 2 * 1024),
        ("bitfit", 128 + 11 * sum(BLOCKS) + MERGING + 1024),
        ("lora", 16 * 16 * sum(BLOCKS)),
        ("slr", (16 * 16 + 16) * sum(BLOCKS)),
        ("deflect", 32 * 16 + 3 * 16 * sum(BLOCKS[:12])),
    ],
)
def test_methods_train_the_numbers_that_arithmetic_says(method: Any, numbers: int) -> None:
    settings = {"statistics": LoopStatistics(16, PATCH)} if method == "deflect" else {}
    assert apply(swin_b(), method, TEN, **settings).n_trained == numbers


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
