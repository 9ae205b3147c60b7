"""What is compiled ahead of time: both kernels, products of three parts and exact ones, in the tiles that run; what puts
together the partial results that they leave of a 14×14 grid of 768 channels.
"""

from __future__ import annotations

from kernels.quantise_projection.kernel import quantise_projection_kernel, token_spectrum_kernel
from kernels.quantise_projection.launch import tile_for
from kernels.quantiser.builds import totals_build
from kernels.resources import Build

# precision, kind of tokens, symbols, groups of frequencies, and the most registers of either kernel
_CASES = (
    ("tf32x3", "bf16", "i8", 6, 184, 172),
    ("tf32", "fp16", "i16", 6, 112, 112),
    ("ieee", "fp32", "i16", 1, 128, 112),
)


def builds() -> tuple[Build, ...]:
    """All of both kernels."""
    found = []
    for precision, kind, symbols, groups, of_tokens, of_channels in _CASES:
        tile = tile_for(precision)
        name = f"quantise_projection/{precision}-{kind}-{symbols}"
        sizes = {"BM": tile.rows, "BN": tile.cols, "BK": tile.inner, "PRECISION": precision}
        tokens = {
            "x": f"*{kind}", **dict.fromkeys(("mean", "dct", "spectrum"), "*fp32"), **dict.fromkeys("fc", "i32")
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
            ("-tokens", token_spectrum_kernel, tokens, sizes, of_tokens),
            ("", quantise_projection_kernel, channels, constants, of_channels),
        ):
            found.append(
                Build(name + what, kernel, types, constant, tile.warps, tile.stages, False, registers, 64 << 10, ("c",))
            )  # fmt: skip
    partials = 196 * -(-768 // tile_for("tf32x3").cols)
    found.append(totals_build("quantise_projection", partials, 5))
    return tuple(found)
