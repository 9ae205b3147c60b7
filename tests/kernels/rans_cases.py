"""Coding calls (`tests/core/coding_cases.py`) of the back ends `gpu` and `core`, and whether both say the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.bitstream import core
from codec.errors import SwathpackError

CORE = Path(__file__).resolve().parent.parent / "core"
if str(CORE) not in sys.path:
    sys.path.append(str(CORE))

from coding_cases import Case, cases  # noqa: E402
from drawn_records import Records, sealed  # noqa: E402
from table_files import PlaneTableSpec, TableFile, TableSpec, packed_header  # noqa: E402

__all__ = [
    "Case", "PlaneTableSpec", "Records", "TableFile", "TableSpec", "assert_same_decoding", "cases", "decoded", "encoded",
    "packed_header", "raised", "sealed",
]  # fmt: skip

Arrays = tuple[npt.NDArray[Any], npt.NDArray[np.bool_], npt.NDArray[np.uint16]]


def decoded(coder: Any, case: Case, records: list[bytes], dtype: Any = np.int16) -> tuple[list[Any], Arrays]:
    """Outcomes and arrays, whose contents before are none that a decoder writes."""
    n, _, f = case.symbols.shape
    out: Arrays = (
        np.full(case.symbols.shape, 99, dtype),
        np.indices((n, f)).sum(0) % 2 == 0,
        np.zeros(n, np.uint16),
    )
    outcomes = coder.decode_records(
        case.tables, records, case.ladder_index, n, case.doubled, *out, int(case.headers[0]) >> 3 & 7
    )
    return outcomes, out


def encoded(coder: Any, case: Case) -> list[bytes]:
    headers = np.array(case.headers, np.uint64)
    masks = case.tile_mask, case.token_mask, case.doubled
    found: list[bytes] = coder.encode_records(case.tables, headers, case.ladder_index, case.symbols, *masks)
    return found


def raised(call: Callable[[], object]) -> str:
    try:
        call()
    except SwathpackError as error:
        return str(error)
    return ""


def assert_same_decoding(case: Case, records: list[bytes], dtype: Any = np.int16) -> None:
    from kernels.rans import backend

    outcomes, arrays = decoded(backend, case, records, dtype)
    expected, of_core = decoded(core, case, records, dtype)
    assert outcomes == expected
    for ours, theirs in zip(arrays, of_core, strict=True):
        assert np.array_equal(ours, theirs)
