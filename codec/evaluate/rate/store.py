"""Scored answers on disk: one file per (set, method), so that an interrupted run goes on where it was.

    <folder>/<encoder>/<set>/<method>.npz

A file names what it was computed from (encoder, protocol, settings); one of another origin is refused, never mixed in.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.atomic import write_atomic
from codec.errors import Corrupt, IdentityError
from codec.evaluate.rate.scoring import Answers
from codec.evaluate.rate.types import FloatVector

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Key:
    """What one head was asked, and how it was trained."""

    target: str
    view: str  # what it saw: planes or statistics, and how they were pooled
    regime: str

    @property
    def text(self) -> str:
        return "|".join((self.target, self.view, self.regime))

    @classmethod
    def parse(cls, text: str) -> Key:
        return cls(*text.split("|"))


@dataclass(frozen=True, slots=True)
class Scored:
    """All that one method did on one set."""

    method: str
    sends: str  # embedding or pixels
    settings: tuple[str, ...]  # finest first, without `uncompressed`
    sizes: FloatVector  # S×N bytes of each tile
    errors: Mapping[str, FloatVector]  # plane → S×N squared error of a tile over the variance of a tile
    answers: Mapping[Key, Answers]
    cpu_seconds: float  # coding and decoding of all settings
    elements: int  # of a tile, in the frozen encoder's own output: tokens × width

    @property
    def bytes_per_tile(self) -> FloatVector:
        return np.asarray(self.sizes.mean(1), np.float64)


def save(path: Path, origin: Mapping[str, str], scored: Scored) -> None:
    """Whole or not at all."""
    head = {
        "format": _FORMAT,
        "origin": dict(origin),
        "method": scored.method,
        "sends": scored.sends,
        "settings": scored.settings,
        "keys": [key.text for key in scored.answers],
        "planes": list(scored.errors),
        "asked": {key.text: answers.settings for key, answers in scored.answers.items()},
        "cpu_seconds": scored.cpu_seconds,
        "elements": scored.elements,
    }
    arrays: dict[str, npt.NDArray[Any]] = {"sizes": scored.sizes}
    arrays |= {f"error|{plane}": error for plane, error in scored.errors.items()}
    for key, answers in scored.answers.items():
        arrays[f"predicted|{key.text}"], arrays[f"loss|{key.text}"] = answers.predicted, answers.loss
    out = io.BytesIO()
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez_compressed(out, allow_pickle=False, **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, out.getvalue())


def load(path: Path, origin: Mapping[str, str]) -> Scored:
    """Raises Corrupt for a damaged file and IdentityError for one of another origin."""
    try:
        with np.load(path, allow_pickle=False) as found:
            head = json.loads(bytes(found["head"]))
            if head["format"] != _FORMAT or head["origin"] != dict(origin):
                raise IdentityError(
                    "scored answers of another origin",
                    path=path,
                    expected=dict(origin),
                    found=head["origin"],
                    fix="choose another --out, or remove the file",
                )
            answers = {
                Key.parse(text): Answers(
                    tuple(head["asked"][text]), found[f"predicted|{text}"], found[f"loss|{text}"]
                )
                for text in head["keys"]
            }
            errors = {plane: found[f"error|{plane}"] for plane in head["planes"]}
            return Scored(
                head["method"],
                head["sends"],
                tuple(head["settings"]),
                found["sizes"],
                errors,
                answers,
                head["cpu_seconds"],
                head["elements"],
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise Corrupt(f"not a file of scored answers: {error}", path=path, fix="remove it") from error
