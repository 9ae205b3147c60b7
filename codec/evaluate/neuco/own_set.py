"""A small set of the same form, made of EuroSAT: it runs here, and shows nothing about the benchmark's own places.

401 tiles; ten classes one against the rest, and the numbers of the enriched table (population and night lights as
log(1 + x)). Groups are 1-degree cells. With 361 training items the published ten epochs are 60 steps of 0.001, after which
a probe has hardly left its random start; hence `PASSES` through the items per epoch, about the steps that the benchmark's
sets of a few thousand items get.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from codec.data.eurosat_table import SKEWED, eurosat_table
from codec.data.readers import eurosat as read_eurosat
from codec.evaluate import scenes
from codec.evaluate.neuco.kernels import FEATURES, random_kernel_vectors
from codec.evaluate.neuco.protocol import Entry, Task
from codec.evaluate.rate.cache import PlaneCache
from codec.evaluate.rate.encoders import PlaneEncoder
from codec.evaluate.rate.features import pooled
from codec.evaluate.rate.plain_encoders import known_bands, normalised_batches
from codec.evaluate.rate.types import IntArray, TileSet

NAME = "eurosat-small"
SPLITS = ("train", "val", "test")
PASSES = 12
KERNELS = "random-kernels+pca"


def tiles_of(data: Path) -> tuple[TileSet, tuple[str, ...]]:
    """The 401 tiles and their names."""
    found = scenes.eurosat(data, SPLITS)
    names = tuple(image.name for split in SPLITS for image in read_eurosat(data, split))
    n = len(names)
    t = found.tiles
    tiles = TileSet(
        "eurosat",
        found.bands,
        t.pixels,
        t.present,
        t.validity,
        np.arange(n),
        np.zeros((n, 2), np.int64),
        t.groups,
        10.0,
    )
    return tiles, names


def tasks_of(data: Path) -> tuple[list[Task], IntArray]:
    """Tasks by name, and the group of every tile."""
    found = scenes.eurosat(data, SPLITS)
    names = tuple(image.name for split in SPLITS for image in read_eurosat(data, split))
    classes = found.tiles.classes
    tasks = [
        Task(f"is-{name}", "classification", names, (found.labels == k).astype(np.float64))
        for k, name in enumerate(classes)
    ]
    tables = [eurosat_table(data, split) for split in SPLITS]
    for column in tables[0]:
        values = np.concatenate([np.asarray(table[column], np.float64) for table in tables])
        if column in SKEWED:
            values = np.log1p(values)
        known = np.flatnonzero(np.isfinite(values))
        tasks.append(Task(column, "regression", tuple(names[i] for i in known.tolist()), values[known]))
    return tasks, found.groups


def entry_of(
    encoder: PlaneEncoder, tiles: TileSet, names: Sequence[str], cache: PlaneCache | None = None
) -> Entry:
    """An encoder's entry: the mean of its tokens."""
    planes = encoder(tiles) if cache is None else cache.planes(encoder, tiles)
    return Entry(encoder.name, tuple(names), pooled(planes.values["tokens"], planes.validity, "mean"))


def kernel_entry(tiles: TileSet, names: Sequence[str], features: int = FEATURES, seed: int = 0) -> Entry:
    """The training-free entry on the normalised pixels."""
    pixels = np.concatenate([z for z, _ in normalised_batches(tiles, known_bands(tiles))])
    return Entry(KERNELS, tuple(names), random_kernel_vectors(pixels, features=features, seed=seed))
