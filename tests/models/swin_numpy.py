"""A second forward pass of Swin in numpy and float64, written from arXiv 2103.14030, sections 3.1 and 3.2.

Loops over windows, heads and pairs of tokens; no roll and no mask: a token attends to those of its window that were beside
it before the shift.
"""

from __future__ import annotations

import math

import numpy as np

from tests.models.foreign_numpy import Array, State, gelu, layer_norm, patch_tokens

EPS = 1e-5


def swin(state: State, image: Array) -> Array:
    """C×H×W → h×w×D of the last stage, after the last norm."""
    weight = state["patch_embed.proj.weight"]
    h, w = (n // weight.shape[-1] for n in image.shape[1:])
    x = patch_tokens(image, weight, state["patch_embed.proj.bias"])
    x = layer_norm(x, state["patch_embed.norm.weight"], state["patch_embed.norm.bias"], EPS)
    x = x.reshape(h, w, -1)
    for stage in sorted({key.split(".")[1] for key in state if key.startswith("layers.")}):
        name, depth = f"layers.{stage}.blocks.", 0
        while f"{name}{depth}.norm1.bias" in state:
            x = block(x, part(state, f"{name}{depth}."), shifted=depth % 2 == 1)
            depth += 1
        merging = part(state, f"layers.{stage}.downsample.")
        if merging:
            x = merged(x, merging)
    return layer_norm(x, state["norm.weight"], state["norm.bias"], EPS)


def part(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def block(x: Array, p: State, *, shifted: bool) -> Array:
    y = layer_norm(x, p["norm1.weight"], p["norm1.bias"], EPS)
    y = windows(y, p, shifted=shifted) @ p["attn.proj.weight"].T + p["attn.proj.bias"]
    x = x + y
    y = layer_norm(x, p["norm2.weight"], p["norm2.bias"], EPS)
    return x + gelu(y @ p["mlp.fc1.weight"].T + p["mlp.fc1.bias"]) @ p["mlp.fc2.weight"].T + p["mlp.fc2.bias"]


def windows(y: Array, p: State, *, shifted: bool) -> Array:
    """Attention in windows, h×w×D → h×w×D, before the output projection."""
    table = p["attn.relative_position_bias_table"]
    heads, side = table.shape[1], (math.isqrt(len(table)) + 1) // 2
    h, w, width = y.shape
    rows, columns = -(-h // side) * side, -(-w // side) * side  # zeros below and to the right
    padded = np.zeros((rows, columns, width))
    padded[:h, :w] = y
    q, k, v = np.split(padded @ p["attn.qkv.weight"].T + p["attn.qkv.bias"], 3, axis=-1)
    shift = side // 2 if shifted and min(h, w) > side else 0
    out = np.zeros_like(padded)
    for top in range(shift, rows + shift, side):
        for left in range(shift, columns + shift, side):
            # Beyond the border a window goes on at the other side, but nobody there is a neighbour.
            places = [(top + i, left + j) for i in range(side) for j in range(side)]
            for a, b in places:
                near = [
                    (c, d)
                    for c, d in places
                    if (c >= rows) == (a >= rows) and (d >= columns) == (b >= columns)
                ]
                for head in range(heads):
                    size = width // heads
                    one = slice(head * size, head * size + size)
                    query = q[a % rows, b % columns, one]
                    logits = np.array(
                        [
                            query @ k[c % rows, d % columns, one] / math.sqrt(size)
                            + table[(a - c + side - 1) * (2 * side - 1) + b - d + side - 1, head]
                            for c, d in near
                        ]
                    )
                    share = np.exp(logits - logits.max())
                    share /= share.sum()
                    values = np.array([v[c % rows, d % columns, one] for c, d in near])
                    out[a % rows, b % columns, one] = share @ values
    return out[:h, :w]


def merged(x: Array, p: State) -> Array:
    """2×2 tokens → one: upper left, lower left, upper right, lower right, side by side."""
    h, w, width = x.shape
    padded = np.zeros((h + h % 2, w + w % 2, width))
    padded[:h, :w] = x
    four = np.array(
        [
            [
                np.concatenate(
                    [padded[r, c], padded[r + 1, c], padded[r, c + 1], padded[r + 1, c + 1]]
                )
                for c in range(0, w, 2)
            ]
            for r in range(0, h, 2)
        ]
    )  # fmt: skip
    return layer_norm(four, p["norm.weight"], p["norm.bias"], EPS) @ p["reduction.weight"].T
