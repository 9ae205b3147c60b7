"""Windows of somebody's own scenes: read as files of them would be, only where all was measured, none favoured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.pretrain.own_windows import OwnScene, check_enough, read_windows
from tests.pretrain.own_scenes import GAIN, dn, write

BANDS = ("blue", "green", "red")


def scene(path: Path, pixels: np.ndarray, **options: int | None) -> OwnScene:
    return OwnScene(write(path, pixels, **options), sensor="rgb")


def test_windows_hold_the_reflectance_of_the_tiles_that_a_file_would_have(tmp_path: Path) -> None:
    pixels = dn(70, 96, 1)
    found = read_windows([scene(tmp_path / "a.tif", pixels)], BANDS, core=32)
    # Three rows of tiles, the last shifted inward so that it ends with the scene (bitstream §3.1), and three columns.
    assert [tile.index for tile in found.tiles] == list(range(9))
    for row, tile in zip((0, 32, 38), (found.tiles[1], found.tiles[4], found.tiles[7]), strict=True):
        expected = pixels[::-1, row : row + 32, 32:64] * GAIN
        np.testing.assert_allclose(tile.pixels, expected, rtol=1e-6)
    assert found.scenes[0].sensor == "rgb"
    assert found.scenes[0].bands == BANDS


def test_a_window_with_a_pixel_that_was_not_measured_is_left_out_and_its_margin_is_not_asked(
    tmp_path: Path,
) -> None:
    pixels = dn(96, 96, 2)
    pixels[:, 40, 50] = 0  # nodata, in the tile of the middle
    found = read_windows([scene(tmp_path / "a.tif", pixels)], BANDS, core=32, margin=16)
    assert [tile.index for tile in found.tiles] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert found.tiles[0].pixels.shape == (3, 64, 64)
    assert not found.tiles[0].validity[:16].any()  # beyond the scene, as when it is encoded
    assert (found.scenes[0].measured, found.scenes[0].tiles) == (8, 9)


def test_every_window_comes_in_the_eight_orientations_of_a_square(tmp_path: Path) -> None:
    found = read_windows([scene(tmp_path / "a.tif", dn(32, 64, 3))], BANDS, core=32)
    shown = [tile.pixels for tile in found.in_all_orientations()]
    assert len(shown) == 2 * 8
    first = found.tiles[0].pixels
    flips = {
        turned.tobytes()
        for plain in (first, first.transpose(0, 2, 1))
        for turned in (plain, plain[:, ::-1], plain[:, :, ::-1], plain[:, ::-1, ::-1])
    }
    assert {pixels.tobytes() for pixels in shown[:8]} == flips
    assert len(flips) == 8


def test_of_too_many_windows_all_scenes_keep_their_share(tmp_path: Path) -> None:
    scenes = [scene(tmp_path / "large.tif", dn(256, 512, 4)), scene(tmp_path / "small.tif", dn(128, 256, 5))]
    every = read_windows(scenes, BANDS, core=16)
    assert len(every.tiles) == 512 + 128
    known = [tile.pixels.tobytes() for tile in every.tiles]
    shares = []
    for seed in range(12):
        drawn = read_windows(scenes, BANDS, core=16, seed=seed, most=100)
        places = [known.index(tile.pixels.tobytes()) for tile in drawn.tiles]
        assert places == sorted(set(places))
        assert len(places) == 100
        shares.append(sum(place >= 512 for place in places))
    # 100 of 640 without replacement: 20 of the small scene, standard deviation 3.7 of one draw, 1.1 of the mean of twelve.
    assert abs(np.mean(shares) - 20) < 4 * 1.1


def test_a_seed_decides_the_draw(tmp_path: Path) -> None:
    scenes = [scene(tmp_path / "a.tif", dn(128, 128, 6))]

    def drawn(seed: int) -> list[int]:
        return [tile.index for tile in read_windows(scenes, BANDS, core=16, seed=seed, most=20).tiles]

    assert drawn(0) == drawn(0) != drawn(1)


def test_too_few_windows_are_refused_with_the_number_needed_and_what_each_scene_has(tmp_path: Path) -> None:
    holes = dn(64, 64, 7)
    holes[:, ::20, ::20] = 0
    found = read_windows(
        [scene(tmp_path / "a.tif", dn(64, 96, 8)), scene(tmp_path / "holes.tif", holes)], BANDS, core=32
    )
    check_enough(found.scenes, least=6)
    with pytest.raises(InputError, match=r"at least 7, found 6: 6 of 6 in a\.tif, 0 of 4 in holes\.tif"):
        check_enough(found.scenes, least=7)


def test_a_scene_without_a_band_of_the_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no band of the encoder.*expected swir16, found red green blue"):
        read_windows([scene(tmp_path / "a.tif", dn(64, 64, 9))], ("swir16",), core=32)
