"""What one adapted encoder is worth: real bytes, error, and two cheap heads on what its bytes decode to.

    bytes      of the strings of 64 tiles, whole, over all EuroSAT tiles
    D          masked squared error of views that were kept back, rounded as in use
    Lagrangian λ·D + bits per token of the same views: the one number that sets and lengths at one λ can be ordered by
    class      accuracy of a linear head on mean tokens, EuroSAT train → val
    spectra    explained variance of the pixels' spectra and texture by a ridge on single tokens, the same split

Heads are trained on the point's own decoded tokens, as the published heads are for each rate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from codec.errors import InputError
from codec.evaluate.intervals import bootstrap, mean_sums
from codec.evaluate.rate.adapted import opened_points
from codec.evaluate.rate.features import gathered
from codec.evaluate.rate.plain_encoders import grid_validity
from codec.evaluate.rate.protocol import folds
from codec.evaluate.rate.scoring import answers
from codec.evaluate.rate.sets import read
from codec.evaluate.rate.targets import Evidence, samples
from codec.evaluate.rate.types import Planes
from codec.evaluate.rows import Row
from codec.heads.regimes import UNCOMPRESSED
from codec.models.bands import S2_NANO_BANDS
from codec.nec.coding import recipe_of
from codec.nec.measure import Measured
from codec.nec.point import MEASURES, Place
from codec.nec.train import REPORT
from codec.types import BoolArray, FloatArray

SUITE = "adaptation"
SET, TARGETS = "eurosat", ("class", "spectra")
RESAMPLES = 5


@dataclass(frozen=True)
class Measure:
    """Where points come from and what they are asked."""

    place: Place

    @cached_property
    def evidence(self) -> Evidence:
        """EuroSAT in the bands of the encoder."""
        if self.place.data is None:
            raise InputError("the heads need the data collection", fix="give --data")
        return read([SET], self.place.data, S2_NANO_BANDS)[SET]

    def rows(self, run: Path, case: str, seed: str) -> Iterator[Row]:
        """Of a finished run. Raises InputError for another folder."""
        found = Measured(**json.loads((run / MEASURES).read_text()))
        report, recipe = json.loads((run / REPORT).read_text()), recipe_of(run / "point.pt")
        method = opened_points("screened", [run], self.place)
        (coder,) = method.by_setting.values()
        tiles = self.evidence.tiles
        validity = grid_validity(tiles, coder.model.encoder.patch)
        coded = method.code(tiles, Planes({}, validity), method.settings[0])
        bits = found.bits_real * coder.model.encoder.width
        lagrangian = recipe.rate.weight * found.distortion_rounded + bits
        yield Row(SUITE, case, "bytes", coded.bytes_per_tile, unit="B/tile", n=len(tiles), seeds=seed)
        yield Row(SUITE, case, "rate", found.bits_real, unit="bit per element", n=found.tiles, seeds=seed)
        error = "masked squared error, normalised pixels"
        yield Row(SUITE, case, "D", found.distortion_rounded, unit=error, n=found.tiles, seeds=seed)
        yield Row(SUITE, case, "Lagrangian", lagrangian, unit="bit per token", n=found.tiles, seeds=seed)
        yield Row(SUITE, case, "trained share", report["trained"]["share"], unit="of parameters", seeds=seed)
        yield Row(SUITE, case, "CPU time", report["energy"]["cpu_s"], unit="s", seeds=seed)
        yield from self._heads(coded.planes, validity, case, seed)

    def _heads(
        self, planes: Mapping[str, FloatArray], validity: BoolArray, case: str, seed: str
    ) -> Iterator[Row]:
        tiles = self.evidence.tiles
        (fold,) = folds(self.evidence, "val")
        for target in self.evidence.targets:
            if target.name not in TARGETS:
                continue
            of = samples(target, tiles)
            x = gathered(planes, ("tokens",), validity, tiles, target)
            sides = [(fold.fit[of.tile], fold.held[of.tile])]
            n_classes = len(target.classes)
            said = answers({UNCOMPRESSED: x}, {}, of, sides, n_classes, "one", n_resamples=RESAMPLES)
            held = fold.held[of.tile]
            if n_classes:
                values, name, unit = (said.predicted[:, 0, held] == of.y[held]), "accuracy", "share"
            else:
                values, name, unit = 1 - said.loss[:, 0, held], "explained variance", "of variance"
            found = bootstrap(mean_sums(values.astype(np.float64), of.groups[held]))
            yield Row(
                SUITE, case, f"{target.name} {name}", found.value, found.low, found.high,
                f"{unit} [95% interval over places and training sets]", n=int(held.sum()), seeds=seed,
            )  # fmt: skip
