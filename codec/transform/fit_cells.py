"""Coefficients that share a class, the tables they meet at each quality, and what those cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.transform import fit_checks
from codec.transform.klt import CHUNK
from codec.transform.layout import QUARTER_OCTAVES, PlaneLayout
from codec.transform.levels import Pool, density, fit_level, histogram, sampling_bits
from codec.transform.maps import quant_maps
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs, symbol_costs
from codec.transform.tables import Level, PlaneMaps, Tables, UInt8Array
from codec.types import FloatArray

# Scale of 256 steps: the last level where tables of digits must find room behind (`fit_digits`), and escapes take over.
# Else there are as many as the finest quality meets: escapes would cost nearly 1 % there.
_HIGHEST_WITH_DIGITS = 8 * QUARTER_OCTAVES
_MOST_LEVELS = 128
LOWEST_LEVEL = 4 * QUARTER_OCTAVES  # scale of 1/16 step: its non-zeros are always negligible
LEVELS_WITH_DIGITS = LOWEST_LEVEL + _HIGHEST_WITH_DIGITS + 1


def _scales(latents: FloatArray, bands: UInt8Array) -> npt.NDArray[np.float64]:
    """Root mean square of every (band, channel), B×C, in latent units."""
    power = np.zeros(latents.shape[1:])
    for start in range(0, len(latents), CHUNK):
        power += np.square(latents[start : start + CHUNK], dtype=np.float64).sum(axis=0)
    power /= len(latents)
    return np.sqrt(np.stack([power[:, bands == b].mean(axis=1) for b in range(int(bands.max()) + 1)]))


def classes_of(latents: FloatArray, bands: UInt8Array, ladder: FloatArray, *, flat: bool) -> UInt8Array:
    """The scale of every (band, channel), B×C, in quarter octaves over the ladder's first step."""
    scale = np.maximum(_scales(latents, bands), np.finfo(np.float32).tiny)
    octaves = np.log2(scale / float(ladder[0]))
    classes = np.clip(np.rint(QUARTER_OCTAVES * octaves) + LOWEST_LEVEL, 0, 255).astype(np.uint8)
    if flat:
        classes[:] = classes[-1]  # of all tokens but the first, which is like them
    return classes


@dataclass(frozen=True)
class Cells:
    """All (band, channel) of one plane that share layer and class: they share their level at every quality."""

    klass: int
    shift: int
    per_tile: int  # coefficients of a tile
    pool: Pool  # their training magnitudes in units of the class' scale

    def level(self, ladder_index: int, n_levels: int) -> int:
        return min(max(self.klass - ladder_index - self.shift, 0), n_levels - 1)


def cells_of(plane: PlaneMaps, latents: FloatArray, ladder: FloatArray) -> list[Cells]:
    result = []
    for layer, shift in enumerate(plane.layer_shift):
        for klass in np.unique(plane.class_map[plane.layer_map == layer]):
            where = ((plane.class_map == klass) & (plane.layer_map == layer))[plane.bands].T  # C×F
            scale = float(ladder[0]) * 2.0 ** ((int(klass) - LOWEST_LEVEL) / QUARTER_OCTAVES)
            pool = Pool.of(np.abs(latents[:, where]).ravel() / np.float32(scale))
            result.append(Cells(int(klass), shift, int(where.sum()), pool))
    return result


def fit_levels(cells: list[Cells], usable: range, n_levels: int | None = None) -> tuple[Level, ...]:
    """One table per level, from the coefficients that meet it at some usable index."""
    levels = []
    for number in range(LEVELS_WITH_DIGITS if n_levels is None else n_levels):
        met = [c.pool for c in cells if any(c.klass - q - c.shift == number for q in usable)]
        levels.append(fit_level(met, 2.0 ** ((number - LOWEST_LEVEL) / QUARTER_OCTAVES)))
    return tuple(levels)


def n_levels(cells: list[Cells], usable: range, layouts: Mapping[str, PlaneLayout]) -> int:
    """How many tables there are: up to the largest ratio of scale to step."""
    if any(layout.refinements for layout in layouts.values()):
        return LEVELS_WITH_DIGITS
    needed = 1 + max((c.klass - usable.start - c.shift for c in cells), default=0)
    return max(LEVELS_WITH_DIGITS, min(_MOST_LEVELS, needed))


def frozen_losses(
    cells: list[Cells], levels: tuple[Level, ...], usable: range, kept: range | None = None
) -> dict[int, fit_checks.FrozenLoss]:
    """What freezing costs at every quality, or at those that are kept, on the training coefficients."""
    densities: dict[int, tuple[npt.NDArray[np.float64], float]] = {}
    per_tile = sum(c.per_tile for c in cells)
    losses = {}
    for index in usable if kept is None else kept:
        met = []
        for c in cells:
            number, clamped = c.klass - index - c.shift, c.level(index, len(levels))
            if not levels[clamped].thresholds:
                continue
            ratio = 2.0 ** ((number - LOWEST_LEVEL) / QUARTER_OCTAVES)
            if number not in densities:
                pools = [o.pool for o in cells if any(o.klass - q - o.shift == number for q in usable)]
                h = histogram(pools, ratio)
                densities[number] = density(h, ratio), sampling_bits(h)
            met.append(fit_checks.Met(c.pool, clamped, ratio, *densities[number], c.per_tile))
        losses[index] = fit_checks.frozen_loss(met, levels, per_tile)
    return losses


def held_out_losses(
    latents: Mapping[str, FloatArray], tables: Tables, layouts: Mapping[str, PlaneLayout], index: int
) -> dict[str, float]:
    """By plane: what scales and tables of one half of the tiles cost the other half, at one quality."""
    losses = {}
    usable = tables.usable_indices()
    for number, (name, values) in enumerate(latents.items()):
        plane, found = tables.planes[number], []
        for part in fit_checks.halves(len(values)):
            if not part.any():
                raise InputError(
                    f"plane {name!r} has one tile: no density comes of it", fix="fit to more tiles"
                )
            own = replace(
                plane,
                class_map=classes_of(
                    values[part], plane.bands, tables.ladder, flat=layouts[name].tokens == "none"
                ),
            )
            fitted = fit_levels(cells_of(own, values[part], tables.ladder), usable, len(tables.levels))
            found.append((part, Tables(tables.ladder, fitted, (own,))))
        (_, mine), (second, theirs) = found
        losses[name] = fit_checks.held_out_loss(theirs, mine, 0, values[second], index)
    return losses


def mean_bytes_of(cells: list[Cells], levels: tuple[Level, ...], usable: range) -> dict[int, float]:
    """Payload bytes of a training tile at each index: exact sums of costs, without the records' own bytes."""
    result = {}
    for index in usable:
        total = 0.0
        for c in cells:
            number = c.level(index, len(levels))
            if levels[number].thresholds:
                # The distance to the class' scale is the level's own, except where the level was clamped.
                ratio = 2.0 ** ((c.klass - index - c.shift - LOWEST_LEVEL) / QUARTER_OCTAVES)
                h = histogram([c.pool], ratio, levels[number].theta)
                costs = magnitude_costs(levels[number], len(h.counts))
                mean = float((h.counts * costs).sum()) / float(h.counts.sum())  # no `@`: see `products`
                total += c.per_tile * mean
        result[index] = total / COST_UNITS_PER_BYTE
    return result


def cell_bytes(tables: Tables, plane: int, latents: FloatArray, ladder_index: int) -> npt.NDArray[np.float64]:
    """Mean bytes of every (band, channel), B×C, at one quality."""
    symbols = quant_maps(tables, plane, ladder_index).quantise(latents)
    per_cell = symbol_costs(tables, plane, ladder_index, symbols).mean(axis=0)  # C×F
    result = np.zeros(tables.planes[plane].class_map.shape)
    np.add.at(result, tables.planes[plane].bands, per_cell.T / COST_UNITS_PER_BYTE)
    return result
