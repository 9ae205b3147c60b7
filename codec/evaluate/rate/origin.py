"""What stored answers depend on: equal origins mean equal answers, and another origin is never mixed in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from codec.evaluate.rate.digests import of_code, update
from codec.evaluate.rate.targets import Evidence
from codec.types import BoolArray

# Whatever turns tiles into bytes, bytes into features and features into answers. Reports may change freely.
_CODE = (
    "codec.bitstream",
    "codec.transform",
    "codec.package",
    "codec.pipeline",
    "codec.heads.linear",
    "codec.heads.pooling",
    "codec.heads.regimes",
    "codec.heads.ridge",
    "codec.heads.softmax_path",
    "codec.heads.training_set",
    "codec.evaluate.probes",
    "codec.evaluate.rate.audit",
    "codec.evaluate.rate.embedding",
    "codec.evaluate.rate.pixels",
    "codec.evaluate.rate.features",
    "codec.evaluate.rate.ground_features",
    "codec.evaluate.rate.protocol",
    "codec.evaluate.rate.run",
    "codec.evaluate.rate.scoring",
    "codec.evaluate.rate.targets",
    "codec.evaluate.rate.types",
)


def code() -> str:
    """Tag of the sources that answers come from, of the compiled core and of the libraries that code."""
    core = import_module("_swathpack_core").__file__
    built = hashlib.sha256(Path(core).read_bytes()).hexdigest() if core else ""
    libraries = [f"{name} {_version(name)}" for name in ("numpy", "imagecodecs")]
    return of_code(_CODE, built, *libraries)[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"


def of_tiles(evidence: Evidence) -> str:
    """SHA-256 of all that a set holds: pixels, places, labels, split."""
    tiles, digest = evidence.tiles, hashlib.sha256()
    for array in (tiles.pixels, tiles.present, tiles.validity, tiles.scene, tiles.place, tiles.groups):
        update(digest, array)
    for target in evidence.targets:
        digest.update(f"{target.name} {target.level} {target.classes}".encode())
        update(digest, target.labels)
    digest.update("\n".join(evidence.split.tolist()).encode())
    return digest.hexdigest()[:16]


def of_training(allowed: Mapping[str, BoolArray], tiles: Mapping[str, str]) -> str:
    """SHA-256 of what codecs are fitted on: which tiles of which sets."""
    digest = hashlib.sha256()
    for name in sorted(allowed):
        digest.update(f"{name} {tiles[name]}".encode())
        update(digest, allowed[name])
    return digest.hexdigest()[:16]
