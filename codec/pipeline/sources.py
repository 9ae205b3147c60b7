"""Latents as a caller gives them → planes ready to be quantised: checked, unknown tokens filled, masked tiles 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.bitstream.derived import derived_invalid
from codec.errors import InputError
from codec.package import Package
from codec.transform.quantiser import MAX_MAGNITUDE
from codec.types import BoolArray, FloatArray, Latent, TileGrid

_CHUNK = 1024  # tiles looked at at a time: bounds the temporary copies


@dataclass(frozen=True)
class Source:
    """One plane ready to be quantised."""

    number: int
    values: FloatArray  # N×C×F
    validity: BoolArray  # N×h×w, own tokens only
    coded: BoolArray  # N, False = masked


def sources(package: Package, latents: Sequence[Latent], grid: TileGrid) -> list[Source]:
    """Every plane of the package once, by number; tiles that are not `codable` are masked. Raises as that does."""
    usable, _ = codable(package, latents, grid)
    return [_prepare(package, latent, grid) for latent in usable]


def codable(package: Package, latents: Sequence[Latent], grid: TileGrid) -> tuple[list[Latent], BoolArray]:
    """The same latents by plane, tiles that no file can hold marked invalid in every plane; and which these are (N).

    These are tiles with data that have, in some plane, a latent that is not finite or lies beyond 32,767 steps of the
    coarsest quality: whatever came out would be a wrong value. Raises InputError where that leaves no tile of those that
    had data, and for latents that fit neither the package nor the grid.
    """
    given = _checked(package, latents, grid)
    bad, data = (np.zeros(grid.n_tiles, dtype=bool) for _ in range(2))
    for latent in given:
        coded = _own(package, latent, grid).any(axis=(1, 2))
        bad |= coded & _uncodable(package, latent, grid)
        data |= coded
    if not bad.any():
        return given, bad
    if not (data & ~bad).any():
        raise InputError(
            f"latents are not finite, or beyond all that can be coded, in all {int(data.sum())} tiles with data",
            fix="check the encoder and what it was given",
        )
    return [
        Latent(
            latent.plane,
            np.where(bad[:, None, None], np.float32(0), latent.values),
            latent.token_validity & ~bad[:, None, None],
        )
        for latent in given
    ], bad


def _checked(package: Package, latents: Sequence[Latent], grid: TileGrid) -> list[Latent]:
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
    for latent in given:
        _check_plane(package, latent, grid)
    return given


def _check_plane(package: Package, latent: Latent, grid: TileGrid) -> None:
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


def _own(package: Package, latent: Latent, grid: TileGrid) -> BoolArray:
    """Valid tokens N×h×w that belong to their tile."""
    spec = package.planes[latent.plane].spec
    return np.asarray(np.logical_and(latent.token_validity, ~derived_invalid(grid, spec)))


def _uncodable(package: Package, latent: Latent, grid: TileGrid) -> BoolArray:
    """N tiles that hold what is no number, or has no symbol at any quality."""
    limit = MAX_MAGNITUDE * package.maps(latent.plane, package.ladder_indices[-1]).step
    bad, far = (np.zeros(len(latent.values), dtype=bool) for _ in range(2))
    for start in range(0, len(bad), _CHUNK):
        tiles = slice(start, start + _CHUNK)
        magnitude = np.abs(latent.values[tiles])
        bad[tiles] = ~np.isfinite(magnitude).all(axis=(1, 2))
        far[tiles] = (magnitude > limit).any(axis=(1, 2))
    far &= ~bad
    if far.any():  # what lies far out may be a token that is not valid, and is filled anyway
        refill = package.transforms[package.planes[latent.plane].name].refill
        known = _own(package, latent, grid)[far]
        filled = refill(np.asarray(latent.values[far], dtype=np.float32), known)
        bad[far] = ~(np.abs(filled) <= limit).all(axis=(1, 2))
    return bad


def _prepare(package: Package, latent: Latent, grid: TileGrid) -> Source:
    entry = package.planes[latent.plane]
    known = _own(package, latent, grid)
    coded = np.asarray(known.any(axis=(1, 2)))
    values = np.asarray(latent.values, dtype=np.float32)
    if not coded.all():
        values = np.where(coded[:, None, None], values, np.float32(0))
    return Source(latent.plane, package.transforms[entry.name].refill(values, known), known, coded)
