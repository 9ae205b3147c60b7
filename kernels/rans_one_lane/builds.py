"""What is compiled ahead of time."""

from __future__ import annotations

from kernels.rans_one_lane.decode_kernel import rans_one_lane_decode_kernel
from kernels.rans_one_lane.encode_kernel import rans_one_lane_encode_kernel
from kernels.rans_one_lane.launch import RECORDS, WARPS
from kernels.resources import Build

_INTS = dict.fromkeys(
    ("members", "programs", "groups", "runs", "frequencies", "tiles", "levels", "edges"), "*i32"
)
_SIZES = dict.fromkeys(("tokens", "channels", "capacity"), "i32")
_DECODE = {
    **_INTS, **_SIZES, "data8": "*u8", "data16": "*i16", "records": "*i64", "coarse": "*i32", "fine": "*u8", "out": "*i16",
    "lists": "*i64", "status": "*i32",
}  # fmt: skip
_ENCODE = {
    **_INTS, **_SIZES, "symbols": "*i16", "records": "*i64", "words": "*i16", "raw": "*i32", "lists": "*i32",
    "states": "*i32", "counts": "*i32", "raw_bits": "i32",
}  # fmt: skip


def builds() -> tuple[Build, ...]:
    """All of this kernel's."""
    constants = {"RECORDS": RECORDS}
    return (
        Build(
            "rans_one_lane/decode",
            rans_one_lane_decode_kernel,
            _DECODE,
            constants,
            WARPS,
            1,
            False,
            128,
            1 << 10,
        ),
        Build(
            "rans_one_lane/encode",
            rans_one_lane_encode_kernel,
            _ENCODE,
            constants,
            WARPS,
            1,
            False,
            128,
            1 << 10,
        ),
    )
