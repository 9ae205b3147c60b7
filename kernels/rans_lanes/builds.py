"""What is compiled ahead of time: the numbers of lanes that archives have."""

from __future__ import annotations

from kernels.rans_lanes.decode_kernel import rans_lanes_decode_kernel
from kernels.rans_lanes.encode_kernel import rans_lanes_encode_kernel
from kernels.rans_lanes.launch import WARPS, registers_for
from kernels.resources import Build

_INTS = dict.fromkeys(("groups", "runs", "frequencies", "tiles", "levels", "edges", "states"), "*i32")
_DECODE = {
    **_INTS, "data8": "*u8", "data16": "*i16", "data32": "*i32", "records": "*i64", "coarse": "*i32", "fine": "*u8",
    "out": "*i16", "status": "*i32", "tokens": "i32", "channels": "i32",
}  # fmt: skip
_ENCODE = {
    **_INTS, "symbols": "*i16", "records": "*i64", "words": "*i16", "signs": "*i32", "escapes": "*i32", "counts": "*i32",
    "tokens": "i32", "channels": "i32", "escape_bits": "i32",
}  # fmt: skip


def builds() -> tuple[Build, ...]:
    """All of this kernel's."""
    found = []
    for lanes, registers in ((32, 64), (64, 88), (128, 128)):
        constants = {"LANES": lanes, "BALLOT": lanes == 32}
        for name, kernel, types in (
            ("decode", rans_lanes_decode_kernel, _DECODE),
            ("encode", rans_lanes_encode_kernel, _ENCODE),
        ):
            build = Build(
                f"rans_lanes/{name}-{lanes}", kernel, types, constants, WARPS, 1, False, registers, 1 << 10,
                maxnreg=registers_for(lanes),
            )  # fmt: skip
            found.append(build)
    return tuple(found)
