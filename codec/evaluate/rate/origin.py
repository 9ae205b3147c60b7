"""What stored answers depend on: equal origins mean equal answers, and another origin is never mixed in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.evaluate.rate.targets import Evidence
from codec.types import BoolArray

# Whatever turns tiles into bytes, bytes into features and features into answers. Reports may change freely.
_CODE = (
    "codec.bitstream",
    "codec.transform",
    "codec.heads.regimes",
    "codec.heads.ridge",
    "codec.heads.softmax_path",
    "codec.heads.training_set",
    "codec.evaluate.rate.embedding",
    "codec.evaluate.rate.pixels",
    "codec.evaluate.rate.features",
    "codec.evaluate.rate.ground_features",
    "codec.evaluate.rate.protocol",
    "codec.evaluate.rate.run",
    "codec.evaluate.rate.scoring",
)


def code() -> str:
    """SHA-256 of the sources that answers come from; of a package all its files."""
    digest = hashlib.sha256()
    for name in _CODE:
        module = import_module(name)
        assert module.__file__ is not None
        file = Path(module.__file__)
        for path in sorted(file.parent.glob("*.py")) if hasattr(module, "__path__") else [file]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def of_tiles(evidence: Evidence) -> str:
    """SHA-256 of all that a set holds: pixels, places, labels, split."""
    tiles, digest = evidence.tiles, hashlib.sha256()
    for array in (tiles.pixels, tiles.present, tiles.validity, tiles.scene, tiles.place, tiles.groups):
        _update(digest, array)
    for target in evidence.targets:
        digest.update(f"{target.name} {target.level} {target.classes}".encode())
        _update(digest, target.labels)
    digest.update("\n".join(evidence.split.tolist()).encode())
    return digest.hexdigest()[:16]


def of_training(allowed: Mapping[str, BoolArray], tiles: Mapping[str, str]) -> str:
    """SHA-256 of what codecs are fitted on: which tiles of which sets."""
    digest = hashlib.sha256()
    for name in sorted(allowed):
        digest.update(f"{name} {tiles[name]}".encode())
        _update(digest, allowed[name])
    return digest.hexdigest()[:16]


def _update(digest: Any, array: npt.NDArray[Any]) -> None:
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)
