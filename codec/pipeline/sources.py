"""Latents as a caller gives them → planes ready to be quantised: checked, unknown tokens filled, masked tiles 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.bitstream.derived import derived_invalid
from codec.errors import InputError
from codec.package import Package
from codec.types import BoolArray, FloatArray, Latent, TileGrid


@dataclass(frozen=True)
class Source:
    """One plane ready to be quantised."""

    number: int
    values: FloatArray  # N×C×F
    validity: BoolArray  # N×h×w, own tokens only
    coded: BoolArray  # N, False = masked


def sources(package: Package, latents: Sequence[Latent], grid: TileGrid) -> list[Source]:
    """Every plane of the package once, by number. Raises InputError as `codec.pipeline.encode` says."""
    core_side = package.tile.core
    if (grid.core_height, grid.core_width) != (core_side, core_side):
        raise InputError(
            "the grid's tiles are not the package's",
            expected=f"{core_side}×{core_side} pixels",
            found=f"{grid.core_height}×{grid.core_width}",
        )
    given = sorted(latents, key=lambda latent: latent.plane)
    if [latent.plane for latent in given] != list(range(len(package.planes))):
        raise InputError(
            "the latents do not name each plane of the package once",
            expected=", ".join(plane.name for plane in package.planes),
            found=[latent.plane for latent in given],
        )
    return [_prepare(package, latent, grid) for latent in given]


def _prepare(package: Package, latent: Latent, grid: TileGrid) -> Source:
    entry = package.planes[latent.plane]
    spec = entry.spec
    if entry.name not in package.transforms:
        raise InputError(
            f"plane {entry.name!r} holds integers; it has no latents",
            fix="pack the array with codec.arrays.pack",
        )
    shape = (grid.n_tiles, spec.channels, spec.n_frequencies)
    tokens = (grid.n_tiles, spec.rows, spec.cols)
    if latent.values.shape != shape or latent.token_validity.shape != tokens:
        raise InputError(
            f"the latents of plane {entry.name!r} do not fit the grid and the package",
            expected=f"values {shape}, validity {tokens}",
            found=f"{latent.values.shape}, {latent.token_validity.shape}",
        )
    known: BoolArray = np.logical_and(latent.token_validity, ~derived_invalid(grid, spec))
    coded = np.asarray(known.any(axis=(1, 2)))
    values = np.asarray(latent.values, dtype=np.float32)
    if not coded.all():
        values = np.where(coded[:, None, None], values, np.float32(0))
    broken = np.isnan(values).any(axis=(1, 2))
    if broken.any():
        raise InputError(
            f"plane {entry.name!r}: a latent of tile {int(broken.argmax())} is not a number",
            fix="look for NaN pixels or weights before the encoder; mark unmeasured pixels invalid instead",
        )
    return Source(latent.plane, package.transforms[entry.name].refill(values, known), known, coded)
