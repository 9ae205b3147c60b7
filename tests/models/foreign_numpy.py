"""A second forward pass of the foreign encoders, in numpy and float64, written from papers and published definitions.

Loops instead of reshapes where that is bearable; `state` holds the tensors under the names of the published files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
State = dict[str, Array]


def sines(position: float, width: int) -> list[float]:
    """All sines, then all cosines, at frequencies 10000^(−2k/width)."""
    omega = [10000.0 ** (-2.0 * k / width) for k in range(width // 2)]
    return [math.sin(position * w) for w in omega] + [math.cos(position * w) for w in omega]


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention(q: Array, k: Array, v: Array, heads: int) -> Array:
    size = q.shape[1] // heads
    out = []
    for h in range(heads):
        part = slice(size * h, size * h + size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        scores = np.exp(scores - scores.max(1, keepdims=True))
        out.append(scores / scores.sum(1, keepdims=True) @ v[:, part])
    return np.concatenate(out, axis=1)


def block(x: Array, state: State, name: str, heads: int, eps: float) -> Array:
    """Pre-norm block on L×D; `name` ends with a dot."""
    p = {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
    y = layer_norm(x, p["norm1.weight"], p["norm1.bias"], eps)
    width = x.shape[1]
    weight, bias = p["attn.qkv.weight"], p["attn.qkv.bias"]
    q, k, v = (y @ weight[i : i + width].T + bias[i : i + width] for i in (0, width, 2 * width))
    x = x + attention(q, k, v, heads) @ p["attn.proj.weight"].T + p["attn.proj.bias"]
    y = layer_norm(x, p["norm2.weight"], p["norm2.bias"], eps)
    return x + gelu(y @ p["mlp.fc1.weight"].T + p["mlp.fc1.bias"]) @ p["mlp.fc2.weight"].T + p["mlp.fc2.bias"]


def patch_tokens(image: Array, weight: Array, bias: Array) -> Array:
    """C×H×W → L×D by loops over the patches; a kernel with a time axis of one frame is flattened."""
    weight = weight.reshape(weight.shape[0], weight.shape[1], *weight.shape[-2:])
    size = weight.shape[-1]
    return np.array(
        [
            [(weight[d] * image[:, r : r + size, c : c + size]).sum() + bias[d] for d in range(len(weight))]
            for r in range(0, image.shape[1], size)
            for c in range(0, image.shape[2], size)
        ]
    )


def trunk(
    x: Array, state: State, heads: int, eps: float, blocks: str = "blocks.", norm: str = "norm."
) -> Array:
    depth = len({key.removeprefix(blocks).split(".")[0] for key in state if key.startswith(blocks)})
    for i in range(depth):
        x = block(x, state, f"{blocks}{i}.", heads, eps)
    return layer_norm(x, state[norm + "weight"], state[norm + "bias"], eps)


def cubic(t: float) -> float:
    """Keys' kernel with a = −0.75, the one of bicubic interpolation in image libraries."""
    a, t = -0.75, abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0


def resize_axis(table: Array, count: int, step: float) -> Array:
    """First axis to `count` samples `step` apart, pixel centres at halves, borders repeated."""
    out = []
    for i in range(count):
        at = (i + 0.5) * step - 0.5
        first = math.floor(at) - 1
        rows = [min(max(j, 0), len(table) - 1) for j in range(first, first + 4)]
        out.append(sum(cubic(at - (first + n)) * table[row] for n, row in enumerate(rows)))
    return np.array(out)


def resized(table: Array, h: int, w: int, extra: float = 0.0) -> Array:
    """L×D table of a square grid → (h·w)×D; `extra` is DINO's tenth of a patch."""
    side = math.isqrt(len(table))
    if (h, w) == (side, side):
        return table
    image = resize_axis(table.reshape(side, side, -1), h, side / (h + extra))
    return resize_axis(image.transpose(1, 0, 2), w, side / (w + extra)).transpose(1, 0, 2).reshape(h * w, -1)


def vit(
    state: State,
    image: Array,
    heads: int,
    eps: float,
    *,
    positions: str = "pos_embed",
    blocks: str = "blocks.",
    norm: str = "norm.",
    extra: float = 0.0,
    keep: Sequence[int] | None = None,
) -> Array:
    """MAE and its relatives: sequence (1 + L)×D with the class token first; `keep` leaves other patches out."""
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    h, w = (n // weight.shape[-1] for n in image.shape[1:])
    table = state[positions][0]
    x = patch_tokens(image, weight, bias) + resized(table[1:], h, w, extra)
    x = x if keep is None else x[list(keep)]
    return trunk(np.concatenate([state["cls_token"][0] + table[:1], x]), state, heads, eps, blocks, norm)


def mae_decoder(
    state: State, sequence: Array, keep: Sequence[int], heads: int, eps: float, blocks: str
) -> Array:
    """Pixels of all patches from the visible ones: L×(P·P·C)."""
    x = sequence @ state["decoder_embed.weight"].T + state["decoder_embed.bias"]
    table = state["decoder_pos_embed"][0]
    full = np.repeat(state["mask_token"][0], len(table), axis=0)
    full[0] = x[0]
    for row, place in enumerate(keep):
        full[1 + place] = x[1 + row]
    y = trunk(full + table, state, heads, eps, blocks, "decoder_norm.")
    return (y @ state["decoder_pred.weight"].T + state["decoder_pred.bias"])[1:]


def scale_mae(state: State, image: Array, gsd_m: float, heads: int, eps: float) -> Array:
    weight = state["patch_embed.proj.weight"]
    width, size = weight.shape[0], weight.shape[-1]
    h, w = (n // size for n in image.shape[1:])
    code = [sines(c * gsd_m, width // 2) + sines(r * gsd_m, width // 2) for r in range(h) for c in range(w)]
    x = patch_tokens(image, weight, state["patch_embed.proj.bias"]) + np.array(code)
    return trunk(np.concatenate([state["cls_token"][0], x]), state, heads, eps)


def satmae_group(
    state: State, image: Array, groups: Sequence[Sequence[int]], heads: int, eps: float
) -> Array:
    sequence = [state["cls_token"][0]]
    for g, members in enumerate(groups):
        weight, bias = state[f"patch_embed.{g}.proj.weight"], state[f"patch_embed.{g}.proj.bias"]
        h, w = (n // weight.shape[-1] for n in image.shape[1:])
        place = resized(state["pos_embed"][0, 1:], h, w)
        code = [[*row, *state["channel_embed"][0, g]] for row in place]
        sequence.append(patch_tokens(image[list(members)], weight, bias) + np.array(code))
    return trunk(np.concatenate(sequence), state, heads, eps)


def satmae_temporal(state: State, images: Array, times: Array, heads: int, eps: float) -> Array:
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    h, w = (n // weight.shape[-1] for n in images.shape[2:])
    place = resized(state["pos_embed"][0, 1:], h, w)
    part = (weight.shape[0] - place.shape[1]) // 3
    sequence = [state["cls_token"][0]]
    for image, time in zip(images, times, strict=True):
        code = sines(time[0], part) + sines(time[1], part) + sines(time[2], part)
        sequence.append(patch_tokens(image, weight, bias) + np.array([[*row, *code] for row in place]))
    return trunk(np.concatenate(sequence), state, heads, eps)


def prithvi(
    state: State,
    images: Array,
    heads: int,
    eps: float,
    prefix: str,
    dates: Array | None = None,
    place: Array | None = None,
) -> Array:
    """C×T×H×W → sequence; `prefix` is `encoder.` in files of version 2."""
    own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    weight, bias = own["patch_embed.proj.weight"], own["patch_embed.proj.bias"]
    width, size = weight.shape[0], weight.shape[-1]
    h, w = (n // size for n in images.shape[2:])
    sequence = [own["cls_token"][0]]
    for t in range(images.shape[1]):
        x = patch_tokens(images[:, t], weight, bias)
        for r in range(h):
            for c in range(w):
                code = sines(c, 6 * width // 16) + sines(r, 6 * width // 16) + sines(t, 4 * width // 16)
                x[r * w + c] += np.array(code)
        if dates is not None:
            year, day = dates[t]
            code = sines(year, width // 2) + sines(day, width // 2)
            x += own["temporal_embed_enc.scale"][0] * np.array(code)
        if place is not None:
            code = sines(place[0], width // 2) + sines(place[1], width // 2)
            x += own["location_embed_enc.scale"][0] * np.array(code)
        sequence.append(x)
    return trunk(np.concatenate(sequence), own, heads, eps)
