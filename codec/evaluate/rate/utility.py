"""Answers on disk → utilities that curves are made of.

Three of each target, larger is better. *score*: accuracy of tiles and scenes, mean IoU of tokens, 1 − squared error of
numbers (which have variance 1). *log-likelihood*: mean log-probability of the truth, in nats. *agreement*: share of
predictions that equal those of the head on the uncompressed embedding (regime `one`, same resample): a finer instrument than
accuracy, and blind to labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.evaluate.intervals import Statistic, bootstrap, confusion_sums, mean_iou_of, mean_of
from codec.evaluate.rate.curve_intervals import Measured, size_sums
from codec.evaluate.rate.scoring import Answers
from codec.evaluate.rate.store import Key, Scored
from codec.evaluate.rate.targets import Evidence, Samples, Target, samples
from codec.evaluate.rate.types import FloatVector

Utility = Literal["score", "log-likelihood", "agreement"]
REFERENCE_REGIME = "one"


def _unexplained(sums: FloatVector) -> FloatVector:
    """Statistic of (squared error, count) of standardised numbers: the share of variance that is explained."""
    return np.asarray(1.0 - mean_of(sums), np.float64)


@dataclass(frozen=True)
class Judge:
    """One target of one set: what its answers are worth."""

    evidence: Evidence
    target: Target
    of: Samples
    reference: Answers  # heads of regime `one` on uncompressed embeddings

    @classmethod
    def of_target(cls, evidence: Evidence, target: Target, scored: Scored, view: str) -> Judge:
        """The reference is what `scored` (of an embedding method) holds at `uncompressed`."""
        return cls(
            evidence,
            target,
            samples(target, evidence.tiles),
            scored.answers[Key(target.name, view, REFERENCE_REGIME)],
        )

    @property
    def held(self) -> npt.NDArray[np.bool_]:
        """Samples that were scored."""
        return np.isfinite(self.reference.loss[0, 0])

    def statistic(self, utility: Utility) -> Statistic:
        if utility == "score" and not self.target.is_class:
            return _unexplained
        if utility == "score" and self.target.level == "token":
            return mean_iou_of
        return mean_of

    def unit(self, utility: Utility) -> str:
        if utility == "log-likelihood":
            return "nats"
        return "of variance" if not self.target.is_class else "share"

    def name(self, utility: Utility) -> str:
        """How rows and axes call it."""
        if utility != "score":
            return utility
        if not self.target.is_class:
            return "explained variance"
        return "mean IoU" if self.target.level == "token" else "accuracy"

    def measured(self, scored: Scored, key: Key, utility: Utility) -> Measured:
        """Sums of every setting of a method, with the bytes of the tiles that the samples lie in.

        Settings that take no byte at all have no place on a curve in log bytes and are left out.
        """
        answers = scored.answers[key]
        if answers.settings[1:] != scored.settings:
            raise InputError("answers and sizes name other settings", found=key.text)
        sent = np.flatnonzero(scored.sizes.sum(1) > 0)
        sums = np.stack([self._sums(answers, s + 1, utility) for s in sent], axis=1)
        tiles = self._tiles()
        return Measured(sums, size_sums(scored.sizes[np.ix_(sent, tiles)], self.evidence.tiles.groups[tiles]))

    def uncompressed(self, utility: Utility) -> FloatVector:
        """Sums of the reference head on uncompressed embeddings, R×G×F."""
        return self._sums(self.reference, 0, utility)

    def reference_value(self, utility: Utility = "score") -> float:
        return bootstrap(self.uncompressed(utility), statistic=self.statistic(utility), draws=1).value

    def _tiles(self) -> npt.NDArray[np.int64]:
        """Tiles whose bytes count: those with a scored sample; of scenes all their tiles."""
        mine = np.unique(self.of.tile[self.held])
        if self.target.level != "scene":
            return mine
        scene = self.evidence.tiles.scene
        return np.flatnonzero(np.isin(scene, scene[mine])).astype(np.int64)

    def _sums(self, answers: Answers, setting: int, utility: Utility) -> FloatVector:
        """R×G×F of one setting; groups in the order of their numbers."""
        held = self.held
        groups = self.of.groups[held]
        predicted, loss = answers.predicted[:, setting, held], answers.loss[:, setting, held]
        if utility == "agreement":
            values = (predicted == self.reference.predicted[:, 0, held]).astype(np.float64)
        elif utility == "log-likelihood" or not self.target.is_class:
            values = loss.astype(np.float64) * (-1.0 if utility == "log-likelihood" else 1.0)
        elif self.target.level == "token":
            y = np.asarray(self.of.y[held], np.int64)
            return confusion_sums(y, predicted.astype(np.int64), groups, len(self.target.classes))
        else:
            values = (predicted == self.of.y[held]).astype(np.float64)
        return _mean_parts(values, groups)


def _mean_parts(values: FloatVector, groups: npt.NDArray[np.int64]) -> FloatVector:
    """R×n values as R×G×2 sums and counts."""
    names, index = np.unique(groups, return_inverse=True)
    count = np.bincount(index, minlength=len(names)).astype(np.float64)
    return np.stack([np.stack([np.bincount(index, row, len(names)), count], axis=1) for row in values])
