"""What an encoder's graph holds of the transform, computed on both sides instead of sent (docs/uplink.md §5.1), and the
transform with fewer bits.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codec.atomic import write_atomic
from codec.errors import InputError
from codec.package import Package, arrays, refresh
from codec.package.files import MANIFEST, read_checked
from codec.package.manifest import TRANSFORM
from codec.transform.plane import PlaneTransform
from codec.types import FloatArray

GRAPH = "encoder.onnx"
MAX_FILE = 1 << 28  # 256 MiB of one file, in memory
# Orthonormal to 10⁻⁴ is what a transform must be (`codec.transform`). Of 128 channels, multiples of 2⁻¹⁵ keep 6·10⁻⁵;
# 2⁻¹⁴ does not. Float16 takes more bytes than that and keeps 6·10⁻⁴.
GRID_BITS = 15


def bases(transform: PlaneTransform) -> FloatArray:
    """G×C×C float32: of each group of frequencies, element (c, c') = Σ_k rotation[c'][k] · basis[k][c].

    Sums in float64, terms in order of k, each product rounded before it is added: every machine gets the same bits.
    """
    basis = transform.basis.astype(np.float64)
    if transform.rotations is None:
        return np.ascontiguousarray(transform.basis.T[None], dtype=np.float32)
    matrices = transform.rotations.matrices.astype(np.float64)
    total = np.zeros((len(matrices), *basis.shape))
    for k in range(len(basis)):
        total += basis[k][None, :, None] * matrices[:, None, :, k]
    return total.astype(np.float32)


def views(transforms: Mapping[str, PlaneTransform]) -> dict[str, bytes]:
    """Little-endian bytes of `bases`, by name of the plane."""
    return {name: bases(transform).astype("<f4").tobytes() for name, transform in transforms.items()}


def rounded(package: Package, folder: Path) -> Package:
    """Write the package into `folder` (there and empty) with the numbers of its transform as multiples of 2⁻¹⁵; load it.

    The encoder's graph, where the package has one, follows: it holds the same numbers. A package with another codec id
    comes out, and everything about it is exact: it is what both sides have. Raises InputError where the graph does not
    hold the transform of the package.
    """
    transforms = {name: _rounded(transform) for name, transform in package.transforms.items()}
    every = [entry.name for entry in package.planes]
    refines = {entry.name: entry.refines for entry in package.refining if entry.refines is not None}
    for name, entry in package.manifest.files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        data = read_checked(package.folder, name, entry, MAX_FILE)
        if name == GRAPH:
            for plane in every:
                if plane in transforms:
                    data = _replaced(data, package.transforms[plane], transforms[plane], place)
        write_atomic(place, data)
    write_atomic(folder / MANIFEST, _manifest(package))
    # The manifest lists the old transform: `refresh` lists the new one, and the codec id follows.
    write_atomic(folder / TRANSFORM, arrays.encode(transforms, package.liftings, refines))
    return refresh(folder)


def _manifest(package: Package) -> bytes:
    """The package's own, which says from now on that its cards were measured before the rounding."""
    raw: dict[str, Any] = dict(package.manifest.raw)
    raw["version"] = f"{raw['version']}+grid{GRID_BITS}.{package.codec_id.hex()}"
    raw["notes"] = {
        **raw.get("notes", {}),
        "rounded": {
            "from_codec_id": package.codec_id.hex(),
            "grid_bits": GRID_BITS,
            "measured": "cards and rate tables of this package were measured with the transform before",
        },
    }
    return json.dumps(raw, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"


def _rounded(transform: PlaneTransform) -> PlaneTransform:
    turn = transform.rotations
    return PlaneTransform(
        _on_grid(transform.mean),
        _on_grid(transform.basis),
        transform.tokens,
        None if turn is None else replace(turn, matrices=_on_grid(turn.matrices)),
    )


def _on_grid(values: FloatArray) -> FloatArray:
    scale = 2.0**GRID_BITS
    found = np.rint(values.astype(np.float64) * scale) / scale + 0.0  # no −0
    return found.astype(np.float32)


def _replaced(graph: bytes, old: PlaneTransform, new: PlaneTransform, path: Path) -> bytes:
    """The graph with one plane's mean and bases exchanged."""
    pairs = [(old.mean, new.mean), *zip(bases(old), bases(new), strict=True)]
    for before, after in pairs:
        was, will = (np.ascontiguousarray(x, dtype="<f4").tobytes() for x in (before, after))
        if was == will:
            continue
        if graph.count(was) != 1:
            raise InputError(
                "the graph does not hold the transform of its package as float32",
                path=path,
                fix="write it again: python -m onboard.export --engine fp32 --into-package, or pack without rounding",
            )
        graph = graph.replace(was, will)
    return graph
