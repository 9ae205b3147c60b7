"""Tables for coefficients that are all quantised with one step: the rivals' way to our entropy coder.

One step for all coefficients of an orthonormal transform is reverse water-filling: the least squared error for the bits.
Coefficients that share a table form a *group*: a channel, or all of about equal scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.transform.layout import QUARTER_OCTAVES, band_of_frequency
from codec.transform.levels import Pool, fit_level, histogram
from codec.transform.rate import COST_UNITS_PER_BYTE, magnitude_costs
from codec.transform.tables import PlaneMaps, Tables, UInt8Array
from codec.types import FloatArray, PlaneKind

MAX_GROUPS = 128  # tables of one file


@dataclass(frozen=True)
class Groups:
    """Which coefficients share a table."""

    rows: int
    cols: int
    bands: UInt8Array  # F: band of each frequency, or of each token where there is no transform over tokens
    group: UInt8Array  # B×C

    @property
    def n_groups(self) -> int:
        return int(self.group.max()) + 1

    def members(self, number: int) -> npt.NDArray[np.bool_]:
        """C×F, the coefficients of one group."""
        result: npt.NDArray[np.bool_] = (self.group == number)[self.bands].T
        return result


def by_channel(latents: FloatArray, rows: int, cols: int) -> Groups:
    """Every channel its own table; above 128 channels those of nearest scale share one. Latents N×C×F."""
    channels, n_tokens = latents.shape[1:]
    # The format keeps frequency 0 apart; both bands have the same groups here.
    bands = np.minimum(np.arange(n_tokens), 1).astype(np.uint8)
    group = np.arange(channels)
    if channels > MAX_GROUPS:
        strongest_first = np.argsort(-np.square(latents, dtype=np.float64).mean(axis=(0, 2)), kind="stable")
        group[strongest_first] = np.arange(channels) * MAX_GROUPS // channels
    return Groups(rows, cols, bands, np.tile(group.astype(np.uint8), (int(bands.max()) + 1, 1)))


def by_scale(latents: FloatArray, rows: int, cols: int) -> Groups:
    """All (diagonal of frequencies, channel) of one quarter octave of scale share a table. Latents N×C×F."""
    bands = band_of_frequency("diagonal", rows, cols)
    power = np.square(latents, dtype=np.float64).mean(axis=0)
    mean = np.stack([power[:, bands == b].mean(axis=1) for b in range(int(bands.max()) + 1)])
    octaves = 0.5 * np.log2(np.maximum(mean, np.finfo(np.float32).tiny))
    classes = np.rint(QUARTER_OCTAVES * (octaves - octaves.max())).astype(np.int64)
    _, group = np.unique(np.maximum(classes, 1 - MAX_GROUPS), return_inverse=True)
    return Groups(rows, cols, bands, group.reshape(mean.shape).astype(np.uint8))


@dataclass(frozen=True)
class OneStep:
    """Training magnitudes of every group, from which the tables of any step are made."""

    groups: Groups
    pools: tuple[Pool, ...]

    @classmethod
    def fit(cls, latents: FloatArray, groups: Groups) -> OneStep:
        """From training latents N×C×F."""
        magnitudes = (np.abs(latents[:, groups.members(g)]).ravel() for g in range(groups.n_groups))
        return cls(groups, tuple(Pool.of(m) for m in magnitudes))

    def tables(self, step: float) -> Tables:
        """A file of one step, one layer and a table for each group, with conditional means."""
        groups = self.groups
        plane = PlaneMaps(
            groups.rows,
            groups.cols,
            groups.group.shape[1],
            PlaneKind.FLOAT,
            (0,),
            groups.bands,
            np.zeros_like(groups.group),
            groups.group,
        )
        levels = tuple(fit_level([pool], 1.0 / step) for pool in self.pools)
        return Tables(np.array([step], dtype=np.float32), levels, (plane,))

    def bytes_per_tile(self, tables: Tables) -> float:
        """Payload of a training tile by integer costs, records' own bytes not counted."""
        step, total = float(tables.ladder[0]), 0.0
        for number, (pool, level) in enumerate(zip(self.pools, tables.levels, strict=True)):
            h = histogram([pool], 1.0 / step, level.theta)
            mean = float(h.counts @ magnitude_costs(level, len(h.counts))) / max(1.0, float(h.counts.sum()))
            total += mean * int(self.groups.members(number).sum())
        return total / COST_UNITS_PER_BYTE
