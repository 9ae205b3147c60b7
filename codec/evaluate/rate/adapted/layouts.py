"""The published evaluation sets as their authors lay them out: UC Merced's class folders, Potsdam's coloured labels.

Readers, names, legends and splits are those of `codec.data`. Here the pictures become tiles of the encoder that is scored:

    ucmerced   the whole picture, the largest square in the middle, resized to one tile (published: a 256-pixel crop of 292);
               splits are blocks of numbers, for neighbouring numbers may show one source picture
    potsdam    tiles side by side at the 5 cm of the files, of each picture as many as fit into memory, spread evenly;
               labels without object borders; splits are the contest's, whose held-back pictures are `test`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from codec.data.labelled import UNLABELLED, place_bands, token_labels
from codec.data.potsdam import CLASSES as POTSDAM_CLASSES
from codec.data.potsdam import GSD_M as POTSDAM_GSD
from codec.data.potsdam import TEST, TRAIN, Product, potsdam
from codec.data.ucmerced_folder import BLOCKS, NEIGHBOURS, number_of, ucmerced_folder
from codec.data.ucmerced_folder import GSD_M as UCMERCED_GSD
from codec.errors import InputError
from codec.evaluate.rate.own_set import MOST_BYTES
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import TileSet
from codec.nec.encoders import MaskedEncoder
from codec.nec.pictures import middle
from codec.pretrain.views import resize
from codec.types import BoolArray, FloatArray


def ucmerced_evidence(root: Path, encoder: MaskedEncoder) -> Evidence:
    """One tile a picture, one of 21 classes; pictures between two splits are left out."""
    samples = ucmerced_folder(root)
    pixels, labels, groups, split = [], [], [], []
    sides = []
    for index, name in enumerate(samples.names):
        number = number_of(name)
        of = [part for part, numbers in BLOCKS.items() if number in numbers]
        if not of:
            continue
        sample = samples[index]
        label = int(sample.target)
        row, col, side, _ = middle(sample.image)
        square = resize(sample.image.reflectance(row, col, side, side), encoder.tile)
        pixels.append(place_bands(square, sample.image.bands, encoder.names)[0])
        labels.append(label)
        groups.append(1000 * label + number // NEIGHBOURS)
        split.append(of[0])
        sides.append(side)
    if set(split) != set(BLOCKS):
        raise InputError(
            "UC Merced's blocks of numbers are not all there",
            path=root,
            expected=", ".join(
                f"{part} {numbers[0]:02}–{numbers[-1]:02}" for part, numbers in BLOCKS.items()
            ),
            found=", ".join(sorted(set(split))) or "none",
            fix="unpack the archive again",
        )
    gsd = UCMERCED_GSD * float(np.median(sides)) / encoder.tile
    n = len(pixels)
    tiles = TileSet(
        "ucmerced", encoder.names, np.stack(pixels), _present(encoder, ("red", "green", "blue"), n),
        np.ones((n, encoder.tile, encoder.tile), np.bool_), np.arange(n), np.zeros((n, 2), np.int64),
        np.array(groups), gsd,
    )  # fmt: skip
    target = Target("class", "tile", np.array(labels, np.int64), samples.classes)
    return Evidence(tiles, (target,), np.array(split), keeps_split=True)


def potsdam_evidence(root: Path, encoder: MaskedEncoder) -> Evidence:
    """Tiles of every picture that is there, six classes a token; a group is a picture."""
    product: Product = "RGBIR" if "nir" in encoder.names or not any(root.rglob("*_RGB.tif")) else "RGB"
    there = [name for name in (*TRAIN, *TEST) if any(root.rglob(f"top_potsdam_{name}_*.tif"))]
    samples = potsdam(root, tuple(there) or TRAIN[:1], product=product, no_boundary=True)
    side, patch = encoder.tile, encoder.patch
    most = max(1, MOST_BYTES // (4 * len(encoder.names) * side * side * len(there)))
    parts: list[tuple[FloatArray, BoolArray, np.ndarray, int, tuple[int, int]]] = []  # type: ignore[type-arg]
    bands: tuple[str, ...] = ()
    for number, sample in enumerate(samples):
        image, bands = sample.image, sample.image.bands
        n_rows, n_cols = image.height // side, image.width // side
        if not n_rows * n_cols:
            raise InputError(
                "the picture is smaller than a tile",
                path=image.name,
                expected=f"{side} pixels a side",
                found=f"{image.height}×{image.width}",
            )
        some = np.unique(np.linspace(0, n_rows * n_cols - 1, min(most, n_rows * n_cols)).astype(np.int64))
        for row, col in ((int(at) // n_cols, int(at) % n_cols) for at in some):
            cut = np.s_[row * side : (row + 1) * side, col * side : (col + 1) * side]
            labels = token_labels(np.where(image.validity[cut], sample.target[cut], UNLABELLED), patch)
            pixels = place_bands(image.reflectance(row * side, col * side, side, side), bands, encoder.names)[
                0
            ]
            parts.append((pixels, image.validity[cut], labels, number, (row, col)))
    pixels_, valid, labels_, scene, place = zip(*parts, strict=True)
    scenes = np.array(scene)
    tiles = TileSet(
        "potsdam", encoder.names, np.stack(pixels_), _present(encoder, bands, len(parts)), np.stack(valid),
        scenes, np.array(place), scenes, POTSDAM_GSD,
    )  # fmt: skip
    split = np.array(["train" if there[s] in TRAIN else "test" for s in scene])
    if len(np.unique(split)) < 2:
        raise InputError(
            "Potsdam's pictures are all of one split",
            path=root,
            expected=f"some of {', '.join(TRAIN[:3])}, … and of {', '.join(TEST[:3])}, …",
            found=", ".join(there),
        )
    target = Target("segments", "token", np.stack(labels_), POTSDAM_CLASSES)
    return Evidence(tiles, (target,), split, keeps_split=True)


def _present(encoder: MaskedEncoder, bands: tuple[str, ...], n: int) -> BoolArray:
    """N×B."""
    return np.tile(np.array([name in bands for name in encoder.names]), (n, 1))


LAYOUTS: Mapping[str, Callable[[Path, MaskedEncoder], Evidence]] = {
    "ucmerced": ucmerced_evidence,
    "potsdam": potsdam_evidence,
}
