"""How the kernel that puts together a tile's partial results is compiled ahead of time, for each kernel that leaves them."""

from __future__ import annotations

from kernels.quantiser.totals import block_for
from kernels.quantiser.totals_kernel import totals_kernel
from kernels.resources import Build

_REGISTERS = 80  # at most: half of what the kernels before it take


def totals_build(after: str, partials: int, n_layers: int) -> Build:
    """Behind the kernel `after`, which leaves so many of each tile."""
    block = block_for(partials, n_layers)
    types = {
        **dict.fromkeys(("partial_largest", "partial_costs"), "*i32"),
        "largest": "*fp32", "tile_costs": "*i64", "partials": "i32",
    }  # fmt: skip
    constants = {"L": n_layers, "WIDE": block.wide, "BP": block.partials}
    return Build(
        f"{after}/totals-{partials}",
        totals_kernel,
        types,
        constants,
        block.warps,
        1,
        False,
        _REGISTERS,
        8 << 10,
    )
