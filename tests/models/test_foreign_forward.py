"""Every family against a forward pass in numpy, on random weights in the published key layout at small size.

So the mapping of names to mathematics is tested, not only the shapes. Both sides in float64; 1e-9 of unit-sized tokens.
"""

from __future__ import annotations

from pathlib import Path

import foreign_numpy
import numpy as np
import pytest
import torch
from foreign_files import HEADS, PATCH, WIDTH, published, small, weights, write

from codec.errors import InputError
from codec.models.foreign import Tokens, load_foreign
from codec.models.foreign.encoder import TrunkEncoder, VitEncoder

CROSS = {"positions": "encoder_pos_embed", "blocks": "encoder.", "norm": "encoder_norm."}
VITS = [
    "mae_vit_base_patch16",
    "mae_vit_large_patch16",
    "timm_vit_base_patch16",
    "rvsa_millionaid_mae_vit_base",
    "nec_adapter_vit_base",
    "satmae_fmow_rgb_vit_large",
    "cross_scale_mae_baseline_vit_base",
    "cross_scale_mae_MsLdCeCd_vit_base",
    "dino_mc_vit_small_patch8",
]
PRITHVIS = {  # name → prefix of the encoder's keys
    "prithvi_eo_v1_100": "",
    "prithvi_eo_v2_tiny_tl": "encoder.",
    "prithvi_eo_v2_100_tl": "encoder.",
    "prithvi_eo_v2_300": "encoder.",
    "prithvi_eo_v2_300_tl": "encoder.",
    "prithvi_eo_v2_600": "encoder.",
}


def loaded(name: str, folder: Path, **options: bool) -> tuple[TrunkEncoder, foreign_numpy.State]:
    layout = small(name)
    state = weights(layout)
    encoder = load_foreign(layout, write(layout, state, folder / "file.pth"), **options).double()
    assert isinstance(encoder, TrunkEncoder)
    return encoder, {key: value.double().numpy() for key, value in state.items()}


def agree(found: Tokens, expected: list[np.ndarray]) -> None:
    sequence = np.stack(expected)
    assert found.class_token is not None
    np.testing.assert_allclose(found.class_token.numpy(), sequence[:, 0], atol=1e-9)
    np.testing.assert_allclose(found.patches.numpy(), sequence[:, 1:], atol=1e-9)
    assert np.abs(sequence).max() > 0.5, "tokens near zero would agree with anything"
    assert int(np.prod(found.grid)) == found.patches.shape[1]


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape)


@pytest.mark.parametrize("size", [(12, 12), (20, 16)], ids=["grid of the table", "resized table"])
@pytest.mark.parametrize("name", VITS)
def test_plain_vits_agree_with_numpy(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    encoder, state = loaded(name, tmp_path)
    images = pixels(2, 3, *size)
    names = CROSS if name.startswith("cross") else {}
    extra = 0.1 if name.startswith("dino") else 0.0
    expected = [foreign_numpy.vit(state, image, HEADS, 1e-6, **names, extra=extra) for image in images]
    agree(encoder.forward_tokens(torch.from_numpy(images)), expected)


@pytest.mark.parametrize("name", [name for name in VITS if "decoder" in published(name)])
def test_masked_encoder_and_decoder_agree_with_numpy(name: str, tmp_path: Path) -> None:
    encoder, state = loaded(name, tmp_path, decoder=True)
    assert isinstance(encoder, VitEncoder)
    assert encoder.decoder is not None
    images, keep = pixels(2, 3, 12, 12), np.array([[7, 0, 3], [2, 8, 4]])
    cross = name.startswith("cross")
    names = CROSS if cross else {}
    for i in range(2):
        expected = foreign_numpy.vit(state, images[i], HEADS, 1e-6, **names, keep=keep[i])
        found = encoder.forward_visible(
            torch.from_numpy(images[i : i + 1]), torch.from_numpy(keep[i : i + 1])
        )
        np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-9)
        blocks = "decoder." if cross else "decoder_blocks."
        rebuilt = foreign_numpy.mae_decoder(state, expected, keep[i], 3, 1e-6, blocks)
        pixels_found = encoder.decoder(found, torch.from_numpy(keep[i : i + 1]))
        np.testing.assert_allclose(pixels_found[0].numpy(), rebuilt, atol=1e-9)


def test_scale_mae_agrees_with_numpy_at_each_ground_sample_distance(tmp_path: Path) -> None:
    encoder, state = loaded("scalemae_vit_large", tmp_path)
    images, gsd_m = pixels(2, 3, 12, 20), [0.3, 10.0]
    expected = [
        foreign_numpy.scale_mae(state, image, g, HEADS, 1e-6) for image, g in zip(images, gsd_m, strict=True)
    ]
    agree(
        encoder.forward_tokens(torch.from_numpy(images), gsd_m=torch.tensor(gsd_m, dtype=torch.float64)),
        expected,
    )
    single = encoder.forward_tokens(torch.from_numpy(images), gsd_m=10.0)
    np.testing.assert_allclose(single.patches[1].numpy(), expected[1][1:], atol=1e-9)


@pytest.mark.parametrize("bad", [None, 0.0, -1.0, float("nan"), torch.ones(3), torch.ones(2, 1)])
def test_scale_mae_without_a_ground_sample_distance_is_refused(bad: object, tmp_path: Path) -> None:
    encoder, _ = loaded("scalemae_vit_large", tmp_path)
    side = {} if bad is None else {"gsd_m": bad}
    with pytest.raises(InputError, match="metres per pixel"):
        encoder.forward_tokens(torch.from_numpy(pixels(2, 3, 12, 12)), **side)


@pytest.mark.parametrize("size", [(12, 12), (8, 16)], ids=["grid of the table", "resized table"])
@pytest.mark.parametrize("name", ["satmae_sentinel_group_vit_base", "satmae_sentinel_group_vit_large"])
def test_satmae_channel_groups_agree_with_numpy(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    encoder, state = loaded(name, tmp_path)
    images = pixels(2, 10, *size)
    # Sentinel-2 B2 B3 B4 B8 | B5 B6 B7 B8A | B11 B12 of the ten bands B2 … B8, B8A, B11, B12.
    groups = ((0, 1, 2, 6), (3, 4, 5, 7), (8, 9))
    expected = [foreign_numpy.satmae_group(state, image, groups, HEADS, 1e-6) for image in images]
    found = encoder.forward_tokens(torch.from_numpy(images))
    agree(found, expected)
    assert found.grid == (3, size[0] // PATCH, size[1] // PATCH)


@pytest.mark.parametrize("size", [(12, 12), (8, 16)], ids=["grid of the table", "resized table"])
def test_satmae_series_agree_with_numpy(size: tuple[int, int], tmp_path: Path) -> None:
    encoder, state = loaded("satmae_temporal_vit_large", tmp_path)
    images = pixels(2, 3, 3, *size)
    times = np.array([[[14, 0, 10], [15, 6, 11], [16, 11, 9]], [[3, 2, 1], [3, 2, 1], [9, 5, 23]]], float)
    expected = [
        foreign_numpy.satmae_temporal(state, image, time, HEADS, 1e-6)
        for image, time in zip(images, times, strict=True)
    ]
    found = encoder.forward_tokens(torch.from_numpy(images), timestamps=torch.from_numpy(times))
    agree(found, expected)
    assert found.grid == (3, size[0] // PATCH, size[1] // PATCH)
    with pytest.raises(InputError, match="year"):
        encoder.forward_tokens(torch.from_numpy(images))


@pytest.mark.parametrize("name", PRITHVIS)
def test_prithvi_agrees_with_numpy_with_and_without_date_and_place(name: str, tmp_path: Path) -> None:
    encoder, state = loaded(name, tmp_path)
    images = pixels(2, 6, 2, 12, 8)
    dates = np.array([[[2020, 33], [2021, 200]], [[2017, 1], [2018, 365]]], float)
    places = np.array([[-33.5, 151.2], [48.1, -3.0]])
    chosen = [(None, None)]
    if "_tl" in name:
        chosen += [(dates, None), (None, places), (dates, places)]
    for date, place in chosen:
        expected = [
            foreign_numpy.prithvi(
                state,
                images[i],
                HEADS,
                1e-5,
                PRITHVIS[name],
                None if date is None else date[i],
                None if place is None else place[i],
            )
            for i in range(2)
        ]
        side = {"dates": date, "places": place}
        given = {key: torch.from_numpy(value) for key, value in side.items() if value is not None}
        found = encoder.forward_tokens(torch.from_numpy(images), **given)
        agree(found, expected)
        assert found.grid == (2, 3, 2)
    if "_tl" not in name:
        with pytest.raises(InputError, match="takes no dates"):
            encoder.forward_tokens(torch.from_numpy(images), dates=torch.from_numpy(dates))


@pytest.mark.parametrize("name", [*VITS, *PRITHVIS, "scalemae_vit_large", "satmae_sentinel_group_vit_base"])
def test_rgb_filters_come_in_the_order_red_green_blue(name: str, tmp_path: Path) -> None:
    encoder, state = loaded(name, tmp_path)
    # Order of the published inputs: plain RGB, or blue, green, red first (HLS, Sentinel-2).
    blue_first = name.startswith(("prithvi", "satmae_sentinel"))
    key = next(k for k in state if k.endswith("proj.weight") and "patch_embed" in k)
    weight = state[key].reshape(WIDTH, -1, PATCH, PATCH)[:, [2, 1, 0] if blue_first else [0, 1, 2]]
    np.testing.assert_array_equal(encoder.rgb_filters().numpy(), weight)
    qkv = encoder.blocks[1].attn.qkv.weight.numpy()
    np.testing.assert_array_equal(
        qkv, state[next(k for k in state if k.endswith("1.attn.qkv.weight") and "decoder" not in k)]
    )


@pytest.mark.parametrize(
    "shape", [(2, 3, 12), (2, 4, 12, 12), (2, 3, 13, 12), (2, 3, 12, 10), (2, 3, 0, 12)], ids=str
)
def test_pixels_that_do_not_fit_are_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    encoder, _ = loaded("mae_vit_base_patch16", tmp_path)
    with pytest.raises(InputError, match="multiples of 4"):
        encoder.forward_tokens(torch.zeros(shape, dtype=torch.float64))


@pytest.mark.parametrize("keep", [[[0, 1, 9]], [[0, 1]], [[0, 1, 2], [0, 1, 2]]], ids=str)
def test_the_decoder_refuses_patches_that_do_not_fit(keep: list[list[int]], tmp_path: Path) -> None:
    encoder, _ = loaded("mae_vit_base_patch16", tmp_path, decoder=True)
    assert encoder.decoder is not None
    sequence = torch.zeros(1, 4, WIDTH, dtype=torch.float64)
    with pytest.raises(InputError, match="kept patches"):
        encoder.decoder(sequence, torch.tensor(keep))
