"""A model over a tile set: all planes in one pass."""

from __future__ import annotations

import numpy as np
import torch

from codec.errors import InputError
from codec.evaluate.rate.plain_encoders import grid_validity
from codec.evaluate.rate.types import Planes, TileSet
from codec.models.vit import Encoder
from codec.types import FloatArray

_BATCH = 64  # of the encoder's tiles


@torch.inference_mode()
def planes_of(encoder: Encoder, tiles: TileSet) -> Planes:
    """All planes of a model in one pass. Tiles larger than the encoder's are cut into its tiles and put together again."""
    side, grid = encoder.config.tile, encoder.config.side
    if tiles.tile % side:
        raise InputError(
            f"the tiles of {tiles.name!r} cannot be cut into the encoder's",
            expected=f"multiples of {side} pixels",
            found=tiles.tile,
        )
    k = tiles.tile // side
    found: dict[str, list[FloatArray]] = {}
    index = [(i, tiles.bands.index(b)) for i, b in enumerate(encoder.config.bands) if b in tiles.bands]
    for start in range(0, len(tiles), max(1, _BATCH // k**2)):
        stop = min(start + max(1, _BATCH // k**2), len(tiles))
        n = stop - start
        pixels = np.zeros((n, len(encoder.config.bands), tiles.tile, tiles.tile), np.float32)
        present = np.zeros(pixels.shape[:2], np.float32)
        for i, j in index:
            pixels[:, i], present[:, i] = tiles.pixels[start:stop, j], tiles.present[start:stop, j]
        if not present.any(1).all():
            raise InputError(
                f"a tile of {tiles.name!r} has none of the encoder's bands",
                expected=encoder.config.bands,
                found=tiles.bands,
            )
        cut = pixels.reshape(n, -1, k, side, k, side).transpose(0, 2, 4, 1, 3, 5)
        valid = tiles.validity[start:stop].reshape(n, k, side, k, side).swapaxes(2, 3).reshape(-1, side, side)
        planes = encoder(
            torch.from_numpy(np.ascontiguousarray(cut.reshape(n * k * k, -1, side, side))),
            torch.from_numpy(np.repeat(present, k * k, axis=0)),
            torch.from_numpy(valid.astype(np.float32)),
        )
        for plane, values in planes.items():
            whole = values.float().numpy().reshape(n, k, k, grid, grid, -1).transpose(0, 1, 3, 2, 4, 5)
            found.setdefault(plane, []).append(np.ascontiguousarray(whole.reshape(n, k * grid, k * grid, -1)))
    values = {plane: np.concatenate(parts) for plane, parts in found.items()}
    return Planes(values, grid_validity(tiles, encoder.config.patch))
