"""Real embeddings that no codec of this benchmark was fitted on, by the harness's own split; and those that they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.rate.run import Run, Setting
from codec.evaluate.rate.suite import SUITES
from codec.evaluate.rate.suite_run import prepared
from codec.package import Package, load
from codec.types import BoolArray, FloatArray

SETS = ("eurosat", "landuse", "water", "sky")
SPLITS = 3  # disjoint parts of the training windows that tables are fitted on
_BLOCK = 64  # neighbouring training windows stay in one part


@dataclass(frozen=True)
class HeldOut:
    """Tiles of one set outside the collection's training part."""

    name: str
    tokens: FloatArray  # N×h×w×C
    latents: FloatArray  # N×C×F of the package
    groups: npt.NDArray[np.int64]  # N, places that are drawn whole
    chosen: BoolArray  # of the set's tiles: these N


@dataclass(frozen=True)
class Collection:
    """What is measured on, and what may be fitted on."""

    package: Package
    run: Run
    held: list[HeldOut]
    train: Path
    data: Path  # folder of the data collection

    def training(self, plane: str) -> tuple[FloatArray, BoolArray]:
        """Embeddings of the training windows without an unmeasured token, and SPLITS×N which part each belongs to."""
        if not self.train.is_file():
            raise InputError(
                "no training embeddings",
                path=self.train,
                fix="python -m codec.pretrain embed --data FOLDER --encoder FILE --out FILE",
            )
        with np.load(self.train, allow_pickle=False) as archive:
            whole = archive["token_validity"].all(axis=(1, 2))
            values = archive[plane][whole]
        part = np.arange(len(values)) // _BLOCK % SPLITS
        return values, np.stack([part == split for split in range(SPLITS)])


def open_collection(package: str, data: Path, out: Path, train: Path, resamples: int = 5) -> Collection:
    """The sets of the harness under one package; planes are computed once and kept under `out`."""
    work = prepared(
        SUITES["default"], package, data, out, Setting("val", resamples=resamples), SETS, ("base",)
    )
    opened = load(package)
    transform = opened.transforms["tokens"]
    held = []
    for name in SETS:
        evidence, planes = work.run.sets[name], work.run.planes(name)
        scored = np.any([fold.held for fold in work.run.setting.folds(evidence)], axis=0)
        keep = scored & planes.validity.all(axis=(1, 2))
        tokens = np.asarray(planes.values["tokens"][keep])
        held.append(HeldOut(name, tokens, transform.analyse(tokens), evidence.tiles.groups[keep], keep))
    return Collection(opened, work.run, held, train, data)
