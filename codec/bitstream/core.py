"""The compiled core, `_swathpack_core`, with types; and the check that it was built from the sources beside it.

This is the only module of the room that touches the core. Arrays are contiguous; N tiles, C channels, F token
frequencies in raster order.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from codec.errors import BackendUnavailable
from codec.types import BoolArray, SymbolArray

try:
    import _swathpack_core as _core
except ImportError as _error:  # a checkout that was never installed, or a wheel for another interpreter
    if isinstance(_error.__cause__, BackendUnavailable):  # the core itself refused, in its own words
        raise _error.__cause__ from None
    raise BackendUnavailable(
        f"the compiled core cannot be loaded ({_error})",
        fix="install Swathpack: `make setup`, or `pip install .`",
    ) from _error

TableSet: TypeAlias = _core.TableSet

Buffer: TypeAlias = "bytes | bytearray | memoryview"
# Why a record was refused: kind of codec.errors, what is wrong, byte of the record.
Refusal: TypeAlias = "tuple[str, str, int]"
IntSymbols: TypeAlias = "npt.NDArray[np.int8] | SymbolArray"
Coefficients: TypeAlias = "IntSymbols | npt.NDArray[np.float16] | npt.NDArray[np.float32]"
Order: TypeAlias = 'Literal["tile", "token"]'


def build_id() -> str:
    """SHA-256 (hex) over the C++ sources that the loaded core was built from."""
    return _core.build_id()


def isa() -> str:
    """The instruction set in use."""
    return _core.isa()


def isas() -> list[str]:
    """All instruction sets that can run here, best first."""
    return _core.isas()


def set_isa(name: str) -> None:
    """Use one by name from now on, for tests and benchmarks; InputError where it cannot run here."""
    _core.set_isa(name)


def check_build_id(checkout: Path | None = None) -> str:
    """Say which sources the loaded core was built from; refuse a core that is older than the sources beside it.

    `checkout` is the folder that holds `cpp/` and `codec/`, by default the one this file lies in. In an installed
    copy there are no sources to compare with, and the text says so. Raises BackendUnavailable for a stale core.
    """
    checkout = Path(__file__).resolve().parents[2] if checkout is None else checkout
    script = checkout / "cpp" / "build_id.py"
    if not script.is_file():
        return f"build {build_id()[:12]}, no sources beside it"
    spec = importlib.util.spec_from_file_location("swathpack_build_id", script)
    if spec is None or spec.loader is None:
        raise BackendUnavailable("the build id of the sources cannot be computed", path=script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = cast(str, module.build_id(checkout))
    if expected != build_id():
        raise BackendUnavailable(
            "the compiled core was not built from the sources beside it", path=checkout, expected=expected[:12],
            found=build_id()[:12], fix="install again: `pip install --no-build-isolation --no-deps -e .`",
        )  # fmt: skip
    return f"build {expected[:12]}, as the sources beside it"


def crc32c(data: Buffer, seed: int = 0) -> int:
    """CRC-32C of bitstream §1; `seed` is the CRC of what stands before."""
    return _core.crc32c(data, seed)


def crc8(data: Buffer) -> int:
    """CRC-8/AUTOSAR of bitstream §1."""
    return _core.crc8(data)


def scan(data: Buffer, offset: int = 0) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Offsets and packed headers of the intact records of `data` from `offset` on, in file order."""
    offsets, headers = _core.scan(data, offset)
    return offsets, headers


def encode_records(
    tables: TableSet,
    headers: npt.NDArray[np.uint64],
    ladder_index: int,
    symbols: Coefficients,
    tile_mask: BoolArray,
    token_mask: BoolArray,
    doubled: BoolArray,
    order: Order = "tile",
    threads: int = 1,
) -> list[bytes]:
    """Complete records of one plane.

    `headers` (R) are packed without length and check; `symbols` N×C×F of all tiles of the file, or N×F×C when `order` is
    "token"; float32 goes through the reference quantiser. `tile_mask` N, True = none of the tile's own tokens is valid;
    `token_mask` N×F, True = invalid; `doubled` N×F, True = derived-invalid. The bytes do not depend on `threads`. Raises
    InputError and LimitExceeded.
    """
    return _core.encode_records(
        tables, headers, ladder_index, symbols, tile_mask, token_mask, doubled, order, threads
    )


def decode_records(
    tables: TableSet,
    records: Sequence[Buffer],
    ladder_index: int,
    n_tiles: int,
    doubled: BoolArray,
    out: Coefficients,
    out_token_mask: BoolArray,
    out_layers: npt.NDArray[np.uint16],
    plane: int,
    order: Order = "tile",
    threads: int = 1,
) -> list[Refusal | None]:
    """Decode records of one plane into `out`, `out_token_mask` N×F and `out_layers` N.

    `out` is N×C×F, or N×F×C when `order` is "token": symbols as int8 or int16, values (bitstream §8.1) as float16 or
    float32. Returns per record None or why it was refused. A refused record leaves the outputs as they were, but where
    its layer had not come yet the coefficients may be 0 now.
    """
    return _core.decode_records(
        tables,
        records,
        ladder_index,
        n_tiles,
        doubled,
        out,
        out_token_mask,
        out_layers,
        plane,
        order,
        threads,
    )


def tile_costs(
    tables: TableSet, plane: int, layer: int, ladder_index: int, symbols: IntSymbols, order: Order = "tile"
) -> npt.NDArray[np.uint64]:
    """One-lane costs in 1/256 bit (bitstream §10.2) of one layer of every tile; `symbols` N×C×F or N×F×C."""
    return _core.tile_costs(tables, plane, layer, ladder_index, symbols, order)


def rs_encode(source: npt.NDArray[np.uint8], r: int) -> npt.NDArray[np.uint8]:
    """`r` Cauchy Reed–Solomon repair symbols (r×S) over `source` symbols (k×S); k + r ≤ 255."""
    return _core.rs_encode(source, r)


def rs_decode(
    symbols: npt.NDArray[np.uint8], indices: npt.NDArray[np.generic], k: int
) -> npt.NDArray[np.uint8]:
    """The k×S source symbols from any k distinct ones, m×S with their indices (repair symbols from k on)."""
    return _core.rs_decode(symbols, indices, k)


def plane_layout(tables: TableSet, plane: int) -> dict[str, Any]:
    """rows, cols, channels, n_layers, kind, bands (F), layer_map and class_map (B×C), layer_shift (n_layers)."""
    return dict(tables.plane(plane))
