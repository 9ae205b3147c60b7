"""Every rival against its library, numpy and hand calculation; bytes are counted, and pixels come from them alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.rate.audit import check_coded, check_pixels
from codec.evaluate.rate.pixels import PIXEL_METHODS, PixelRivalCoder, pixel_methods
from codec.evaluate.rate.pixels.__main__ import curve, kept, lone, main, variance, variants
from codec.evaluate.rate.pixels.formats import Jpeg2000
from codec.evaluate.rate.pixels.layout import Layout
from codec.evaluate.rate.pixels.rival import Transform
from codec.evaluate.rate.pixels.spectrum import fitted
from codec.evaluate.rate.types import TileSet

imagecodecs = pytest.importorskip("imagecodecs")
BANDS = ("blue", "green", "red", "nir", "swir16")
SIDE = 32


def tile_set(n: int, seed: int = 0, *, side: int = SIDE) -> TileSet:
    """Correlated bands over smooth fields and some noise; tiles of one scene, two in a row."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:side, 0:side] / side
    mix = np.random.default_rng(99).normal(size=(5, 3)) * (0.04, 0.02, 0.01)
    pixels = np.empty((n, 5, side, side), np.float32)
    for i in range(n):
        waves = [np.sin(rng.uniform(2, 9) * rows + rng.uniform(2, 9) * cols + k) for k in range(3)]
        field = np.tensordot(mix, np.array(waves), axes=1) + 0.003 * rng.standard_normal((5, side, side))
        pixels[i] = 0.15 + 0.03 * rng.standard_normal() + field
    place = np.stack(np.divmod(np.arange(n), 2), axis=1)
    return TileSet(
        "waves", BANDS, pixels, np.ones((n, 5), np.bool_), np.ones((n, side, side), np.bool_),
        np.zeros(n, np.int64), place, np.arange(n),
    )  # fmt: skip


TRAIN = tile_set(12)
TILES = tile_set(4, 1)


def coder(name: str) -> PixelRivalCoder:
    return pixel_methods([name])[0].fit(TRAIN)


def lost(tiles: TileSet, pixels: np.ndarray | None) -> float:
    """Mean squared error over the variance, bands alike."""
    assert pixels is not None
    scale = tiles.pixels.var((0, 2, 3))
    return float((np.square(pixels - tiles.pixels).mean((0, 2, 3)) / scale).mean())


@pytest.mark.parametrize("name", PIXEL_METHODS)
def test_every_rival_spans_rates_and_passes_the_harness_audit(name: str) -> None:
    one = coder(name)
    assert len(one.settings) >= 8
    assert len(set(one.settings)) == len(one.settings)
    listed = [one.settings[0], one.settings[len(one.settings) // 2], one.settings[-1]]
    rgb = name.endswith("-rgb")
    tiles = replace(TILES, present=TILES.present & np.isin(BANDS, one.bands))
    coded = [one.code(TILES, setting) for setting in listed]
    check_coded(name, coded, len(TILES))
    check_pixels(name, coded, tiles)
    assert coded[0].bytes_per_tile > 4 * coded[-1].bytes_per_tile
    seen = tiles.present[0]
    errors = [lost(kept_bands(TILES, seen), c.pixels[:, seen]) for c in coded]  # type: ignore[index]
    assert errors[0] < 0.02
    assert errors == sorted(errors)
    assert one.bands == (("blue", "green", "red") if rgb else BANDS)
    assert all((c.pixels[:, ~seen] == 0).all() for c in coded)  # type: ignore[index]


def kept_bands(tiles: TileSet, index: np.ndarray) -> TileSet:
    names = tuple(b for b, one in zip(tiles.bands, index, strict=True) if one)
    return replace(tiles, bands=names, pixels=tiles.pixels[:, index], present=tiles.present[:, index])


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="klt-jpeg2000-scene"):
        pixel_methods(["jpeg2001-tile"])
    assert [m.about.name for m in pixel_methods()] == list(PIXEL_METHODS)


def test_the_ground_decodes_what_crossed_the_link_and_nothing_else() -> None:
    one = coder("klt-jpeg2000-tile")
    step, index = one.steps[4], np.ones(5, np.bool_)
    data = [one.encode(TILES.pixels[i], index, step) for i in (0, 1)]
    fresh = pixel_methods(["klt-jpeg2000-tile"])[0].fit(TRAIN)  # another ground station, same training set
    coded = one.code(TILES, step.name)
    assert coded.pixels is not None
    assert coded.sizes[:2].tolist() == [len(d) for d in data]
    assert np.array_equal(fresh.decode(data[0], (SIDE, SIDE), index, step), coded.pixels[0])
    assert np.array_equal(fresh.decode(data[1], (SIDE, SIDE), index, step), coded.pixels[1])


def test_sizes_and_pixels_are_those_of_plain_library_calls() -> None:
    """One colour picture of three bands: the rival's files less their headers, by hand."""
    train, tiles = (kept_bands(t, np.arange(5) < 3) for t in (TRAIN, TILES))
    mean = train.pixels.mean((0, 2, 3), dtype=np.float64)[:, None, None]
    spread = train.pixels.std((0, 2, 3), dtype=np.float64)[:, None, None]
    calls = {
        "jpegxl-tile": lambda x, q: imagecodecs.jpegxl_encode(
            x, distance=q, effort=7, bitspersample=12, usecontainer=False, lossless=False
        ),
        "avif-tile": lambda x, q: imagecodecs.avif_encode(
            x, level=q, speed=4, bitspersample=10, pixelformat="yuv444"
        ),
        "webp-tile": lambda x, q: imagecodecs.webp_encode(x, level=q, method=6, lossless=False),
    }
    decoders = {
        "jpegxl-tile": imagecodecs.jpegxl_decode,
        "avif-tile": imagecodecs.avif_decode,
        "webp-tile": imagecodecs.webp_decode,
    }
    for name, call in calls.items():
        one = pixel_methods([name])[0].fit(train)
        step = next(s for s in one.steps if s.layout is Layout.COLOUR)
        x = np.rint((tiles.pixels[0] - mean) / spread * step.levels + step.centre)
        x = (
            np.clip(x, 0, 2**step.bits - 1)
            .transpose(1, 2, 0)
            .astype(np.uint16 if step.bits > 8 else np.uint8)
        )
        file = call(np.ascontiguousarray(x), step.quality)
        coded = one.code(kept(tiles, np.arange(4) == 0), step.name)
        assert coded.pixels is not None
        rule = one.format.rule((SIDE, SIDE, 3), step.quality, step.bits)
        assert rule.restore(rule.strip(file)) == file
        assert coded.sizes[0] == len(rule.strip(file)) < len(file)
        values = (decoders[name](file).astype(np.float64).transpose(2, 0, 1) - step.centre) / step.levels
        np.testing.assert_allclose(coded.pixels[0], values * spread + mean, atol=1e-5)


def test_jpeg_2000_reaches_the_error_it_is_asked_for_and_spends_no_more_than_a_plain_call() -> None:
    one = coder("jpeg2000-scene")
    picture = np.clip(
        np.rint(2048 + 32 * one.spectrum.standardised(TILES.pixels[0], np.ones(5, np.bool_))), 0, 4095
    )
    x = np.ascontiguousarray(picture.astype(np.uint16).transpose(1, 2, 0))
    form = Jpeg2000()
    for quality in (50.0, 56.0, 62.0):
        asked = 4095**2 / 10 ** (quality / 10)
        by_hand = imagecodecs.jpeg2k_encode(
            x, level=quality, codecformat="j2k", mct=False, reversible=False, bitspersample=12, resolutions=6
        )
        assert form.plainly(x, quality, 12) == by_hand
        cost = []
        for file in (by_hand, form.encode(x, quality, 12)):
            squares = np.square(imagecodecs.jpeg2k_decode(file).astype(np.float64) - x)
            # The estimate rests on wavelet norms (9/7 is not orthogonal) and stops at a truncation point near it.
            assert 0.3 * asked < squares.mean() < 1.6 * asked
            cost.append(squares.sum() + 48 * np.log(2) * asked * len(file))
        assert cost[1] <= cost[0]


def test_the_klt_is_numpys_eigenbasis_of_the_training_correlation() -> None:
    index = np.ones(5, np.bool_)
    variance, basis = fitted(TRAIN, index).klt(index)
    x = TRAIN.pixels.transpose(1, 0, 2, 3).reshape(5, -1).astype(np.float64)
    values, vectors = np.linalg.eigh(np.corrcoef(x))
    np.testing.assert_allclose(variance, values[::-1], atol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(basis * vectors[:, ::-1].T, axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(basis @ basis.T, np.eye(5), atol=1e-9)


def test_absent_bands_get_a_basis_of_their_own_and_never_appear() -> None:
    one = coder("klt-jpeg2000-tile")
    shown = np.array([1, 0, 1, 1, 0], np.bool_)
    tiles = replace(TILES, present=np.repeat(shown[None], 4, axis=0))
    spoilt = replace(tiles, pixels=np.where(shown[:, None, None], tiles.pixels, np.float32(np.nan)))
    coded = one.code(spoilt, one.settings[0])
    assert coded.pixels is not None
    assert (coded.pixels[:, ~shown] == 0).all()
    assert lost(kept_bands(TILES, shown), coded.pixels[:, shown]) < 0.01
    x = TRAIN.pixels[:, shown].transpose(1, 0, 2, 3).reshape(3, -1).astype(np.float64)
    values = np.linalg.eigvalsh(np.corrcoef(x))
    np.testing.assert_allclose(one.spectrum.klt(shown)[0], values[::-1], atol=1e-6)


def test_components_below_the_floor_are_not_sent() -> None:
    index = np.ones(5, np.bool_)
    spectrum = fitted(TRAIN, index)
    variance, _ = spectrum.klt(index)
    floor = float((variance[1] + variance[2]) / 2)
    two = Transform.of(spectrum, index, klt=True, floor=floor)
    x = spectrum.standardised(TILES.pixels[0], index)
    assert two.forward(x).shape == (2, SIDE, SIDE)
    # Orthonormal: what is left out is exactly the energy of the other components.
    every = Transform.of(spectrum, index, klt=True, floor=0.0).forward(x).astype(np.float64)
    error = np.square(two.inverse(two.forward(x)) - x, dtype=np.float64).sum()
    np.testing.assert_allclose(error, np.square(every[2:]).sum(), rtol=1e-3)


def test_the_klt_saves_bytes_where_bands_are_alike() -> None:
    plain, klt = coder("jpeg2000-scene"), coder("klt-jpeg2000-scene")
    sizes = {}
    for one in (plain, klt):
        found = [one.code(TILES, setting) for setting in one.settings]
        errors = np.log([lost(TILES, c.pixels) for c in found])
        sizes[one.name] = np.exp(np.interp(np.log(0.02), errors, np.log([c.bytes_per_tile for c in found])))
    assert sizes["klt-jpeg2000-scene"] < 0.8 * sizes["jpeg2000-scene"]


def test_a_scene_is_one_picture_whose_bytes_its_tiles_share() -> None:
    one = coder("jpeg2000-scene")
    coded = one.code(TILES, one.settings[3])
    picture = (
        TILES.pixels.reshape(2, 2, 5, SIDE, SIDE).transpose(2, 0, 3, 1, 4).reshape(5, 2 * SIDE, 2 * SIDE)
    )
    data = one.encode(picture, np.ones(5, np.bool_), one.steps[3])
    np.testing.assert_allclose(coded.sizes, len(data) / 4)
    whole = one.decode(data, (2 * SIDE, 2 * SIDE), np.ones(5, np.bool_), one.steps[3])
    assert coded.pixels is not None
    assert np.array_equal(coded.pixels[3], whole[:, SIDE:, SIDE:])


def test_what_stands_in_invalid_pixels_changes_nothing() -> None:
    validity = TILES.validity.copy()
    validity[0, :20, 5:] = False
    one = coder("avif-scene")
    found = []
    for value in (np.nan, 0.0, 7.0):
        pixels = np.where(validity[:, None], TILES.pixels, np.float32(value))
        found.append(one.code(replace(TILES, pixels=pixels, validity=validity), one.settings[3]))
    for other in found[1:]:
        assert np.array_equal(found[0].sizes, other.sizes)
        assert np.array_equal(found[0].pixels, other.pixels)  # type: ignore[arg-type]


def test_tiles_do_not_change_with_their_company_when_coded_one_by_one() -> None:
    one = coder("jpegxl-tile")
    whole, alone = one.code(TILES, one.settings[5]), one.code(kept(TILES, np.arange(4) == 2), one.settings[5])
    assert whole.pixels is not None
    assert alone.pixels is not None
    assert whole.sizes[2] == alone.sizes[0]
    assert np.array_equal(whole.pixels[2], alone.pixels[0])


def test_bad_sets_are_refused_with_what_to_do() -> None:
    one = coder("jpeg2000-tile")
    with pytest.raises(InputError, match="other bands"):
        one.code(kept_bands(TILES, np.arange(5) < 4), one.settings[0])
    with pytest.raises(InputError, match="no setting 'finest'"):
        one.code(TILES, "finest")
    spoilt = TILES.pixels.copy()
    spoilt[1, 2, 3, 4] = np.nan
    with pytest.raises(InputError, match="not finite"):
        one.code(replace(TILES, pixels=spoilt), one.settings[0])
    with pytest.raises(InputError, match="not finite"):
        pixel_methods(["jpeg2000-tile"])[0].fit(replace(TRAIN, pixels=np.full_like(TRAIN.pixels, np.inf)))
    with pytest.raises(InputError, match="constant"):
        pixel_methods(["jpeg2000-tile"])[0].fit(replace(TRAIN, pixels=np.ones_like(TRAIN.pixels)))
    without_red = TRAIN.present & (np.array(BANDS) != "red")
    with pytest.raises(InputError, match="no tile"):
        pixel_methods(["webp-tile-rgb"])[0].fit(replace(TRAIN, present=without_red))
    with pytest.raises(InputError, match="none of the bands"):
        coder("avif-tile-rgb").code(
            replace(TILES, present=TILES.present & (np.arange(5) > 2)), "quality 97, 28 levels, grey"
        )


def test_the_command_prints_one_line_per_setting(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(shared_data), "--every", "60", "klt-jpeg2000-tile"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("  error")]
    assert len(rows) == len(coder("klt-jpeg2000-tile").settings)
    assert main(["--data", str(shared_data), "jpeg"]) == 3


def at_error(one: PixelRivalCoder, tiles: TileSet, scale: float, error: float) -> float:
    """Bytes per tile where the curve crosses this error, log-interpolated."""
    rows = sorted((r[2], r[1]) for r in curve(one, tiles, scale))
    errors, sizes = np.log(np.array(rows)).T
    assert errors[0] < np.log(error) < errors[-1]
    return float(np.exp(np.interp(np.log(error), errors, sizes)))


def test_bytes_on_real_tiles_agree_with_what_was_measured_before(shared_data: Path) -> None:
    """At a tenth of the training pixels' variance. A script of plain OpenJPEG and numpy calls had, on every third EuroSAT
    val tile and four KLT components, 128 bytes at 0.102; without a KLT 347 bytes at 0.091 and 117 at 0.33.
    """
    train, held = lone(shared_data, "train"), lone(shared_data, "val")
    held = kept(held, np.arange(len(held)) % 3 == 0)
    sizes = {}
    for name in ("jpeg2000-tile", "klt-jpeg2000-tile"):
        one = pixel_methods([name])[0].fit(train)
        part = replace(one, steps=one.steps[4:])
        sizes[name] = at_error(part, held, variance(train, one.sends), 0.1)
    # Choosing among a few qualities, as the rival does, may only be better than the plain calls, and not by half.
    assert 90 < sizes["klt-jpeg2000-tile"] < 140
    assert 220 < sizes["jpeg2000-tile"] < 350


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["jpeg2000-tile", "klt-jpeg2000-tile", "jpegxl-tile", "webp-tile", "avif-tile"]
)
def test_no_other_layout_is_better_than_the_chosen_one(name: str, shared_data: Path) -> None:
    """Within 6 %, at errors where all curves reach; efforts are a matter of time and stand in the settings' comments."""
    train, held = lone(shared_data, "train"), lone(shared_data, "val")
    held = kept(held, np.arange(len(held)) % 6 == 0)
    one = pixel_methods([name])[0].fit(train)
    scale = variance(train, one.sends)
    others = [c for label, c in variants(one) if label.startswith("all ")]
    for error in (0.03, 0.06, 0.12):
        chosen = at_error(one, held, scale, error)
        for other in others:
            assert chosen < 1.06 * at_error(other, held, scale, error)
