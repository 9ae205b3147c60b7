"""What is compiled ahead of time: both products, of three parts and exact ones, in the tiles that run, the first with a norm
and without; what a norm takes of tokens; what puts together the partial results that they leave of a 14×14 grid of 768
channels.
"""

from __future__ import annotations

from kernels.quantise_projection.kernel import (
    quantise_projection_kernel,
    token_norm_kernel,
    token_spectrum_kernel,
)
from kernels.quantise_projection.launch import norm_tile_for, tile_for
from kernels.quantiser.builds import totals_build
from kernels.resources import Build

_OF_NORM = ("NORM", "HAS_GAIN", "HAS_OFFSET")
# precision, kind of tokens, symbols, groups of frequencies, and the most registers: of the product over tokens, of the same
# with a norm, of the product over channels. Up to 208 of 128 threads leave an SM two blocks, as 184 do.
_CASES = (
    ("tf32x3", "bf16", "i8", 6, 184, 208, 172),
    ("tf32", "fp16", "i16", 6, 112, 152, 112),
    ("ieee", "fp32", "i16", 1, 128, 152, 112),
)
# kind, channels, and the most registers of what the norm takes of a token
_NORMS = (("bf16", 768, 40), ("fp16", 192, 40), ("fp32", 80, 40), ("fp32", 4096, 40))


def builds() -> tuple[Build, ...]:
    """All of these kernels."""
    found = []
    for precision, kind, symbols, groups, of_tokens, of_normalised, of_channels in _CASES:
        tile = tile_for(precision)
        name = f"quantise_projection/{precision}-{kind}-{symbols}"
        sizes = {"BM": tile.rows, "BN": tile.cols, "BK": tile.inner, "PRECISION": precision}
        tokens = {
            "x": f"*{kind}", **dict.fromkeys("fc", "i32"),
            **dict.fromkeys(("norms", "gain", "offset", "mean", "dct", "spectrum"), "*fp32"),
        }  # fmt: skip
        channels = {
            **dict.fromkeys(("spectrum", "bases", "inv_step", "theta"), "*fp32"),
            **dict.fromkeys(("frequencies", "starts", "partial_largest", "partial_costs"), "*i32"),
            **dict.fromkeys(("code", "costs"), "*i16"),
            "symbols": f"*{symbols}",
            **dict.fromkeys("nfc", "i32"),
        }
        wide = symbols == "i16"
        constants = {
            **sizes, "G": groups, "L": 5,
            "DENSE": 32768 if wide else 256, "LIMIT": 32767.0 if wide else 128.0,
        }  # fmt: skip
        for what, kernel, types, constant, registers in (
            ("-tokens", token_spectrum_kernel, tokens, sizes | dict.fromkeys(_OF_NORM, False), of_tokens),
            ("-normed", token_spectrum_kernel, tokens, sizes | dict.fromkeys(_OF_NORM, True), of_normalised),
            ("", quantise_projection_kernel, channels, constants, of_channels),
        ):
            found.append(
                Build(name + what, kernel, types, constant, tile.warps, tile.stages, False, registers, 64 << 10, ("c",))
            )  # fmt: skip
    for kind, width, registers in _NORMS:
        rows = norm_tile_for(width)
        types = {
            "x": f"*{kind}", "norms": "*fp32", **dict.fromkeys(("rows", "c"), "i32"),
            **dict.fromkeys(("share", "eps"), "fp32"),
        }  # fmt: skip
        name, constants = f"quantise_projection/norm-{kind}-{width}", {"BR": rows.rows, "W": rows.wide}
        found.append(
            Build(name, token_norm_kernel, types, constants, rows.warps, 1, False, registers, 8 << 10, ("c",))
        )
    partials = 196 * -(-768 // tile_for("tf32x3").cols)
    found.append(totals_build("quantise_projection", partials, 5))
    return tuple(found)
