"""Models over a tile set: all planes in one pass, from weights or from a package's exported graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

from codec.adapt.encoder import AdaptedEncoder
from codec.errors import InputError
from codec.evaluate.rate.plain_encoders import grid_validity
from codec.evaluate.rate.types import Planes, TileSet
from codec.models.vit import Encoder
from codec.onnx_session import open_session
from codec.package import Package
from codec.types import FloatArray

_BATCH = 64  # of the encoder's tiles
_LATENT = "latent_"  # names of a graph's outputs: the plane follows

# pixels n×B×T×T, bands present n×B, validity n×T×T, all float32 → plane → n×h×w×C
Run = Callable[[FloatArray, FloatArray, FloatArray], Mapping[str, FloatArray]]


def through(tiles: TileSet, bands: tuple[str, ...], side: int, run: Run) -> dict[str, FloatArray]:
    """Planes of all tiles by an encoder of these bands and tile side. Larger tiles are cut into the encoder's and put
    together again. Raises InputError where they cannot be cut, or a tile has none of the bands.
    """
    if tiles.tile % side:
        raise InputError(
            f"the tiles of {tiles.name!r} cannot be cut into the encoder's",
            expected=f"multiples of {side} pixels",
            found=tiles.tile,
        )
    k = tiles.tile // side
    found: dict[str, list[FloatArray]] = {}
    index = [(i, tiles.bands.index(band)) for i, band in enumerate(bands) if band in tiles.bands]
    step = max(1, _BATCH // k**2)
    for start in range(0, len(tiles), step):
        stop = min(start + step, len(tiles))
        n = stop - start
        pixels = np.zeros((n, len(bands), tiles.tile, tiles.tile), np.float32)
        present = np.zeros(pixels.shape[:2], np.float32)
        for i, j in index:
            pixels[:, i], present[:, i] = tiles.pixels[start:stop, j], tiles.present[start:stop, j]
        if not present.any(1).all():
            raise InputError(
                f"a tile of {tiles.name!r} has none of the encoder's bands", expected=bands, found=tiles.bands
            )
        cut = pixels.reshape(n, -1, k, side, k, side).transpose(0, 2, 4, 1, 3, 5)
        valid = tiles.validity[start:stop].reshape(n, k, side, k, side).swapaxes(2, 3).reshape(-1, side, side)
        planes = run(
            np.ascontiguousarray(cut.reshape(n * k * k, -1, side, side)),
            np.repeat(present, k * k, axis=0),
            valid.astype(np.float32),
        )
        for plane, values in planes.items():
            grid, width = values.shape[1], values.shape[3]
            whole = values.reshape(n, k, k, grid, grid, width).transpose(0, 1, 3, 2, 4, 5)
            found.setdefault(plane, []).append(
                np.ascontiguousarray(whole.reshape(n, k * grid, k * grid, width))
            )
    return {plane: np.concatenate(parts) for plane, parts in found.items()}


def planes_of(encoder: Encoder | AdaptedEncoder, tiles: TileSet) -> Planes:
    """All planes of a model from its weights."""

    @torch.inference_mode()
    def run(pixels: FloatArray, present: FloatArray, valid: FloatArray) -> dict[str, FloatArray]:
        planes = encoder(torch.from_numpy(pixels), torch.from_numpy(present), torch.from_numpy(valid))
        return {plane: values.float().numpy() for plane, values in planes.items()}

    values = through(tiles, encoder.config.bands, encoder.config.tile, run)
    return Planes(values, grid_validity(tiles, encoder.config.patch))


def graph_planes(package: Package, graph: Path) -> Callable[[TileSet], Planes]:
    """All planes of a package that has only its exported graph: what it gives are latents, whose transform is undone.

    Raises BackendUnavailable without onnxruntime, Corrupt where it refuses the graph.
    """
    session = open_session(graph)
    outputs = [o.name for o in session.get_outputs() if o.name.startswith(_LATENT)]

    def run(pixels: FloatArray, present: FloatArray, valid: FloatArray) -> dict[str, FloatArray]:
        latents = session.run(outputs, {"pixels": pixels, "bands": present, "validity": valid})
        names = [name.removeprefix(_LATENT) for name in outputs]
        return {name: package.transforms[name].synthesise(x) for name, x in zip(names, latents, strict=True)}

    def encode(tiles: TileSet) -> Planes:
        values = through(tiles, package.bands, package.tile.core, run)
        return Planes(values, grid_validity(tiles, package.tile.patch))

    return encode
