"""Latents of parity tiles through the whole codec and back: real bytes, and what the ground would decode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from codec.types import BoolArray, Embedding, FloatArray, Georeference, Latent, TileGrid

if TYPE_CHECKING:
    from codec.package import Package
    from onboard.parity_tiles import ParityTiles

_NO_TIME = -(2**63)  # the header's "unknown"


@dataclass(frozen=True, slots=True)
class Coded:
    """A file's size and what it decodes to."""

    n_bytes: int
    embeddings: dict[str, Embedding]  # by plane


def code(
    package: Package, latents: Mapping[str, FloatArray], valid: Mapping[str, BoolArray], ladder_index: int
) -> Coded:
    """Encode latents N×C×F of every plane as one `.nec`, and decode it. `valid`: tokens N×h×w by plane.

    The file is what `swathpack encode` writes for a scene one tile wide. Raises as `codec.pipeline.encode`.
    """
    from codec.bitstream.reader import read_bytes
    from codec.pipeline import decode, encode

    core = package.tile.core
    n_tiles = len(next(iter(latents.values())))
    data = encode(
        package,
        [Latent(package.plane_index(name), values, valid[name]) for name, values in latents.items()],
        grid=TileGrid(core * n_tiles, core, core, core),
        georeference=Georeference((1.0, 0.0, 0.0, 0.0, -1.0, 0.0)),
        sensor="parity",
        band_mask=(1 << len(package.bands)) - 1,
        time_us=_NO_TIME,
        ladder_index=ladder_index,
    )
    nec = read_bytes(data)
    decoded = decode(package, nec.header, [record.data for record in nec.records])
    return Coded(len(data), decoded.embeddings)


def uncoded(
    package: Package, latents: Mapping[str, FloatArray], valid: Mapping[str, BoolArray]
) -> dict[str, Embedding]:
    """The embeddings behind latents, without quantisation; 0 in invalid tokens, as decoding gives them."""
    every = {plane.name: (1 << plane.spec.n_layers) - 1 for plane in package.planes}
    return {
        name: Embedding(
            package.plane_index(name),
            np.where(valid[name][..., None], package.transforms[name].synthesise(values), np.float32(0)),
            valid[name],
            np.full(len(values), every[name], np.uint16),
        )
        for name, values in latents.items()
    }


def token_masks(package: Package, tiles: ParityTiles) -> dict[str, BoolArray]:
    """Valid tokens of the core of every tile, N×h×w by plane, by the rule of the encode path."""
    from codec.scene.tiling import token_validity
    from onboard.encode import plane_validity

    core = slice(package.tile.margin, package.tile.margin + package.tile.core)
    tokens = np.stack(
        [token_validity(valid[core, core] > 0.5, package.tile.patch) for valid in tiles.validity]
    )
    return {plane.name: plane_validity(tokens, package, plane.name) for plane in package.planes}
