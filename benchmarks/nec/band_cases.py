"""Tokens of files that lack bands: Sentinel-2 scenes less some of theirs, and scenes of sensors that never had more.

Held-out tiles are those of the harness (val and test); of other sensors, windows of the collection's val and test parts.
What codecs may be fitted on comes from the training parts alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.nec.held_out import SETS, Collection
from codec.data.bandsets import FOUR, RGB, SIX, SIX_NARROW, TEN
from codec.data.labelled import place_bands
from codec.data.readers import read_source
from codec.evaluate.rate.run import Setting
from codec.models import load_encoder
from codec.models.inference import embed
from codec.models.vit import Encoder
from codec.pretrain.windows import CodecWindows, codec_tiles, origins
from codec.types import FloatArray, Tile

IntArray = npt.NDArray[np.int64]

# What files of Sentinel-2 scenes would hold if another sensor had taken them. None: every band.
BANDS: Mapping[str, tuple[str, ...] | None] = {
    "all bands": None,
    "Sentinel-2 without 60 m": TEN,
    "Landsat 7": SIX,
    "Landsat 8": ("coastal", *SIX_NARROW),
    "RGB and NIR": FOUR,
    "RGB": RGB,
}
# Sensors of few bands, with the parts of the collection that hold windows outside training.
OTHERS: Mapping[str, tuple[str, ...]] = {
    "cloud38": ("val", "test"),
    "naip": ("val", "test"),
    "ucmerced": ("val",),
}
_MOST = 150  # windows of each


@dataclass(frozen=True)
class Case:
    """Tiles that are scored: tokens N×h×w×C, the file and the place of each."""

    name: str
    tokens: FloatArray
    file: IntArray
    place: IntArray


class Tiles:
    """The encoder over tiles with some of their bands."""

    def __init__(self, of: Collection) -> None:
        self.of, self.data = of, of.data
        self.encoder: Encoder = load_encoder(of.package.path("encoder.safetensors"))
        self.bands = self.encoder.config.bands

    def tokens(self, tiles: Iterable[Tile], shown: tuple[str, ...] | None = None) -> FloatArray:
        """N×h×w×C of the bands shown."""
        mask = np.array([shown is None or band in shown for band in self.bands])
        cut = (
            Tile(t.index, t.pixels * mask[:, None, None], t.validity, t.bands_present & mask) for t in tiles
        )
        return embed(self.encoder, cut)["tokens"]

    def cases(self, split: str = "unseen") -> Iterator[Case]:
        """Sets of the harness under each band set, all sets together; then other sensors."""
        tiles, file, place = [], [], []
        for number, name in enumerate(SETS):
            evidence, planes = self.of.run.sets[name], self.of.run.planes(name)
            held = np.any([fold.held for fold in Setting(split).folds(evidence)], axis=0)
            at, t = np.flatnonzero(held & planes.validity.all((1, 2))), evidence.tiles
            tiles += [Tile(int(i), t.pixels[i], t.validity[i], t.present[i]) for i in at]
            file += (t.scene[at] + 10**9 * number).tolist()
            place += (t.groups[at] + 10**9 * number).tolist()
        for name, shown in BANDS.items():
            if shown is None or set(shown) < set(self.bands):
                yield Case(name, self.tokens(tiles, shown), np.array(file), np.array(place))
        for source, splits in OTHERS.items():
            yield self._other(source, splits)

    def _other(self, source: str, splits: tuple[str, ...]) -> Case:
        side = self.encoder.config.tile
        tiles, file = [], []
        for raster in (r for split in splits for r in read_source(source, self.data, split)):
            for row, col in origins(raster, side):
                valid = raster.validity[row : row + side, col : col + side]
                if valid.all():
                    placed, present = place_bands(
                        raster.reflectance(row, col, side, side), raster.bands, self.bands
                    )
                    tiles.append(Tile(len(tiles), placed, valid, present))
                    file.append(raster.name)
        chosen = np.unique(np.linspace(0, len(tiles) - 1, min(_MOST, len(tiles))).astype(int))
        number = np.unique(file, return_inverse=True)[1][chosen]
        # Windows of one picture are one place: there are no more of them than pictures.
        return Case(source, self.tokens([tiles[i] for i in chosen]), number, number)

    def planned(self, plan: CodecWindows, shown: tuple[str, ...] | None = None) -> FloatArray:
        """Training tokens of a plan, with the bands shown."""
        images = {name: read_source(name, self.data, "train") for name in plan.sources}
        tiles = codec_tiles(images, self.bands, plan, seed=0, tile=self.encoder.config.tile)
        return self.tokens((t for t in tiles if t.validity.all()), shown)
