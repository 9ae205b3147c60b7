"""Symbols chosen by rate and distortion where a budget is spent: token error of files of equal size.

Whole files by `codec.pipeline.encode`, layer 0 at the file's own quality: what the trade saves above it goes into a finer
quality of all layers. Real bytes of both files are within 2 % of the budget; errors are compared at equal bytes by the
slope between plain files of two budgets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.nec.file_mean import scenes
from benchmarks.nec.held_out import Collection
from codec import pipeline
from codec.bitstream.reader import read_bytes
from codec.evaluate.rows import Row
from codec.package import Package
from codec.types import BoolArray, FloatArray, Georeference, Latent, TileGrid

SUITE = "nec"
RATES = (100, 300, 1000)  # bytes per tile, whole file, both planes
TRADEOFFS = (0.05, 0.07, 0.09)
_MORE = 1.06  # a second budget, for the slope of error over bytes
_NOWHERE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))


@dataclass(frozen=True)
class _Scene:
    """Latents of one scene, and what they should decode to."""

    package: Package
    latents: list[Latent]
    valid: BoolArray  # N×h×w
    truth: FloatArray  # of the valid tokens

    def coded(self, budget: int, tradeoff: float) -> tuple[float, float]:
        """Logarithms of the file's bytes and of its token error."""
        side = self.package.tile.core
        data = pipeline.encode(
            self.package, self.latents, grid=TileGrid(len(self.valid) * side, side, side, side), georeference=_NOWHERE,
            sensor="benchmark", band_mask=0, time_us=0, total_bytes=budget, tradeoff=tradeoff,
        )  # fmt: skip
        file = read_bytes(data)
        found = pipeline.decode(self.package, file.header, [r.data for r in file.records])
        error = np.square(found.embeddings["tokens"].values[self.valid] - self.truth, dtype=np.float64)
        return float(np.log(len(data))), float(np.log(error.mean()))

    def gains(self, rate: int) -> dict[float, float]:
        """Logarithm of the error with each trade over that without, at equal bytes."""
        budget = rate * len(self.valid)
        (size, error), (more, finer) = self.coded(budget, 0.0), self.coded(int(_MORE * budget), 0.0)
        slope = (finer - error) / (more - size)
        found = {tradeoff: self.coded(budget, tradeoff) for tradeoff in TRADEOFFS}
        return {t: e - error - slope * (s - size) for t, (s, e) in found.items()}


def _scenes(of: Collection) -> Iterator[_Scene]:
    package = of.package
    for held in of.held:
        planes = of.run.planes(held.name)
        for _, chosen in scenes(of.run.sets[held.name]):
            valid = planes.validity[chosen]
            latents = [
                Latent(package.plane_index(name), package.transforms[name].analyse(x[chosen], valid), valid)
                for name, x in planes.values.items()
            ]
            yield _Scene(package, latents, valid, np.asarray(planes.values["tokens"][chosen])[valid])


def rows(of: Collection) -> Iterator[Row]:
    """Error with the trade over error without at equal bytes: geometric mean over scenes, with minimum and maximum."""
    every = list(_scenes(of))
    for rate in RATES:
        found = [scene.gains(rate) for scene in every]
        for tradeoff in TRADEOFFS:
            logs = np.array([gains[tradeoff] for gains in found])
            yield Row(
                SUITE, f"{of.package.name}/scenes of all sets/{rate} B a tile",
                f"token error at equal bytes, rdo λ {tradeoff:g}", float(np.exp(logs.mean())),
                float(np.exp(logs.min())), float(np.exp(logs.max())), "ratio [min, max over files]",
                "plain rounding", len(logs),
            )  # fmt: skip
