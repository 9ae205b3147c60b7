"""The evidence tasks that adapters learn, and who answers each tile: an adapter and a head that saw no tile of its place.

Tiles of a set are dealt into folds by place; each fold is answered by a model trained on the others. Settings are fixed
before any of them is looked at, so every tile is a test of all that it was not trained on. A place is a 1-degree cell of
`eurosat`, and one tile on all dates elsewhere: tiles beside it, of the same scene, may have been learned from. What encoders
saw before, without labels of these tasks, stands in their manifests.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from codec.adapt import Adapted, apply, base_of
from codec.adapt.spectra import interpolated, wavelength_names
from codec.adapt.training import NO_CLASS, Labelled, TaskRecipe, logits, train
from codec.adapt.types import FrozenSettings, Method
from codec.evaluate.intervals import Statistic, accuracy_of, confusion_sums, mean_iou_of
from codec.evaluate.probes import grouped_folds
from codec.evaluate.rate.sets import MULTISPECTRAL, SETS
from codec.models.bands import BAND_LISTS, S2_NANO_BANDS
from codec.models.foreign.galileo import GalileoEncoder
from codec.models.foreign.load import load_foreign
from codec.models.weights import load_encoder
from codec.types import FloatArray

FOLDS = 3
GALILEO, ALL_GROUPS = "galileo_nano", "galileo_nano, all groups"
TASKS = MULTISPECTRAL
RGB_BANDS = BAND_LISTS["rgb"]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of answering: an encoder, a method and its settings."""

    name: str
    method: Method
    encoder: str = "rgb-small"  # a package, GALILEO (its RGB group) or ALL_GROUPS
    settings: dict[str, Any] = field(default_factory=dict)
    rate: float | None = None  # None: the recipe's
    beside: str = ""  # the arm whose scores its own are held against; "": DEFLECT, or the first of the part
    narrow: int = (
        0  # narrow bands, interpolated between the twelve, in the place of all but red, green and blue
    )


@dataclass(frozen=True, slots=True)
class Task:
    """A set with one class target, and how it is scored."""

    name: str
    data: Labelled
    groups: IntArray  # N

    @classmethod
    def read(cls, name: str, folder: Path) -> Task:
        evidence = SETS[name](folder, S2_NANO_BANDS)
        tiles, target = evidence.tiles, next(t for t in evidence.targets if t.is_class)
        labels = np.asarray(target.labels, np.int64)
        data = Labelled(tiles.pixels, tiles.present, tiles.validity, labels, target.classes)
        return cls(name, data, tiles.groups)

    def narrow(self, count: int) -> tuple[Task, tuple[str, ...]]:
        """The same with red, green, blue and `count` narrow bands, and their names."""
        names = wavelength_names(count, S2_NANO_BANDS)
        own = [S2_NANO_BANDS.index(band) for band in RGB_BANDS]
        data = self.data
        pixels = np.concatenate(
            [data.pixels[:, own], interpolated(data.pixels, S2_NANO_BANDS, names)], axis=1
        )
        present = np.ones(pixels.shape[:2], np.bool_)
        found = Labelled(pixels, present, data.validity, data.labels, data.classes)
        return Task(self.name, found, self.groups), (*RGB_BANDS, *names)

    @property
    def places(self) -> int:
        """What folds and intervals draw."""
        return len(np.unique(self.groups))

    @property
    def score(self) -> tuple[str, Statistic]:
        """Accuracy of tiles, mean IoU of tokens."""
        return ("accuracy", accuracy_of) if self.data.labels.ndim == 1 else ("mean IoU", mean_iou_of)

    def sums(self, answers: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Confusion matrices by group of answers S×N(×h×w)."""
        known = self.data.labels != NO_CLASS
        index = np.nonzero(known)[0]
        return confusion_sums(
            self.data.labels[known], answers[:, known], self.groups[index], len(self.data.classes)
        )


@dataclass(frozen=True, slots=True)
class Folders:
    """Where encoders lie."""

    data: Path  # the data collection
    models: Path  # packages

    def encoder(self, name: str) -> nn.Module:
        if name in (GALILEO, ALL_GROUPS):
            return load_foreign("galileo_nano_encoder", self.data / "galileo_nano" / "encoder.pt")
        return load_encoder(self.models / name / "encoder.safetensors")


@dataclass(frozen=True, slots=True)
class Answered:
    """What one seed of an arm said of every label, and what it took."""

    answers: npt.NDArray[np.int64]
    trained: int  # numbers that learn, without the head
    base: int  # of the base


def answer(arm: Arm, task: Task, recipe: TaskRecipe, where: Folders, out: Path) -> Answered:
    """All folds of one seed (`recipe.seed`); kept in `out` under a name that says all that decides but this code, and read
    from there: of arms that are one adapter under several names it is computed once.
    """
    if arm.rate is not None:
        recipe = recipe.model_copy(update={"rate": arm.rate})
    encoder = where.encoder(arm.encoder)
    task, bands = task.narrow(arm.narrow) if arm.narrow else (task, S2_NANO_BANDS)
    adapted = adapter(arm, encoder, recipe, bands)
    decides = [arm.method, adapted.settings.model_dump(mode="json"), recipe.model_dump(mode="json")]
    key = json.dumps([*decides, arm.encoder, adapted.base_sha256, _fingerprint(task), FOLDS], sort_keys=True)
    path = out / f"{task.name}-{recipe.seed}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return Answered(kept["answers"], int(kept["trained"]), int(kept["base"]))
    scores = held_out(arm, encoder, bands, task.data, task.groups, recipe)
    found = Answered(scores.argmax(-1), adapted.n_trained, adapted.base_parameters)
    keep(path, answers=found.answers, trained=found.trained, base=found.base)
    return found


def held_out(
    arm: Arm, encoder: nn.Module, bands: tuple[str, ...], data: Labelled, groups: IntArray, recipe: TaskRecipe
) -> FloatArray:
    """Logits N×K, or N×h×w×K, of every tile by an adapter that learned from the tiles of other folds."""
    fold = grouped_folds(groups, FOLDS, 0)
    found = np.zeros((*data.labels.shape, len(data.classes)), np.float32)
    for number in np.unique(fold):
        held = fold == number
        adapted = adapter(arm, encoder, recipe, bands)
        head = train(adapted, data.part(~held), recipe)
        found[held] = logits(adapted, head, data.part(held))
    return found


def keep(path: Path, **arrays: Any) -> None:
    """Write an .npz whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")  # two processes may be at the same answers
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


class _AllGroups(Adapted):
    """Galileo as it was trained, with every band group: what adapters of its RGB group are held against."""

    def __init__(self, encoder: GalileoEncoder) -> None:
        super().__init__("frozen", FrozenSettings(inputs="own"), S2_NANO_BANDS, base_of(encoder))
        self.encoder = encoder.requires_grad_(False)

    def tokens(
        self, pixels: Tensor, present: Tensor, validity: Tensor, described: Tensor | None = None
    ) -> Tensor:
        found: Tensor = self.encoder.teacher(pixels, S2_NANO_BANDS)
        return found


def adapter(arm: Arm, encoder: nn.Module, recipe: TaskRecipe, bands: tuple[str, ...]) -> Adapted:
    """The arm's adapter, before it learns."""
    if arm.encoder == ALL_GROUPS:
        assert isinstance(encoder, GalileoEncoder)
        return _AllGroups(encoder)
    return apply(encoder, arm.method, bands, **{"seed": recipe.seed, **arm.settings})


def _fingerprint(task: Task) -> str:
    digest = hashlib.sha256()
    for part in (task.data.pixels, task.data.labels, task.groups):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
