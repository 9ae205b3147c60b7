"""Encoders shown a part of a tile, and the decoder behind them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small_nec import small, views

from codec.errors import InputError
from codec.models.bands import RGB_BANDS, S2_NANO_BANDS
from codec.models.foreign.encoder import VitEncoder
from codec.models.foreign.layout import read_layout
from codec.models.galileo import TEACHER_BANDS, GalileoTeacher
from codec.models.vit import Encoder
from codec.nec.encoders import GalileoMasked, MaeVit, OurEncoder, open_masked
from codec.nec.mae import DecoderShape, MaskedAutoencoder, masked_error
from codec.nec.patches import Tiles, choose_visible, cut, n_visible, take, tiles_of


def some(n: int = 3, names: tuple[str, ...] = S2_NANO_BANDS, side: int = 64, patch: int = 8) -> Tiles:
    generator = torch.Generator().manual_seed(n)
    pixels = torch.rand((n, len(names), side, side), generator=generator) * 0.5
    return tiles_of(pixels, torch.ones(n, len(names)), torch.ones(n, side, side), names, patch)


def test_patches_are_cut_in_raster_order() -> None:
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert cut(image, 2)[0, :, 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_a_quarter_of_the_patches_is_visible_as_published() -> None:
    assert n_visible(196, 0.75) == 49  # MAE at 224 px, patch 16
    keep = choose_visible(50, 64, 0.75, torch.Generator().manual_seed(0))
    assert keep.shape == (50, 16)
    assert all(len(set(row)) == 16 and row == sorted(row) for row in keep.tolist())
    # Every place is drawn about equally often: 50·16/64 = 12.5 of each.
    assert torch.bincount(keep.flatten(), minlength=64).float().mean() == 12.5


def test_what_stands_in_absent_bands_and_invalid_pixels_does_not_matter() -> None:
    pixels, bands, valid = (
        torch.rand(2, 3, 16, 16),
        torch.tensor([[1.0, 0, 1], [1, 1, 1]]),
        torch.ones(2, 16, 16),
    )
    valid[1, :4] = 0
    other = pixels.clone()
    other[0, 1], other[1, :, :4] = float("nan"), 9.0
    a, b = (tiles_of(x, bands, valid, RGB_BANDS, 8).patches for x in (pixels, other))
    assert torch.equal(a, b)


def test_our_encoder_unmasked_is_the_model_itself() -> None:
    torch.manual_seed(1)
    model, tiles = Encoder().eval(), some()
    ours = OurEncoder(model).sequence(tiles, None)
    valid = torch.ones(len(tiles), 64, 64)
    wanted = model(tiles.pixels, tiles.bands, valid)["tokens"].flatten(1, 2)
    torch.testing.assert_close(ours, wanted, atol=1e-3, rtol=1e-3)


def test_galileo_unmasked_is_the_teacher_itself() -> None:
    torch.manual_seed(1)
    teacher = GalileoTeacher(width=32, depth=2, heads=4)
    for parameter in teacher.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    tiles = some(names=TEACHER_BANDS)
    wanted = teacher(tiles.pixels, TEACHER_BANDS).flatten(1, 2)
    torch.testing.assert_close(GalileoMasked(teacher).sequence(tiles, None), wanted)


def test_vit_mae_gives_what_the_foreign_loader_gives_from_the_same_weights() -> None:
    """The loader's encoder is written from the published repositories and tested against numpy."""
    layout = read_layout("mae_vit_base_patch16")
    torch.manual_seed(0)
    ours = MaeVit(RGB_BANDS, tile=224, patch=16, width=768, depth=12, heads=12)
    theirs = VitEncoder(layout)
    theirs.load_state_dict(ours.state_dict())
    tiles = some(1, RGB_BANDS, 224, 16)
    keep = choose_visible(1, 196, 0.75, torch.Generator().manual_seed(2))
    image = tiles.patches.reshape(1, 14, 14, 3, 16, 16).permute(0, 3, 1, 4, 2, 5).reshape(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(ours.sequence(tiles, None)[:, 1:], theirs(image), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(
            ours.sequence(tiles, keep), theirs.forward_visible(image, keep), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("class_token", [True, False])
def test_hidden_patches_do_not_reach_the_encoder(class_token: bool) -> None:
    model, tiles = small(class_token), some()
    keep = choose_visible(3, 64, 0.75, torch.Generator().manual_seed(4))
    changed = tiles.patches.clone()
    hidden = torch.ones(3, 64, dtype=torch.bool).scatter(1, keep, False)
    changed[hidden] += 1.0
    other = Tiles(tiles.pixels, tiles.bands, tiles.valid, changed)
    a, b = model.of.sequence(tiles, keep), model.of.sequence(other, keep)
    assert a.shape == (3, 16 + class_token, 32)
    assert torch.equal(a, b)
    assert model.decoder(a, keep).shape == (3, 64, 12 * 64)


def test_visible_tokens_keep_their_places_in_the_decoder() -> None:
    model = small()
    keep = torch.tensor([[5, 40]])
    tokens = torch.randn(1, 3, 32, generator=torch.Generator().manual_seed(0))
    placed, decoder = model.decoder.placed(tokens, keep)[0], model.decoder
    empty = decoder.mask_token[0, 0] + decoder.pos_embed[0, 1:]
    there = decoder.embed(tokens)[0]
    for place, wanted in ((5, there[1]), (40, there[2])):
        torch.testing.assert_close(placed[1 + place], wanted + decoder.pos_embed[0, 1 + place])
    torch.testing.assert_close(placed[1 + 6], empty[6])


def test_the_error_is_of_hidden_known_pixels_alone() -> None:
    tiles = some(1)
    bands = tiles.bands.clone()
    bands[0, 3:] = 0
    tiles = Tiles(tiles.pixels, bands, tiles.valid, tiles.patches)
    keep = torch.arange(60)[None]  # four are hidden
    predicted = tiles.patches.clone()
    predicted[0, 62, 1, 7] += 2.0  # hidden, known: 4 over 4·3·64 pixels
    predicted[0, 3] += 5.0  # visible
    predicted[0, 62, 5] += 5.0  # absent band
    assert float(masked_error(predicted.flatten(2), tiles, keep)) == pytest.approx(4 / (4 * 3 * 64))


def test_decoders_have_the_published_shape_and_its_proportions() -> None:
    assert DecoderShape.beside(768, 12) == DecoderShape.beside(1280, 32) == DecoderShape(512, 8)
    assert DecoderShape.beside(384, 12) == DecoderShape(256, 8)
    assert DecoderShape.beside(128, 4) == DecoderShape(96, 3)


def test_starting_weights_are_named_and_unknown_names_refused(tmp_path: Path) -> None:
    vit = open_masked("vit-nano-/8@rgb", root=tmp_path)
    assert (vit.width, vit.depth, vit.class_tokens, vit.names) == (128, 4, 0, RGB_BANDS)
    assert open_masked("vit-S/16@s2", root=tmp_path).class_tokens == 1
    for name in ("vit-XL/16@rgb", "vit-B/0@rgb", "vit-B/15@rgb", "vit-B/16@sar", "s3-nano"):
        with pytest.raises(InputError):
            open_masked(name, root=tmp_path)
    with pytest.raises(InputError, match="data collection"):
        open_masked("galileo_nano", root=tmp_path)


def test_take_gathers_any_axes() -> None:
    x = torch.from_numpy(np.arange(24).reshape(1, 4, 3, 2))
    assert torch.equal(take(x, torch.tensor([[2, 0]])), x[:, [2, 0]])
    assert take(x, None) is x


def test_the_pool_of_the_tests_fits_the_encoder() -> None:
    assert MaskedAutoencoder(small().of).n_patches == 64
    assert views().pixels.shape[1] == len(S2_NANO_BANDS)
