"""Fitting and scoring the preview's decoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.package import Package
from codec.pipeline.preview import decode
from codec.pretrain.preview import Windows, fit, main, score
from codec.types import Tile
from tests.package.small_package import build_small
from tests.pipeline import small_scene

PATCH, SIDE = 4, 8


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build_small(tmp_path_factory.mktemp("models") / "small")


def windows(n: int, seed: int, *, absent: int | None = None, noise: float = 0.0) -> Windows:
    """Tiles whose pixels are a linear function of their tokens: the same one for every seed."""
    planes = small_scene.planes(n, seed)
    mixing = (
        np.random.default_rng(17).normal(size=(24, 4, PATCH, PATCH))
        * 0.8 ** np.arange(24)[:, None, None, None]
    )
    pixels = np.einsum("nijk,kbyx->nbiyjx", planes["tokens"], mixing).reshape(n, 4, 32, 32)
    pixels = 2 + 0.2 * pixels + noise * np.random.default_rng(seed).normal(size=pixels.shape)
    present = np.ones((n, 4), bool)
    if absent is not None:
        present[::2, absent] = False
    valid = np.ones((n, 32, 32), bool)
    valid[0, :5, :] = False  # reaches into the second row of tokens
    tiles = [
        Tile(i, (p * b[:, None, None]).astype(np.float32), v, b)
        for i, (p, b, v) in enumerate(zip(pixels, present, valid, strict=True))
    ]
    tokens = valid.reshape(n, SIDE, PATCH, SIDE, PATCH).all(axis=(2, 4))
    return Windows(tiles, planes, tokens)


def test_a_linear_world_is_learnt(package: Package) -> None:
    found = fit(package, windows(300, 1), "synthetic")
    scores = score(found, package, windows(40, 2))
    assert set(scores) == {"blue", "green", "red", "nir"}
    for row in scores.values():
        assert row["explained"] > 0.9  # what is left is what decoding at the default quality loses
        assert row["tokens"] == 40 * 64 - 2 * 8


def test_a_band_is_learnt_from_the_windows_that_have_it(package: Package) -> None:
    # Where it is absent its pixels are 0; to learn from these would pull every guess half-way down.
    found = fit(package, windows(300, 1, absent=2), "synthetic")
    assert score(found, package, windows(40, 2))["red"]["explained"] > 0.9


def test_a_band_that_no_window_has_is_refused(package: Package) -> None:
    nowhere = windows(20, 1)
    for tile in nowhere.tiles:
        tile.bands_present[3] = False
    with pytest.raises(InputError, match="nir"):
        fit(package, nowhere, "synthetic")


def test_scores_are_those_of_the_definition(package: Package) -> None:
    found = fit(package, windows(200, 1), "synthetic")
    constant = type(found)(
        found.planes, found.bands, found.patch, found.centre, found.spread, np.zeros_like(found.weights), {}, ""
    )  # paints 0 everywhere  # fmt: skip
    held_out = windows(10, 2, noise=0.3)
    keep = held_out.tokens.repeat(PATCH, 1).repeat(PATCH, 2)
    for band, row in enumerate(score(constant, package, held_out).values()):
        truth = np.stack([t.pixels[band] for t in held_out.tiles]).astype(np.float64)
        y = truth[keep]
        low, high = np.percentile(y, [2, 98])
        assert row["psnr_db"] == pytest.approx(10 * np.log10((high - low) ** 2 / np.mean(y**2)), abs=0.01)
        assert row["explained"] == pytest.approx(1 - np.mean(y**2) / y.var(), abs=1e-4)
        means = truth.reshape(-1, SIDE, PATCH, SIDE, PATCH).mean((2, 4)).repeat(PATCH, 1).repeat(PATCH, 2)
        best = 1 - np.mean((truth - means)[keep] ** 2) / y.var()
        assert row["explained_by_patch_means"] == pytest.approx(best, abs=1e-4)


def test_too_few_windows_are_no_score(package: Package) -> None:
    found = fit(package, windows(100, 1), "synthetic")
    with pytest.raises(InputError, match="at least 8, found 3"):
        score(found, package, windows(3, 2))


@pytest.mark.long
@pytest.mark.shared_data
def test_the_shipped_model_on_real_windows(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "preview.npz"
    arguments = [
        "fit",
        "--package",
        "s2-nano",
        "--data",
        str(shared_data),
        "--out",
        str(out),
        "--source",
        "eurosat",
    ]
    assert main([*arguments, "--turns", "1", "--threads", "1"]) == 0
    found = decode(out.read_bytes(), out)
    rows = found.scores["by_band"]
    assert set(rows) == set(found.bands)
    # A decoder of patches cannot be better than its own patch means by much, and should come near them.
    assert all(0.6 < row["explained"] < row["explained_by_patch_means"] + 0.05 for row in rows.values())
    assert "dB" in capsys.readouterr().out


def test_a_wrong_setting_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(
        ["fit", "--data", str(tmp_path), "--out", str(tmp_path / "p.npz"), "--turns", "9", "--threads", "1"]
    )
    assert code == 3
    assert capsys.readouterr().err == "error: a window has 1 to 8 orientations (found 9)\n"
    assert not (tmp_path / "p.npz").exists()
