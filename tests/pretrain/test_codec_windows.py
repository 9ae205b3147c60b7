"""Windows that a codec is fitted on: what is sent at home as it is, and a few of everything else."""

from __future__ import annotations

import numpy as np
import pytest

from codec.data.raster import Raster
from codec.models.bands import S2_NANO_BANDS
from codec.pretrain.fit import CODEC_SOURCES, CODEC_WINDOWS
from codec.pretrain.windows import CodecWindows, codec_tiles
from codec.types import Tile

FOUR = ("red", "green", "blue", "nir")


def raster(source: str, bands: tuple[str, ...], size: int = 192, hole: bool = False) -> Raster:
    rng = np.random.default_rng([len(bands), size])
    native = rng.integers(300, 3000, (len(bands), size, size)).astype(np.uint16)
    validity = np.ones((size, size), np.bool_)
    validity[0, 0] = not hole
    return Raster(source, source, bands, native, 1e-4, 0.0, validity)


IMAGES = {
    "home": [raster("home", S2_NANO_BANDS)],
    "guest": [raster("guest", FOUR)],
    "other": [raster("other", FOUR, size=64)],
}
PLAN = CodecWindows(("home",), 8, ("guest", "other"), most_guest=11)


def tiles(plan: CodecWindows = PLAN, seed: int = 0, **images: list[Raster]) -> list[Tile]:
    return list(codec_tiles({**IMAGES, **images}, S2_NANO_BANDS, plan, seed=seed))


def test_home_windows_come_with_all_bands_in_every_orientation_and_guests_are_few() -> None:
    found = tiles()
    full = [t for t in found if t.bands_present.all()]
    assert len(full) == 9 * 8  # of a picture of 3×3 windows
    assert len({t.pixels.tobytes() for t in full}) == len(full)
    # The second guest has one window: four orientations of it, and one enlarged.
    assert len(found) == 9 * 8 + 11 + 5
    assert [t.index for t in found] == list(range(len(found)))


def test_home_windows_with_holes_are_left_out() -> None:
    found = tiles(CodecWindows(("home",), 2), home=[raster("home", S2_NANO_BANDS, hole=True)])
    assert len(found) == 8 * 2
    assert all(t.validity.all() for t in found)


def test_a_limit_draws_from_all_windows_of_a_home_source() -> None:
    found = tiles(CodecWindows(("home",), 1, most_home=4))
    assert len(found) == 4
    every = {t.pixels.tobytes() for t in tiles(CodecWindows(("home",), 1))}
    assert {t.pixels.tobytes() for t in found} < every


def test_a_seed_decides_the_windows() -> None:
    def drawn(seed: int) -> list[bytes]:
        return [t.pixels.tobytes() for t in tiles(seed=seed)]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)


@pytest.mark.parametrize("bands", list(CODEC_WINDOWS), ids=len)
def test_every_plan_is_made_of_the_training_sources(bands: tuple[str, ...]) -> None:
    plan = CODEC_WINDOWS[bands]
    assert set(plan.sources) == set(CODEC_SOURCES[bands][0])
    assert not set(plan.home) & set(plan.guests)
