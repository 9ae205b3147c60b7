"""An encoder over many tiles."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from codec.errors import InputError
from codec.models.vit import EncoderConfig
from codec.types import FloatArray, Tile


class Embeds(Protocol):
    """What gives the planes of tiles: an `Encoder`, or one with an adapter."""

    @property
    def config(self) -> EncoderConfig: ...

    def __call__(self, pixels: Tensor, bands: Tensor, validity: Tensor, /) -> dict[str, Tensor]: ...


@torch.inference_mode()
def embed(encoder: Embeds, tiles: Iterable[Tile], batch: int = 64) -> dict[str, FloatArray]:
    """Embeddings of all tiles: plane name → N×h×w×C float32, in the order of the tiles.

    Tiles carry pixels in the encoder's band order. No tiles give arrays with N = 0.
    """
    side, bands = encoder.config.side, len(encoder.config.bands)
    parts: dict[str, list[FloatArray]] = {"tokens": [], "spectral": []}
    waiting: list[Tile] = []

    def flush() -> None:
        if not waiting:
            return
        planes = encoder(
            torch.from_numpy(np.stack([t.pixels for t in waiting])),
            torch.from_numpy(np.stack([t.bands_present for t in waiting]).astype(np.float32)),
            torch.from_numpy(np.stack([t.validity for t in waiting]).astype(np.float32)),
        )
        for name, values in planes.items():
            parts[name].append(values.numpy())
        waiting.clear()

    shape = (bands, encoder.config.tile, encoder.config.tile)
    for tile in tiles:
        if tile.pixels.shape != shape:
            raise InputError(
                "the tile does not fit the encoder",
                record=tile.index,
                expected=shape,
                found=tile.pixels.shape,
            )
        waiting.append(tile)
        if len(waiting) == batch:
            flush()
    flush()
    widths = {"tokens": encoder.config.width, "spectral": bands}
    return {
        name: np.concatenate(found) if found else np.zeros((0, side, side, widths[name]), np.float32)
        for name, found in parts.items()
    }
