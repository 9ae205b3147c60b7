"""Change of the prairie between two dates: a linear head on a token of both dates.

The target is made by rule from the very pixels that the encoder saw: a score says that the head trains, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codec.data.derived_targets import CHANGE_CLASSES, naip_pairs
from codec.data.labelled import UNLABELLED, place_bands, token_labels
from codec.evaluate.demonstrations.coded import Demonstration, Sender, Sent, cut, fitted
from codec.evaluate.intervals import confusion_sums, mean_iou_of
from codec.evaluate.rate.types import IntArray
from codec.types import FloatArray

EVERY = 4  # of the tokens are learnt from: neighbours are alike


def demonstrate(send: Sender, data: Path) -> Demonstration:
    """Mean IoU of the classes of change, of the tokens of val."""
    x, y, groups, _ = _tokens(send, data, "train")
    use = np.arange(len(y)) % EVERY == 0
    head = fitted(
        "linear", {name: of[use] for name, of in x.items()}, y[use], groups[use], len(CHANGE_CLASSES)
    )
    z, truth, places, size = _tokens(send, data, "val")
    values = {name: mean_iou(truth, head.outputs(of), places, len(CHANGE_CLASSES)) for name, of in z.items()}
    return Demonstration("change", "mean IoU", values, len(truth), "tokens", int(use.sum()), size)


def mean_iou(truth: IntArray, logits: FloatArray, groups: IntArray, n_classes: int) -> float:
    """Over the classes that occur in the truth."""
    return float(mean_iou_of(confusion_sums(truth, logits.argmax(1), groups, n_classes).sum(1))[0])


def _tokens(
    send: Sender, data: Path, split: str
) -> tuple[Mapping[str, FloatArray], IntArray, IntArray, float]:
    """Features m×2C of every labelled token of every pair, labels, places, and the bytes of a tile of one date."""
    dates: dict[str, Sent] = {}
    parts: dict[str, list[FloatArray]] = {}
    labels, groups = [], []
    for pair in naip_pairs(data, split):
        for image in (pair.before, pair.after):
            if image.name not in dates:
                whole = image.reflectance(0, 0, image.height, image.width)
                pixels, present = place_bands(whole, image.bands, send.bands)
                dates[image.name] = send("naip", cut(pixels), present, cut(image.validity))
        before, after = dates[pair.before.name], dates[pair.after.name]
        grid = before.validity.shape[1]
        target = np.stack([token_labels(tile, tile.shape[0] // grid) for tile in cut(pair.target)])
        known = (target != UNLABELLED) & before.validity & after.validity
        for name, x in before.tokens.items():
            both = np.concatenate([x, after.tokens[name] - x], axis=-1)
            parts.setdefault(name, []).append(both[known])
        labels.append(target[known])
        groups.append(np.nonzero(known)[0])  # a tile of the place, on all its dates
    size = float(np.mean([sent.bytes_per_tile for sent in dates.values()]))
    features = {name: np.concatenate(part) for name, part in parts.items()}
    return features, np.concatenate(labels), np.concatenate(groups), size
