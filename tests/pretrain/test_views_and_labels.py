"""Views stay inside the measured part of their image; the pool removes position from the targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from codec.data.geometry import turn
from codec.data.raster import Raster
from codec.errors import InputError
from codec.models.bands import S2_NANO_BANDS
from codec.models.galileo import GalileoTeacher
from codec.pretrain.jitter import drop_bands, drop_pixels, jitter
from codec.pretrain.labels import label_views, load_pool, position_statistics
from codec.pretrain.views import draw, resize


def raster(source: str = "eurosat", bands: tuple[str, ...] = S2_NANO_BANDS, size: int = 96) -> Raster:
    rng = np.random.default_rng(len(bands))
    native = rng.integers(300, 3000, (len(bands), size, size)).astype(np.uint16)
    validity = np.ones((size, size), np.bool_)
    validity[:, :20] = False
    native[:, ~validity] = 65535  # 6.55: no clear view may show this
    return Raster(source, source, bands, native, 1e-4, 0.0, validity)


def test_views_hold_only_measured_pixels() -> None:
    images = {"eurosat": [raster()], "naip": [raster("naip", ("red", "green", "blue", "nir"))]}
    rng = np.random.default_rng(0)
    views = [draw(images, 64, rng) for _ in range(40)]
    assert {view.source for view in views} == {"eurosat", "naip"}
    for view in views:
        assert view.pixels.shape == (len(view.bands), 64, 64)
        assert view.pixels.min() >= 0.03
        assert view.pixels.max() <= 0.3


def test_the_eight_turns_are_different_and_keep_the_values() -> None:
    x = np.arange(2 * 16, dtype=np.float32).reshape(2, 4, 4)
    turned = {turn(x, which).tobytes() for which in range(8)}
    assert len(turned) == 8
    assert all(np.array_equal(np.sort(turn(x, w).ravel()), np.sort(x.ravel())) for w in range(8))


def test_resizing_keeps_a_constant_and_the_mean_of_a_ramp() -> None:
    assert resize(np.full((1, 40, 40), 0.25, np.float32), 64) == pytest.approx(0.25)
    ramp = np.broadcast_to(np.arange(96, dtype=np.float32), (1, 96, 96)).copy()
    assert resize(ramp, 64).mean() == pytest.approx(47.5, abs=1e-3)


def test_band_dropout_shows_a_nonempty_subset_and_sometimes_everything() -> None:
    has = np.ones((400, 12), np.uint8)
    has[200:] = [b in ("blue", "green", "red", "nir") for b in S2_NANO_BANDS]
    shown = drop_bands(has, S2_NANO_BANDS, np.random.default_rng(0))
    assert np.all(shown <= has)
    assert np.all(shown.sum(1) >= 1)
    counts = shown.sum(1)
    assert 0.2 < np.mean(counts[:200] == 12) < 0.45
    colour = np.all(shown == [b in ("blue", "green", "red") for b in S2_NANO_BANDS], axis=1)
    assert 0.08 < colour.mean() < 0.4


def test_jitter_leaves_a_quarter_of_the_views_clean_but_for_noise() -> None:
    pixels = torch.full((400, 12, 8, 8), 0.2)
    moved = (jitter(pixels, S2_NANO_BANDS, np.random.default_rng(0)) - pixels).abs().amax((1, 2, 3))
    clean = (moved < 0.02).float().mean()
    assert 0.15 < clean < 0.4


def test_dropped_pixels_form_one_side_of_a_line() -> None:
    validity = drop_pixels(300, 16, np.random.default_rng(0))
    partly = [v for v in validity if 0 < v.mean() < 1]
    assert 10 < len(partly) < 60
    for v in partly:
        changes = np.abs(np.diff(v, axis=0)).sum(0).max(), np.abs(np.diff(v, axis=1)).sum(1).max()
        assert max(changes) <= 1  # along any row or column, validity changes at most once


def test_position_statistics_remove_a_planted_position_code() -> None:
    rng = np.random.default_rng(0)
    content, code = rng.standard_normal((500, 2, 2, 3)), 10 * rng.standard_normal((2, 2, 3))
    group = np.repeat([0, 1], [400, 100]).astype(np.int16)
    tokens = (content * [1, 2, 4] + code + group[:, None, None, None] * 5).astype(np.float16)
    means, spread = position_statistics(tokens, group, 2, full=0)
    rest = (tokens.astype(np.float32) - means[group]) / spread
    assert np.abs(rest[:400].mean(0)).max() < 0.02
    assert np.abs(rest[400:].mean(0)).max() < 0.02
    assert spread == pytest.approx([1, 2, 4], rel=0.1)


def test_the_pool_does_not_depend_on_the_batch_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    teacher = GalileoTeacher().eval()
    images = {"eurosat": [raster()], "ucmerced": [raster("ucmerced", ("red", "green", "blue"))]}
    for batch in (3, 7):
        label_views(teacher, images, S2_NANO_BANDS, tmp_path / str(batch), views=12, seed=5, batch=batch)
    a, b = load_pool(tmp_path / "3"), load_pool(tmp_path / "7")
    assert np.array_equal(a.pixels, b.pixels)
    np.testing.assert_allclose(a.tokens.astype(np.float32), b.tokens.astype(np.float32), atol=5e-3)
    assert np.all(a.pixels[a.bands == 0] == 0)


def test_an_unfinished_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a finished pool"):
        load_pool(tmp_path)
