"""EuroSAT, fitted clean, scored on changed tiles: what haze, gain, rounding, blur and a wrong offset cost.

A forgotten +1000 offset of Sentinel-2 (reflectance +0.1 in every band) is reported, not hoped for: no augmentation mends it,
metadata and the check of `codec.scene.dn_offset` must catch it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional as F

from codec.evaluate import scenes as sets
from codec.evaluate.bank import Bank
from codec.evaluate.fixed import ALL_BANDS
from codec.evaluate.intervals import mean_sums
from codec.evaluate.measured import Metric, difference_rows, own_row
from codec.evaluate.probes import fit_probe
from codec.evaluate.rows import Row
from codec.pretrain.jitter import HAZE_WEIGHT
from codec.types import FloatArray

METRIC = Metric("probe-accuracy", "% [95% bootstrap over cells and seeds]", 100.0)
HAZE = -0.05  # reflectance at the shortest wave: the atmosphere taken away
GAIN = 0.85
BYTE_STEP = 0.4 / 255  # of an 8-bit display export
FORGOTTEN_OFFSET = 0.1  # +1000 DN at 10,000 DN per unit of reflectance
Change = Callable[[FloatArray, tuple[str, ...]], FloatArray]


def haze(pixels: FloatArray, bands: tuple[str, ...]) -> FloatArray:
    """Additive, falling from blue to short-wave infrared."""
    weight = np.array([HAZE_WEIGHT[band] for band in bands], np.float32)
    return pixels + np.float32(HAZE) * weight[None, :, None, None]


def gain(pixels: FloatArray, bands: tuple[str, ...]) -> FloatArray:
    return pixels * np.float32(GAIN)


def rounding(pixels: FloatArray, bands: tuple[str, ...]) -> FloatArray:
    """To the steps of an 8-bit export, without its clipping."""
    return np.asarray(np.round(pixels / BYTE_STEP) * BYTE_STEP, np.float32)


def blur(pixels: FloatArray, bands: tuple[str, ...]) -> FloatArray:
    """Half the resolution: means of 2×2 pixels, interpolated back."""
    small = F.avg_pool2d(torch.from_numpy(pixels), 2)
    wide = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    return np.asarray(wide.numpy(), np.float32)


def offset(pixels: FloatArray, bands: tuple[str, ...]) -> FloatArray:
    return pixels + np.float32(FORGOTTEN_OFFSET)


CHANGES: dict[str, Change] = {
    "haze": haze,
    "gain": gain,
    "8-bit": rounding,
    "blur": blur,
    "forgotten-offset": offset,
}


def changed(scenes: sets.Scenes, change: Change) -> sets.Scenes:
    """The tiles after a change of their present bands."""
    pixels = change(scenes.tiles.pixels, scenes.bands)
    pixels = np.where(scenes.tiles.present[:, :, None, None], pixels, np.float32(0))
    return replace(scenes, tiles=replace(scenes.tiles, pixels=pixels.astype(np.float32)))


def rows(bank: Bank, split: str) -> list[Row]:
    """`eurosat-<split>/<change>/<feature>` with all bands, and the difference of each feature to itself, clean."""
    fit, held = sets.eurosat(bank.data, ("train",)), sets.eurosat(bank.data, sets.HELD_OUT[split])
    case, keep = next(iter(bank.cases().items()))
    held = held.with_bands(keep)
    n, out = len(held.labels), []
    for feature, functions in bank.functions.items():
        x = bank.eurosat(feature, ("train",), keep)
        heads = [fit_probe(a, fit.labels, fit.groups, fit.n_classes) for a in x]
        clean = bank.eurosat(feature, sets.HELD_OUT[split], keep)
        before = mean_sums(
            np.stack([h.predict(z) == held.labels for h, z in zip(heads, clean, strict=True)]), held.groups
        )
        seeds = bank.subject.seeds if feature == bank.subject.name else ",".join(map(str, range(len(heads))))
        for name, change in CHANGES.items():
            spoilt = changed(held, change)
            right = [h.predict(f(spoilt)) == held.labels for h, f in zip(heads, functions, strict=True)]
            after = mean_sums(np.stack(right), held.groups)
            where = name if case == ALL_BANDS else f"{name}-{case}"
            place = f"eurosat-{split}/{where}/{bank.subject.owner(feature)}"
            out.append(own_row(bank.subject, place, METRIC, after, n, seeds))
            out += difference_rows(
                replace(bank.subject, seeds=seeds),
                place,
                METRIC,
                after,
                ("clean", before),
                n,
                same_seeds=True,
            )
    return out
