"""Windows of a user's own scenes, read as `swathpack encode` reads them: what a codec of their own is fitted on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from codec.data.geometry import turn
from codec.errors import InputError
from codec.pretrain.windows import ORIENTATIONS
from codec.scene.scene import open_scene
from codec.scene.tiling import grid_for, tiles
from codec.types import Tile

# With fewer, layer 0 has seen too few tile means for 128 channels (`benchmarks.nec_ingredients --part own-scenes`).
LEAST_WINDOWS = 64
MOST_WINDOWS = 1000  # drawn among all: more embeddings would not fit the memory of a small machine


@dataclass(frozen=True, slots=True)
class OwnScene:
    """A scene and how to read it: what `swathpack encode` takes. Fields as in `codec.scene.scene.open_scene`."""

    path: Path  # a raster, a folder of band files, or a .SAFE product
    sensor: str | None = None
    bands: Mapping[str, str] | None = None
    time: datetime | None = None
    scaling: str | None = None
    sun_elevation_deg: float | None = None
    zoom: int = 1


@dataclass(frozen=True, slots=True)
class ReadScene:
    """What was found in a scene."""

    name: str  # of the file or folder
    sensor: str
    bands: tuple[str, ...]  # those that the encoder knows
    tiles: int  # as a file of this scene has them
    measured: int  # of them: wholly measured
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnWindows:
    """Wholly measured windows with their margins, scene by scene and row by row; and the scenes."""

    tiles: tuple[Tile, ...]
    scene_of: tuple[int, ...]  # number of each tile's scene
    scenes: tuple[ReadScene, ...]

    def in_all_orientations(self) -> Iterator[Tile]:
        """Each window in the eight orientations of the square, one after the other."""
        for number, tile in enumerate(self.tiles):
            for which in range(ORIENTATIONS):
                yield Tile(
                    ORIENTATIONS * number + which,
                    turn(tile.pixels, which),
                    turn(tile.validity, which),
                    tile.bands_present,
                    tile.time,
                )


def read_windows(
    scenes: Sequence[OwnScene],
    bands: Sequence[str],
    *,
    core: int,
    margin: int = 0,
    seed: int = 0,
    most: int = MOST_WINDOWS,
) -> OwnWindows:
    """Read every scene as a file of it would have its tiles, and draw at most `most` of those that are wholly measured.

    `bands`, `core` and `margin` (pixels) are those of the encoder's package; margins may reach beyond a scene, as they do
    when it is encoded. All windows have the same chance, whichever scene they are of. Raises InputError for a scene that
    cannot be read or has no band of the encoder.
    """
    rng = np.random.default_rng([seed, 0x0E])
    drawn: list[tuple[int, Tile]] = []
    read: list[ReadScene] = []
    seen = 0
    inner = slice(margin, margin + core)
    for number, own in enumerate(scenes):
        with open_scene(
            [own.path],
            sensor=own.sensor,
            bands=own.bands,
            time=own.time,
            scaling=own.scaling,
            sun_elevation_deg=own.sun_elevation_deg,
            zoom=own.zoom,
        ) as scene:
            known = tuple(band for band in bands if band in scene.bands)
            if not known:
                raise InputError(
                    "the scene has no band of the encoder",
                    path=own.path,
                    expected=" ".join(bands),
                    found=" ".join(scene.bands),
                    fix="name its bands with --band NAME=PLACE",
                )
            before = seen
            for tile in tiles(scene, bands, core=core, margin=margin):
                if not tile.validity[inner, inner].all():
                    continue
                seen += 1
                if len(drawn) < most:
                    drawn.append((number, tile))
                elif (place := int(rng.integers(seen))) < most:  # keeps every window's chance equal
                    drawn[place] = (number, tile)
            n_tiles = grid_for(scene, core).n_tiles
            read.append(
                ReadScene(own.path.name, scene.sensor.name, known, n_tiles, seen - before, tuple(scene.notes))
            )
    drawn.sort(key=lambda one: (one[0], one[1].index))
    return OwnWindows(tuple(tile for _, tile in drawn), tuple(number for number, _ in drawn), tuple(read))


def check_enough(scenes: Iterable[ReadScene], least: int = LEAST_WINDOWS) -> None:
    """Raises InputError where the scenes have fewer wholly measured windows than a codec needs, saying how many."""
    scenes = list(scenes)
    found = sum(scene.measured for scene in scenes)
    if found < least:
        counts = ", ".join(f"{scene.measured} of {scene.tiles} in {scene.name}" for scene in scenes[:8])
        raise InputError(
            "too few windows for a codec of their own: it needs wholly measured tiles",
            expected=f"at least {least}",
            found=f"{found}: {counts}{', …' if len(scenes) > 8 else ''}",
            fix="give more or larger scenes, and check their nodata value",
        )
