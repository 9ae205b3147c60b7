"""What is compiled ahead of time: every kind, with and without what may be left out, in the tiles that run."""

from __future__ import annotations

import torch

from kernels.constrained_projection.kernel import constrained_projection_kernel
from kernels.constrained_projection.launch import GROUP, tile_for
from kernels.launch import power_of_two
from kernels.resources import Build

_KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_CASES = (("bf16", 12, True, False, 168), ("fp16", 16, True, True, 168), ("fp32", 12, False, False, 200))


def builds() -> tuple[Build, ...]:
    """All of this kernel's."""
    found = []
    for kind, heads, has_bias, clip, registers in _CASES:
        tile = tile_for(_KINDS[kind])
        types = {
            **dict.fromkeys(("stream", "displacement", "weight", "bias", "out"), f"*{kind}"),
            **dict.fromkeys(("reference_square", "adapted_square"), "*fp32"),
            **dict.fromkeys("mnk", "i32"),
        }
        constants = {
            "H": heads, "HP": power_of_two(heads), "HAS_BIAS": has_bias, "CLIP": clip, "BM": tile.rows, "BN": tile.cols,
            "BK": tile.inner, "GROUP": GROUP, "UPCAST": False, "PRECISION": "ieee",
        }  # fmt: skip
        name = f"constrained_projection/{kind}-{heads}"
        kernel = constrained_projection_kernel
        found.append(
            Build(
                name, kernel, types, constants, tile.warps, tile.stages, True, registers, 64 << 10, ("n", "k")
            )
        )
    return tuple(found)
