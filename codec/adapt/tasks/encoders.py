"""The encoder that a task starts from: of a package, an encoder file, or a published checkpoint with its layout."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from codec.adapt.base import Base
from codec.adapt.own_base import OwnBase
from codec.adapt.registry import base_of
from codec.adapt.tasks.recipe import PaperTask
from codec.errors import InputError
from codec.models.foreign.load import load_foreign
from codec.models.foreign.scale_mae import ScaleMaeEncoder
from codec.models.weights import load_encoder
from codec.package import load
from codec.package.manifest import ADAPTER

LARGEST_TILE = 224  # of encoders that take any: what published ones were trained on


@dataclass(frozen=True)
class Opened:
    """A base, and what says which it is."""

    base: Base
    name: str
    sha256: str  # of the file


def open_encoder(where: str, layout: str | None, task: PaperTask) -> Opened:
    """`where`: a package's folder or name, an encoder.safetensors, or with `layout` (docs/foreign.md) a checkpoint.

    Scale-MAE learns how large a pixel is on the ground. Raises as `codec.package.load`, `load_encoder` and `load_foreign`.
    """
    path = Path(where)
    if layout is not None:
        encoder = load_foreign(layout, path)
        scale_mae = isinstance(encoder, ScaleMaeEncoder)
        base = base_of(encoder, **({"gsd_m": task.gsd_m / task.zoom} if scale_mae else {}))
        return Opened(base, layout, _sha256(path))
    if path.is_file():
        return Opened(base_of(load_encoder(path)), path.stem, _sha256(path))
    package = load(where)
    if ADAPTER in package.names():
        raise InputError(
            f"package {package.name!r} has an adapter already, which this command does not run",
            path=package.folder,
            fix="adapt the package that it was made from",
        )
    path = package.path("encoder.safetensors")
    return Opened(base_of(load_encoder(path)), package.name, _sha256(path))


def tile_side(base: Base, task: PaperTask) -> int:
    """Pixels a side of what the encoder sees: its own where it has one size, else the recipe's, else the picture's.

    Raises InputError where the recipe's is not possible.
    """
    if isinstance(base, OwnBase):
        side = base.encoder.config.tile
        if task.tile not in (None, side):
            raise InputError(
                "the encoder takes tiles of one size", expected=side, found=task.tile, fix="leave tile out"
            )
        return side
    if task.tile is not None:
        if task.tile % base.stride:
            raise InputError(
                "a tile is a whole number of tokens", expected=f"a multiple of {base.stride}", found=task.tile
            )
        return task.tile
    whole = -(-task.size * task.zoom // base.stride) * base.stride
    return min(whole, LARGEST_TILE // base.stride * base.stride)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
