"""The layout files against the modules at full size (without memory), and against themselves."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from foreign_files import published

from codec.errors import InputError
from codec.models.foreign import build, layout_names, read_layout
from codec.models.foreign.page import table

NAMES = layout_names()


def test_every_asked_family_has_its_layouts() -> None:
    assert set(NAMES) == {
        "mae_vit_base_patch16",
        "mae_vit_large_patch16",
        "timm_vit_base_patch16",
        "rvsa_millionaid_mae_vit_base",
        "nec_adapter_vit_base",
        *(
            f"prithvi_eo_{model}"
            for model in ("v1_100", "v2_tiny_tl", "v2_100_tl", "v2_300", "v2_300_tl", "v2_600")
        ),
        "scalemae_vit_large",
        "satmae_fmow_rgb_vit_large",
        "satmae_sentinel_group_vit_base",
        "satmae_sentinel_group_vit_large",
        "satmae_temporal_vit_large",
        "cross_scale_mae_baseline_vit_base",
        "cross_scale_mae_MsLdCeCd_vit_base",
        "dino_mc_vit_small_patch8",
        *(f"galileo_{size}_encoder" for size in ("nano", "tiny", "base")),
        "swin_base_patch4_window7_224_22k",
        "simmim_swin_base_img192_window6",
        "gfm_swin_base",
        "gfm_finetune_ben_img128_window4",
        "gfm_finetune_ucm_img256_window8",
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_files_own_totals_hold_after_expansion(name: str) -> None:
    layout, data = read_layout(name), published(name)
    assert layout.name == name
    assert len(layout.keys) == data["n_tensors"]
    assert sum(math.prod(shape) for shape in layout.keys.values()) == data["n_params"]
    assert layout.commit
    assert "/" in layout.repository


@pytest.mark.parametrize("name", NAMES)
def test_the_full_size_module_has_the_layouts_tensors_and_no_other(name: str) -> None:
    layout = read_layout(name)
    for decoder in {False, bool(layout.decoder)}:
        with torch.device("meta"):
            encoder = build(layout, decoder=decoder)
        have = {key: tuple(value.shape) for key, value in encoder.state_dict().items()}
        want = {layout.own(key, decoder=decoder): shape for key, shape in layout.keys.items()}
        want.pop(None, None)
        assert have == want


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_loaded_is_no_part_of_the_encoder_by_its_name(name: str) -> None:
    layout = read_layout(name)
    skipped = [key for key in layout.keys if layout.own(key) is None]
    # The published encoders use none of these: decoders, heads, other modalities or models, positions that are recomputed.
    parts = (
        "decoder",
        "mask_token",
        "head.",
        "bottleneck.",
        "predictor.",
        "fpn.",
        "fcn.",
        "pos_emb",
        "teacher.",
        "projector.",
    )
    modalities = (
        "sp_channel",
        "t_channel",
        "st_channel",
        ".S1.",
        "space_embed.",
        "time_embed.",
        "static_embed.",
    )
    assert all(any(part in key for part in (*parts, *modalities)) for key in skipped)
    assert not [
        key for key in skipped if key.startswith(("blocks.", "encoder.blocks.", "patch_embed", "norm."))
    ]
    recomputed = [key for key in skipped if key.removeprefix("encoder.") == "pos_embed"]
    assert bool(recomputed) == (layout.family in ("prithvi", "scale_mae"))
    for prefix in (*layout.skip, *layout.decoder, *(p for p in layout.rename if p)):
        assert any(key.startswith(prefix) for key in layout.keys), f"{prefix} fits no key"


@pytest.mark.parametrize("name", NAMES)
def test_heads_divide_the_width_and_bands_fit_the_patch_filters(name: str) -> None:
    layout = read_layout(name)
    with torch.device("meta"):
        encoder = build(layout)
    assert encoder.filters().shape[1] == len(encoder.filter_bands())
    assert {"red", "green", "blue"} <= set(encoder.filter_bands())
    for block in encoder.blocks:
        assert block.norm1.weight.numel() % layout.heads == 0
    if layout.input:
        assert len(layout.input["mean"]) == len(layout.input["std"]) == len(layout.bands)


def test_an_unknown_layout_is_refused_with_the_list() -> None:
    with pytest.raises(InputError, match="mae_vit_base_patch16"):
        read_layout("mae_vit_bass")
    with pytest.raises(InputError, match="layout"):
        read_layout("../layouts/mae_vit_base_patch16")


def test_a_decoder_is_offered_only_where_the_layout_names_one() -> None:
    with torch.device("meta"), pytest.raises(InputError, match="no decoder"):
        build(read_layout("prithvi_eo_v2_300"), decoder=True)


def test_the_page_lists_the_layouts_as_they_are(root: Path) -> None:
    page = (root / "docs" / "foreign.md").read_text(encoding="utf-8")
    assert table() in page, "run python -m codec.models.foreign.page docs/foreign.md"
