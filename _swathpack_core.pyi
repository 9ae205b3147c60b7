"""Typed stub of the compiled module `_swathpack_core` (C++ core; docs/bitstream.md is the format).

N tiles, C channels, F = rows·cols token frequencies, all of one plane. Arrays are taken as they are, C-contiguous
and of the dtype named, and never copied. Functions raise the classes of codec.errors; the GIL is released while
they work, and what is passed in must not change meanwhile.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

_Symbols = npt.NDArray[np.int16] | npt.NDArray[np.int8]
_Values = _Symbols | npt.NDArray[np.float16] | npt.NDArray[np.float32]
_Order = Literal["tile", "token"]
_Mask = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]

class PlaneTables(TypedDict):
    rows: int
    cols: int
    channels: int
    n_layers: int
    n_bands: int
    kind: int  # 0 float, 1 integer
    bands: npt.NDArray[np.uint8]  # F: band of each frequency
    layer_map: npt.NDArray[np.uint8]  # B×C: 255 = never sent
    class_map: npt.NDArray[np.uint8]  # B×C
    layer_shift: npt.NDArray[np.int8]  # n_layers

def build_id() -> str:
    """SHA-256 (hex) over the sources the module was built from; cpp/build_id.py computes it from a checkout."""

def isa() -> str:
    """Instruction set in use: "avx512", "avx2", "neon" or "scalar". SWATHPACK_ISA chooses one before the first import."""

def isas() -> list[str]:
    """All that the processor and the operating system can run, best first."""

def set_isa(name: str) -> None:
    """Chooses one of them, while no other call is in progress. InputError where it cannot run here."""

def crc32c(data: Buffer, seed: int = 0) -> int:
    """CRC-32C; crc32c(b, crc32c(a)) is that of a followed by b."""

def crc8(data: Buffer) -> int:
    """CRC-8/AUTOSAR, the check byte of record headers."""

class TableSet:
    """A table file (bitstream §6), parsed and checked in every field.

    Raises Corrupt or UnsupportedVersion with the byte offset. Below, `ladder_index` means q of §5.2: the
    file's ladder index plus a record's offset. A plane, layer, level or index that is not there: InputError.
    """

    def __init__(self, data: Buffer) -> None: ...
    @property
    def n_tables(self) -> int: ...
    @property
    def n_planes(self) -> int: ...
    @property
    def n_ladder(self) -> int: ...
    @property
    def ladder(self) -> npt.NDArray[np.float32]: ...
    def plane(self, plane: int) -> PlaneTables: ...
    def points(self, level: int) -> tuple[float, float]:
        """Reconstruction points (r1, r2) of a level (§8.1)."""

    def theta(self, level: int) -> float:
        """Dead zone of the reference quantiser (§10.1)."""

    def low_bits(self, level: int) -> int:
        """b: each index but 0 stands for 2^b magnitudes (§5.3)."""

    def thresholds(self, level: int) -> npt.NDArray[np.uint16]:
        """The level's K thresholds, multiples of 2^b; empty: nothing is coded, the symbol is 0."""

    def level(self, plane: int, band: int, channel: int, ladder_index: int) -> int:
        """Level of a (band, channel); −1 where the layer map says never sent."""

    def levels(self, plane: int, ladder_index: int) -> npt.NDArray[np.int16]:
        """B×C: `level` of every band and channel."""

    def coded(self, plane: int, layer: int, ladder_index: int) -> int:
        """Number of (band, channel) pairs of the layer that have symbols."""

def encode_records(
    tables: TableSet,
    headers: npt.NDArray[np.uint64],
    ladder_index: int,
    symbols: _Values,
    tile_mask: _Mask,
    token_mask: _Mask,
    doubled: _Mask,
    order: _Order = "tile",
    threads: int = 1,
) -> list[bytes]:
    """Complete records (header, payload, CRC), one per packed header of kind 1 whose length and check are 0; without masks
    those of one lane become kind 6 (§5.1).

    symbols N×C×F (order "tile") or N×F×C (order "token") with N the tiles of the file, int8 or int16; float32 are latents,
    which go through the reference quantiser (§10.1) first. tile_mask N, True = none of the tile's own tokens is valid;
    token_mask N×F, True = invalid, not looked at in masked tiles and for derived tokens; doubled N×F, True =
    derived-invalid (§3.1), the others a rectangle of each tile. All records of one call belong to one plane. `threads`
    work side by side; the bytes do not depend on their number.

    InputError (with `record`): a header that does not fit, a symbol −32768, a non-zero symbol whose table has no
    threshold, a latent that is not a number, a tile without valid token that is not in tile_mask. LimitExceeded: more
    than 65,536 payload bytes or 2²⁶ symbols in one record. Nothing is returned when one fails.
    """

def decode_records(
    tables: TableSet,
    records: Sequence[Buffer],
    ladder_index: int,
    n_tiles: int,
    doubled: _Mask,
    out: _Values,
    out_token_mask: _Mask,
    out_layers: npt.NDArray[np.uint16],
    plane: int | None = None,
    order: _Order = "tile",
    threads: int = 1,
) -> list[tuple[str, str, int] | None]:
    """Decodes complete records into `out` (N×C×F or N×F×C, see `order`), the N×F token mask and the N layer bit sets.

    int8 and int16 receive symbols, float16 and float32 the values of §8.1 (before a mean vector).

    Gives one outcome per record: None, or (kind, what, byte of the record). `kind` is that of the codec.errors class:
    "truncated", "corrupt", "unsupported-version", "limit", or "bad-input" for an intact record that is not this
    call's business (no coefficients, another plane, a symbol beyond an int8 `out` or a value beyond float16).

    A refused record leaves the arrays as they were, but for coefficients of its layer in its tiles: where that layer had
    not come yet they may be 0 now. An intact one sets all coefficients of its (layer, tiles), sets
    bit `layer` in out_layers, and, if of layer 0, writes its tiles' rows of out_token_mask (True = invalid). A later
    record of the same tiles and layer overwrites an earlier one. `plane`: whose records these are; None takes the
    plane of the first record with a right check byte and the shape of `out`.
    """

def tile_costs(
    tables: TableSet, plane: int, layer: int, ladder_index: int, symbols: _Symbols, order: _Order = "tile"
) -> npt.NDArray[np.uint64]:
    """N one-lane estimates in 1/256 bit (§10.2): magnitudes, signs, escapes; masks are not considered."""

def scan(data: Buffer, offset: int = 0) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    """Offsets and packed headers of all intact records from `offset` on (§4.4), in file order; linear work."""

def rs_encode(source: npt.NDArray[np.uint8], r: int) -> npt.NDArray[np.uint8]:
    """r×S repair symbols of k×S source symbols, k + r ≤ 255 (cpp/include/swathpack/reed_solomon.h)."""

def rs_decode(
    symbols: npt.NDArray[np.uint8], indices: npt.NDArray[Any] | Sequence[int], k: int
) -> npt.NDArray[np.uint8]:
    """k×S source symbols from at least k of the k + r: source j has index j, repair i has index k + i."""
