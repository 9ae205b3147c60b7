"""Small files in the layouts of the published ones: the names of the JSON files, with every size made smaller."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codec.models.foreign.layout import Layout, parse_layout

DEPTH = 2
HEADS = 2
WIDTH = 32
HIDDEN = 96  # not 4 × the width: nothing may assume it (Galileo's configuration can only say whole multiples)
PATCH = 4
DECODER = 48
SWIN_WINDOW = 3
CODE = 8  # of SatMAE's channel groups; SatMAE's time code is 3 × 4


def published(name: str) -> dict[str, Any]:
    """The JSON object of a layout, not parsed by the code under test."""
    text = (resources.files("codec.models") / "layouts" / f"{name}.json").read_text()
    data: dict[str, Any] = json.loads(text)
    return data


def small(name: str) -> Layout:
    """The layout with width 32, two blocks, two heads, 4-px patches and a 3×3 grid (or 3 frames of it); of Swin, four stages
    of width 8 to 64, two blocks each, and windows of 3×3.
    """
    data = published(name)
    data["keys"] = {
        re.sub(r"\{0\.\.\d+\}", f"{{0..{DEPTH - 1}}}", key): _shape(key, shape, data)
        for key, shape in data["keys"].items()
    }
    data["heads"] = HEADS
    if "decoder" in data:
        data["decoder"]["heads"] = 3
    return parse_layout(data)


def _shape(key: str, shape: list[int], data: dict[str, Any]) -> list[int]:
    if data["family"] == "swin":
        return _swin_shape(key, shape)
    norm = next(v for k, v in data["keys"].items() if k.endswith("}.norm1.weight") and "decoder" not in k)
    width = norm[0]
    if key.endswith(("decoder_pred.weight", "decoder_pred.bias")):
        return [PATCH * PATCH * 3, *[DECODER] * (len(shape) - 1)]
    if data["family"] == "satmae_group" and key == "pos_embed":
        return [1, 10, WIDTH - CODE]
    if data["family"] == "satmae_group" and key == "channel_embed":
        return [1, 3, CODE]
    if data["family"] == "satmae_temporal" and key == "pos_embed":
        return [1, 10, WIDTH - 3 * 4]
    hidden = 2 * WIDTH if data["family"] == "galileo" else HIDDEN
    sizes = {width: WIDTH, 3 * width: 3 * WIDTH, 4 * width: hidden, width // 4: WIDTH // 4}
    if "decoder" in key or "mask_token" in key:
        sizes = {512: DECODER, 1536: 3 * DECODER, 2048: 2 * DECODER, width: WIDTH}
    elif "proj.weight" in key and len(shape) >= 4:
        sizes |= {shape[-1]: PATCH}
    if "pos_embed" in key and len(shape) == 3:
        sizes[shape[1]] = 10
    return [sizes.get(n, n) for n in shape]


def _swin_shape(key: str, shape: list[int]) -> list[int]:
    if key.endswith("bias_table"):
        return [(2 * SWIN_WINDOW - 1) ** 2, shape[1] // 2]
    hidden = max(shape) if "mlp.fc1" in key or key.endswith("mlp.fc2.weight") else 0
    return [n * 3 // 64 if n == hidden else n // 16 if n % 128 == 0 else n for n in shape]


def swin_layout(
    *, depths: tuple[int, ...], heads: tuple[int, ...], width: int, window: int, patch: int, bands: int
) -> Layout:
    """A layout like the published ones, in other sizes."""
    keys: dict[str, list[int]] = {"patch_embed.proj.weight": [width, bands, patch, patch]}
    for name in ("patch_embed.proj.bias", "patch_embed.norm.weight", "patch_embed.norm.bias"):
        keys[name] = [width]
    for i, (depth, n) in enumerate(zip(depths, heads, strict=True)):
        d = width * 2**i
        shapes = {
            "attn.relative_position_bias_table": [(2 * window - 1) ** 2, n],
            "attn.qkv.weight": [3 * d, d],
        }
        shapes |= {"attn.qkv.bias": [3 * d], "attn.proj.weight": [d, d], "attn.proj.bias": [d]}
        shapes |= {"mlp.fc1.weight": [3 * d, d], "mlp.fc1.bias": [3 * d]}
        shapes |= {"mlp.fc2.weight": [d, 3 * d], "mlp.fc2.bias": [d]}
        shapes |= {f"norm{a}.{b}": [d] for a in (1, 2) for b in ("weight", "bias")}
        keys |= {f"layers.{i}.blocks.{{0..{depth - 1}}}.{name}": shape for name, shape in shapes.items()}
        if i + 1 < len(depths):
            keys[f"layers.{i}.downsample.reduction.weight"] = [2 * d, 4 * d]
            keys |= {f"layers.{i}.downsample.norm.{b}": [4 * d] for b in ("weight", "bias")}
    keys |= {f"norm.{b}": [width * 2 ** (len(depths) - 1)] for b in ("weight", "bias")}
    names = ["red", "green", "blue", *(f"w{n:04}" for n in range(700, 700 + bands - 3))]
    data: dict[str, Any] = dict.fromkeys(("name", "paper", "repository", "file", "commit"), "swin")
    return parse_layout(
        data | {"family": "swin", "wrappers": [None], "prefixes": [""], "heads": heads[0], "eps": 1e-5}
        | {"bands": names, "keys": keys, "buffers": [".relative_position_index", ".attn_mask"]}
    )  # fmt: skip


def weights(layout: Layout, seed: int = 0) -> dict[str, Tensor]:
    """Random tensors by the layout's keys, large enough that every one of them moves the tokens; float32."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in layout.keys.items():
        value = torch.randn(shape, generator=generator)
        if key.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif len(shape) == 2 and "embed" not in key.split(".")[-1]:
            value = value / shape[1] ** 0.5
        elif "norm" in key and key.endswith("weight"):
            value = 1 + 0.3 * value
        else:
            value = 0.3 * value
        state[key] = value
    return state


def write(layout: Layout, state: dict[str, Tensor], path: Path, **beside: Any) -> Path:
    """Write `state` under the wrapper and prefix that the layout names first."""
    named = {layout.prefixes[0] + key: value for key, value in state.items()}
    wrapper = layout.wrappers[0]
    torch.save({**beside, wrapper: named} if wrapper else named, path)
    return path
