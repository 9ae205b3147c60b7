"""Smooth values for tokens that were not measured, so that the DCT of a partly valid tile stays cheap.

What stands in a masked token never leaves the decoder (it comes out invalid); the encoder chooses it freely
(bitstream §5.1). A harmonic fill, each unknown token the mean of its neighbours, has little energy at high frequencies
and needs no knowledge of the statistics.
"""

from __future__ import annotations

import numpy as np

from codec.types import BoolArray, FloatArray


def fill(tokens: FloatArray, known: BoolArray) -> FloatArray:
    """N×C×h×w tokens with the unknown ones replaced by iterated means of their neighbours; a new array.

    `known` is N×h×w. Starts from the mean of the tile's known tokens and repeats for 2·(h + w) rounds, which carries
    a value across the tile. Tiles without a known token become 0. Deterministic; known tokens are not changed.
    """
    weight = known[:, None].astype(np.float32)
    values = np.where(known[:, None], tokens, np.float32(0)).astype(np.float32)
    count = np.maximum(weight.sum(axis=(2, 3), keepdims=True), 1)
    values += (1 - weight) * (values.sum(axis=(2, 3), keepdims=True) / count)
    for _ in range(2 * (tokens.shape[2] + tokens.shape[3])):
        padded = np.pad(values, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        around = (
            padded[:, :, :-2, 1:-1]
            + padded[:, :, 2:, 1:-1]
            + padded[:, :, 1:-1, :-2]
            + padded[:, :, 1:-1, 2:]
        )
        values = np.where(known[:, None], values, around * np.float32(0.25))
    return values
