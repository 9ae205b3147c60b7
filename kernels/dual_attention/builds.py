"""What is compiled ahead of time: heads of 32, 64 and 80, ranks 8 to 32, all kinds, in the tiles that run."""

from __future__ import annotations

import torch

from kernels.dual_attention.kernel import dual_attention_kernel
from kernels.dual_attention.launch import padded_rank, parts_of, tile_for
from kernels.resources import Build

_KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
# kind, head width, rank, heads, and the most registers: up to 255 of 4 warps an SM holds two blocks, up to 168 three.
_CASES = (
    ("bf16", 64, 16, 12, 240),
    ("bf16", 80, 32, 16, 255),
    ("fp16", 64, 32, 12, 255),
    ("fp16", 32, 8, 6, 176),
    ("fp32", 64, 16, 12, 120),
    ("fp32", 80, 32, 16, 136),
)
_STRIDES = tuple(f"{of}_{what}" for of in "qkv" for what in ("batch", "head", "row"))


def builds() -> tuple[Build, ...]:
    """All of this kernel's."""
    found = []
    for kind, width, rank, heads, registers in _CASES:
        tile, (d0, d1) = tile_for(_KINDS[kind]), parts_of(width)
        types = {
            **dict.fromkeys(("q", "k", "v", "code", "up_q", "up_k", "up_v", "out"), f"*{kind}"),
            **dict.fromkeys(("reference_square", "adapted_square"), "*fp32"),
            **dict.fromkeys((*_STRIDES, "n"), "i32"),
            "scale": "fp32",
        }
        constants = {
            "H": heads, "D0": d0, "D1": d1, "R": rank, "RP": padded_rank(rank), "BM": tile.queries, "BN": tile.keys,
            "UPCAST": False, "PRECISION": "ieee",
        }  # fmt: skip
        name = f"dual_attention/{kind}-{width}-{rank}"
        found.append(
            Build(
                name, dual_attention_kernel, types, constants, tile.warps, tile.stages, True, registers, 48 << 10, _STRIDES
            )
        )  # fmt: skip
    return tuple(found)
