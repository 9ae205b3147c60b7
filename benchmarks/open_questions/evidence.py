"""Encoders of several seeds, labelled sets, and which tiles codecs, heads and choices may see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from codec.errors import InputError
from codec.evaluate.rate.protocol import codec_training, folds
from codec.evaluate.rate.sets import HELD_BACK, read
from codec.evaluate.rate.targets import Evidence
from codec.models.vit import Encoder
from codec.models.weights import load_encoder
from codec.types import BoolArray

SUITE = "questions"
S2_SETS = ("eurosat", "water", "landuse", "sky")


@dataclass(frozen=True)
class Bench:
    """Where things lie."""

    data: Path
    runs: Path  # encoders of several seeds; what is computed once lies in `questions` there

    def encoders(self, names: Sequence[str]) -> list[Encoder]:
        """Trained encoders by file name without ending."""
        found = []
        for name in names:
            path = self.runs / f"{name}.safetensors"
            if not path.is_file():
                raise InputError("no such encoder", path=path, fix="train it: python -m codec.pretrain train")
            found.append(load_encoder(path))
        return found


@dataclass(frozen=True)
class Sets:
    """Labelled sets in the bands of an encoder."""

    data: Path
    names: tuple[str, ...]
    bands: tuple[str, ...]

    @cached_property
    def evidence(self) -> dict[str, Evidence]:
        return read(self.names, self.data, self.bands)

    def training(self, name: str) -> dict[str, BoolArray]:
        """Tiles of each set that codecs for set `name` are fitted on: never one that is scored."""
        allowed = codec_training(name, self.evidence, HELD_BACK)
        for fold in folds(self.evidence[name], "unseen"):
            if name in allowed and (allowed[name] & fold.held).any():
                raise InputError(f"a codec for {name!r} would be fitted on what is scored")
        return allowed

    def whole(self, name: str, validity: dict[str, BoolArray]) -> dict[str, BoolArray]:
        """Of those the wholly measured ones, by `validity` N×h×w of each set."""
        return {
            other: np.asarray(keep & validity[other].all(axis=(1, 2)), np.bool_)
            for other, keep in self.training(name).items()
        }
