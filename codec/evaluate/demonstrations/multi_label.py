"""Which land uses a tile holds: one linear value per class, of tiles of the land-use places."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.data import masks
from codec.data.derived_targets import multi_label
from codec.data.labelled import LULC_CLASSES, UNLABELLED, place_bands
from codec.errors import InputError
from codec.evaluate.demonstrations.coded import CODED, Demonstration, Sender, cut, fitted
from codec.evaluate.rate.types import FloatVector, IntArray
from codec.heads.regimes import UNCOMPRESSED
from codec.types import BoolArray, FloatArray


def demonstrate(send: Sender, data: Path) -> Demonstration:
    """Average precision of the ranking of val's tiles, mean over the classes that some of them hold and some do not."""
    x, valid, y, _ = _tiles(send, data, "train")
    z, shown, truth, size = _tiles(send, data, "val")
    asked = [c for c in range(y.shape[1]) if np.ptp(y[:, c]) and np.ptp(truth[:, c])]
    if not asked:
        raise InputError("no class is held by some tiles and not by others, in train and in val")
    head = fitted("ridge", x, y[:, asked].astype(np.float32), np.arange(len(y)), 0, valid)
    values = {
        name: float(
            np.mean([ranked_precision(said, truth[:, c]) for said, c in zip(out.T, asked, strict=True)])
        )
        for name, out in ((name, head.outputs(of, shown)) for name, of in z.items())
    }
    return Demonstration("multi-label", "mean average precision", values, len(truth), "tiles", len(y), size)


def ranked_precision(score: FloatArray, held: IntArray) -> float:
    """Mean over the tiles that hold a class of the precision down to them; of equal scores all count above."""
    at_least = score[None, :] >= score[:, None]
    precision: FloatVector = (at_least @ held) / at_least.sum(1)
    return float(precision[held == 1].mean())


def _tiles(send: Sender, data: Path, split: str) -> tuple[dict[str, FloatArray], BoolArray, IntArray, float]:
    """Tokens by name, validity, labels N×L and bytes of the tiles of all places, level 1C."""
    sent, labels = [], []
    for _, products in masks.landuse(data, split):
        image, mask = products[0]
        pixels, present = place_bands(
            image.reflectance(0, 0, image.height, image.width), image.bands, send.bands
        )
        here = np.stack([multi_label(tile, len(LULC_CLASSES)) for tile in cut(mask)])
        known = (here != UNLABELLED).all(1)
        sent.append(send("landuse", cut(pixels)[known], present, cut(image.validity)[known]))
        labels.append(here[known])
    tokens = {name: np.concatenate([part.tokens[name] for part in sent]) for name in (UNCOMPRESSED, CODED)}
    size = float(np.average([part.bytes_per_tile for part in sent], weights=[len(y) for y in labels]))
    return tokens, np.concatenate([part.validity for part in sent]), np.concatenate(labels), size
