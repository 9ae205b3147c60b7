"""Lifting `linear` (§8.3), token by token and channel by channel, in Python integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Linear:
    """`<plane>.range`, `.start`, `.neighbours` and `.channels` of transform.npz."""

    low: int
    modulus: int
    start: list[int]
    neighbours: list[list[int]]
    channels: list[list[int]]

    def wrap(self, d: int) -> int:
        half = self.modulus // 2
        return (d + half) % self.modulus - half


def undo_linear(symbols: list[list[int]], rows: int, cols: int, lifting: Linear) -> npt.NDArray[np.int16]:
    """Symbols C×F of one tile → rows×cols×channels."""
    n_channels, n_tokens = len(symbols), rows * cols
    r = [[0] * n_tokens for _ in range(n_channels)]
    for c in range(n_channels):
        for t in range(n_tokens):
            total = sum(lifting.channels[c][j] * r[j][t] for j in range(c))
            r[c][t] = lifting.wrap(symbols[c][t] + (512 + total) // 1024)
    x = np.zeros((rows, cols, n_channels), np.int16)
    for c in range(n_channels):
        b = lifting.start[c]
        for i in range(rows):
            for j in range(cols):
                around = [value - b for value in _neighbours(x[:, :, c], i, j, b)]
                predicted = (
                    512 + sum(w * n for w, n in zip(lifting.neighbours[c], around, strict=True))
                ) // 1024
                value = b + predicted + r[c][i * cols + j] - lifting.low
                x[i, j, c] = lifting.low + value % lifting.modulus
    return x


def _neighbours(x: npt.NDArray[np.int16], i: int, j: int, b: int) -> tuple[int, int, int, int]:
    """Left, above, above left, above right."""
    if i == 0 and j == 0:
        return b, b, b, b
    if i == 0:
        left = int(x[0, j - 1])
        return left, left, left, left
    above = int(x[i - 1, j])
    left = int(x[i, j - 1]) if j else above
    above_left = int(x[i - 1, j - 1]) if j else above
    above_right = int(x[i - 1, j + 1]) if j + 1 < x.shape[1] else above
    return left, above, above_left, above_right
