"""What is compiled ahead of time: widths of encoders, all kinds, both integers, with and without what may be left out; what
puts together the partial results that batches of a 14×14 grid leave.
"""

from __future__ import annotations

from kernels.quantise_diagonal.kernel import quantise_diagonal_kernel
from kernels.quantise_diagonal.launch import chunk_for, parts_of, tile_for
from kernels.quantiser.builds import totals_build
from kernels.resources import Build

# kind, symbols, channels, norm, and the most registers: up to 168 of a thread an SM holds 12 warps.
_CASES = (
    ("bf16", "i8", 768, True, 168),
    ("fp16", "i8", 192, True, 168),
    ("fp32", "i16", 80, True, 160),
    ("fp32", "i16", 4096, False, 96),
)


def builds() -> tuple[Build, ...]:
    """All of this kernel's."""
    found = []
    for kind, symbols, channels, norm, registers in _CASES:
        tile, (width, parts) = tile_for(channels), parts_of(channels)
        types = {
            "x": f"*{kind}",
            **dict.fromkeys(("gain", "offset", "inv_step", "theta"), "*fp32"),
            **dict.fromkeys(("code", "costs"), "*i16"),
            "symbols": f"*{symbols}",
            **dict.fromkeys(("partial_largest", "partial_costs"), "*i32"),
            **dict.fromkeys(("rows", "chunk"), "i32"),
            **dict.fromkeys(("share", "eps"), "fp32"),
        }
        wide = symbols == "i16"
        constants = {
            "C": channels, "W": width, "PARTS": parts, "L": 5, "NORM": norm, "HAS_GAIN": norm, "HAS_OFFSET": norm,
            "DENSE": 32768 if wide else 256, "LIMIT": 32767.0 if wide else 128.0, "BF": tile.rows,
        }  # fmt: skip
        name = f"quantise_diagonal/{kind}-{symbols}-{channels}"
        kernel = quantise_diagonal_kernel
        found.append(Build(name, kernel, types, constants, tile.warps, 1, False, registers, 8 << 10))
    for n_tiles in (64, 4096):
        chunk = chunk_for(n_tiles, 196, tile_for(768))
        found.append(totals_build("quantise_diagonal", -(-196 // chunk), 5))
    return tuple(found)
