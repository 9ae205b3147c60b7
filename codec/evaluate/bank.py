"""The features of one model and its rivals on EuroSAT, computed once and shared by the protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from codec.errors import InputError
from codec.evaluate import scenes as sets
from codec.evaluate.features import (
    open_teacher,
    pixel_statistics,
    pooled,
    random_convolutions,
    random_twin,
    teacher_tokens,
    without_position,
)
from codec.evaluate.measured import Subject
from codec.heads.pooling import mean_and_spread
from codec.models.galileo import GalileoTeacher
from codec.models.vit import Encoder
from codec.types import FloatArray

Feature = Callable[[sets.Scenes], FloatArray]
RIVALS = ("pixel-statistics", "random-twin", "random-convolutions", "teacher")


class Bank:
    """Feature name → one function per seed: the model under its name, and the rivals that were asked for.

    The encoders are seeds of one model: same bands, same architecture. `margin`: pixels by which its tiles overlap in
    maps.
    """

    def __init__(
        self,
        subject: Subject,
        encoders: Sequence[Encoder],
        data: Path,
        *,
        rivals: Sequence[str] = RIVALS,
        margin: int = 0,
    ) -> None:
        if not encoders or any(e.config != encoders[0].config for e in encoders):
            raise InputError(
                "the encoders must be seeds of one model", found=[str(e.config) for e in encoders]
            )
        self.subject, self.encoders, self.data = subject, tuple(encoders), Path(data)
        self.margin = margin
        config, seeds = encoders[0].config, range(len(encoders))
        self.bands = config.bands
        self.twins = tuple(random_twin(config, s) for s in seeds) if "random-twin" in rivals else ()
        self._teacher: GalileoTeacher | None = None
        of: Mapping[str, list[Feature]] = {
            "pixel-statistics": [pixel_statistics],
            "random-twin": [partial(pooled, twin) for twin in self.twins],
            "random-convolutions": [partial(random_convolutions, seed=s) for s in seeds],
            "teacher": [self._of_teacher],
        }
        unknown = [name for name in rivals if name not in of]
        if unknown:
            raise InputError(f"there is no rival {unknown[0]}", expected=", ".join(RIVALS), found=unknown)
        self.functions = {name: of[name] for name in rivals} | {
            subject.name: [partial(pooled, encoder) for encoder in encoders]
        }
        self._known: dict[tuple[str, str, tuple[str, ...]], FloatArray] = {}

    @property
    def teacher(self) -> GalileoTeacher:
        if self._teacher is None:
            self._teacher = open_teacher(self.data)
        return self._teacher

    def _of_teacher(self, scenes: sets.Scenes) -> FloatArray:
        """Mean‖std of the teacher's tokens less their mean per position over the training tiles of these bands."""
        present = np.asarray(scenes.tiles.present.all(axis=0), np.bool_).tolist()
        given = tuple(band for band, there in zip(scenes.bands, present, strict=True) if there)
        pool = teacher_tokens(self.teacher, sets.eurosat(self.data, ("train",)).with_bands(given))
        return mean_and_spread(without_position(teacher_tokens(self.teacher, scenes), pool))

    def cases(self, wanted: Sequence[str] = ("12", "10", "6", "4", "3")) -> dict[str, tuple[str, ...]]:
        """Band cases the model can take: name → bands."""
        return sets.band_cases(self.bands, wanted)

    def eurosat(self, feature: str, splits: Sequence[str], keep: tuple[str, ...]) -> FloatArray:
        """S×N×F features of the tiles of these splits with these bands."""
        parts = []
        for split in splits:
            key = (feature, split, keep)
            if key not in self._known:
                tiles = sets.eurosat(self.data, (split,)).with_bands(keep)
                self._known[key] = np.stack([function(tiles) for function in self.functions[feature]])
            parts.append(self._known[key])
        return np.concatenate(parts, axis=1)
