"""Land, water or cloud on each date of a coastal series: a linear head on a token, its mean over the dates, and the season.

The series is split by place, all dates of a tile together.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.data.blocked_splits import by_pixels
from codec.data.derived_targets import SERIES_CLASSES, Series, lahinch_series, series_tiles
from codec.data.labelled import UNLABELLED, token_labels
from codec.data.splits import Window
from codec.evaluate.demonstrations.change import mean_iou
from codec.evaluate.demonstrations.coded import TILE, Demonstration, Sender, cut, fitted
from codec.evaluate.rate.types import IntArray
from codec.types import FloatArray

YEAR_DAYS = 365.25
_SEED = 0


def demonstrate(send: Sender, data: Path) -> Demonstration:
    """Mean IoU of the classes, of the tokens of val on all dates."""
    series = lahinch_series(data)
    tiles = series_tiles(series, send.bands, TILE)
    n, dates = tiles.validity.shape[:2]
    flat = tiles.pixels.reshape(n * dates, *tiles.pixels.shape[2:])
    sent = send("series", flat, tiles.present, tiles.validity.reshape(n * dates, TILE, TILE))
    validity = sent.validity.reshape(n, dates, *sent.validity.shape[1:])
    labels = _labels(series, TILE // validity.shape[2])
    known = (labels != UNLABELLED) & validity
    split = _split(tiles.place)
    sides = {}
    for name in ("train", "val"):
        use = known & (split == name)[:, None, None, None]
        features = {
            setting: in_season(x.reshape(n, dates, *x.shape[1:]), validity, tiles.day_of_year)[use]
            for setting, x in sent.tokens.items()
        }
        sides[name] = features, labels[use], np.nonzero(use)[0]
    x, y, groups = sides["train"]
    head = fitted("linear", x, y, groups, len(SERIES_CLASSES))
    z, truth, places = sides["val"]
    values = {name: mean_iou(truth, head.outputs(of), places, len(SERIES_CLASSES)) for name, of in z.items()}
    return Demonstration(
        "seasonal series", "mean IoU", values, len(truth), "tokens", len(y), sent.bytes_per_tile
    )


def in_season(x: FloatArray, validity: np.ndarray, day_of_year: IntArray) -> FloatArray:
    """N×T×h×w×C with the mean over a place's valid dates beside it, and sine and cosine of the day: N×T×h×w×(2C + 2)."""
    weight = validity[..., None].astype(np.float32)
    mean = (x * weight).sum(1, keepdims=True) / np.maximum(weight.sum(1, keepdims=True), 1)
    angle = 2 * np.pi * day_of_year / YEAR_DAYS
    season = np.stack([np.sin(angle), np.cos(angle)], axis=1).astype(np.float32)[:, None, None, :]
    return np.concatenate(
        [x, np.broadcast_to(mean, x.shape), np.broadcast_to(season, (*x.shape[:-1], 2))], axis=-1
    )


def _labels(series: Series, patch: int) -> IntArray:
    """N×T×h×w, of the tiles in the order of `series_tiles`."""
    each = [np.stack([token_labels(tile, patch) for tile in cut(mask)]) for mask in series.masks]
    return np.stack(each, axis=1)


def _split(place: IntArray) -> np.ndarray:
    """Of each tile; a tile is a cell."""
    windows = [Window("series", int(row) * TILE, int(col) * TILE, TILE, TILE) for row, col in place]
    found, _ = by_pixels(windows, cell_px=TILE, seed=_SEED)
    of = {sample.window: sample.split for sample in found}
    return np.array([of[window] for window in windows])
