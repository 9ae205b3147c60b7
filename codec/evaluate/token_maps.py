"""A picture of any size as one map of tokens: tiles laid over it, overlapping by a margin if asked, and cropped together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.data.labelled import LabelledTiles
from codec.errors import InputError
from codec.evaluate.scenes import Scenes
from codec.types import BoolArray, FloatArray

TokenFunction = Callable[[Scenes], FloatArray]  # N×h×w×D of N tiles


@dataclass(frozen=True, slots=True)
class Picture:
    """One image with all its bands everywhere."""

    pixels: FloatArray  # B×H×W reflectance
    bands: tuple[str, ...]
    validity: BoolArray  # H×W

    def only(self, bands: Sequence[str]) -> Picture:
        """With those of its bands that are in `bands`, so that rivals see what the encoder sees."""
        keep = [i for i, name in enumerate(self.bands) if name in bands]
        if not keep:
            raise InputError("the picture has none of these bands", expected=tuple(bands), found=self.bands)
        return Picture(self.pixels[keep], tuple(self.bands[i] for i in keep), self.validity)

    def cropped(self, multiple: int) -> Picture:
        """Less the last rows and columns that fill no patch."""
        height, width = (n // multiple * multiple for n in self.validity.shape)
        return Picture(self.pixels[:, :height, :width], self.bands, self.validity[:height, :width])


def coarser(tokens: FloatArray, factor: int) -> FloatArray:
    """Means of factor×factor tokens, h×w×D → h/f×w/f×D: what a finer token grid says about a larger patch."""
    if factor == 1:
        return tokens
    h, w, d = tokens.shape
    return np.asarray(tokens.reshape(h // factor, factor, w // factor, factor, d).mean((1, 3)), np.float32)


@dataclass(frozen=True, slots=True)
class Span:
    """Along one axis: where a tile starts, and the part of it that is kept; pixels of the picture."""

    start: int
    first: int
    last: int  # exclusive


def cover(length: int, tile: int, margin: int) -> list[Span]:
    """Tiles every tile−2·margin pixels, the last shifted inward; the parts kept are disjoint and cover all.

    A margin is cropped on every side but at the picture's own border. Starts are multiples of what divides all three.
    """
    core = tile - 2 * margin
    if core <= 0 or length < tile:
        raise InputError("the picture is smaller than a tile", expected=tile, found=length)
    starts = [*range(0, length - tile, core), length - tile]
    spans, done = [], 0
    for i, start in enumerate(starts):
        last = length if i == len(starts) - 1 else start + tile - margin
        spans.append(Span(start, done, last))
        done = last
    return spans


def token_map(
    function: TokenFunction, picture: Picture, *, tile: int, patch: int, margin: int = 0
) -> tuple[FloatArray, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Tokens h×w×D of a picture whose sides are multiples of the patch, and the token rows and columns that begin
    another tile.
    """
    height, width = picture.validity.shape
    if height % patch or width % patch or margin % patch:
        raise InputError("sides and margin must be multiples of the patch", found=(height, width, margin))
    rows, cols = cover(height, tile, margin), cover(width, tile, margin)
    places = [(row, col) for row in rows for col in cols]
    cut = [np.s_[row.start : row.start + tile, col.start : col.start + tile] for row, col in places]
    tiles = LabelledTiles(
        np.stack([picture.pixels[:, rows_cut, cols_cut] for rows_cut, cols_cut in cut]),
        np.ones((len(cut), len(picture.bands)), np.bool_),
        np.stack([picture.validity[window] for window in cut]),
        np.zeros(len(cut), np.int64),
        np.zeros(len(cut), np.int64),
        ("none",),
    )
    found = function(Scenes(tiles, picture.bands, np.repeat("none", len(cut))))
    out = np.zeros((height // patch, width // patch, found.shape[-1]), np.float32)
    for (row, col), tokens in zip(places, found, strict=True):
        inside = tokens[
            (row.first - row.start) // patch : (row.last - row.start) // patch,
            (col.first - col.start) // patch : (col.last - col.start) // patch,
        ]
        out[row.first // patch : row.last // patch, col.first // patch : col.last // patch] = inside
    begins = tuple(np.array([s.first // patch for s in spans[1:]], np.int64) for spans in (rows, cols))
    return out, (begins[0], begins[1])
