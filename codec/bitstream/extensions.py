"""Header extensions (bitstream §3.3): a sequence of type, length, content that fills its space exactly."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from codec.bitstream.array_shape import ArrayShape
from codec.errors import Corrupt, InputError, UnsupportedVersion
from codec.types import PlaneKind, PlaneSpec, TileGrid

_HEAD = struct.Struct("<BH")
_MANDATORY = 0x80
MAX_SOURCE_NAME = 128  # bytes of UTF-8
FIELD_BANDS = 64  # those of the fixed field
MAX_WIDE_MASK = 64  # bytes of the bands beyond it
MAX_BANDS = FIELD_BANDS + 8 * MAX_WIDE_MASK


class ExtensionNumber(IntEnum):
    """Bits 0–6 of an extension's type."""

    MEAN_VECTOR = 1
    WKT2 = 2
    GROUND_CONTROL_POINTS = 3  # reserved
    RATIONAL_POLYNOMIALS = 4  # reserved
    SENSOR_REFERENCE = 5  # reserved
    SOURCE_NAME = 6
    WIDE_BAND_MASK = 7
    ARRAY = 8


UNDERSTOOD = frozenset(
    {
        ExtensionNumber.MEAN_VECTOR,
        ExtensionNumber.WKT2,
        ExtensionNumber.SOURCE_NAME,
        ExtensionNumber.WIDE_BAND_MASK,
        ExtensionNumber.ARRAY,
    }
)


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension as it stands in the header; unknown optional ones are kept so that no byte is lost."""

    number: int  # 0…127
    mandatory: bool  # a decoder that does not know the number refuses the file
    data: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.number <= 0x7F:
            raise InputError("an extension number lies in 0 to 127", found=self.number)
        if len(self.data) > 0xFFFF:
            raise InputError("an extension holds at most 65535 bytes", found=len(self.data))

    @property
    def size(self) -> int:
        """Bytes in the header."""
        return _HEAD.size + len(self.data)

    @property
    def label(self) -> str:
        """Number and name, for messages."""
        try:
            name = ExtensionNumber(self.number).name.lower().replace("_", " ")
        except ValueError:
            return f"extension {self.number}"
        return f"extension {self.number} ({name})"


def wkt_extension(wkt: str, *, epsg: int) -> Extension:
    """The CRS as text; it must be understood unless the EPSG code says the same."""
    return Extension(ExtensionNumber.WKT2, epsg == 0, wkt.encode())


def source_name_extension(name: str) -> Extension:
    """Where the scene came from, for provenance: 1 to 128 bytes of UTF-8."""
    return Extension(ExtensionNumber.SOURCE_NAME, False, name.encode())


def mean_vector_extension(plane: int, payload: bytes) -> Extension:
    """The mean vector of `plane`; `payload` comes from codec.bitstream.mean_vector."""
    return Extension(ExtensionNumber.MEAN_VECTOR, True, bytes([plane]) + payload)


def wide_mask_extension(beyond: int) -> Extension:
    """Bit i of `beyond` (not 0): band 64 + i of the package's list was there."""
    return Extension(
        ExtensionNumber.WIDE_BAND_MASK, True, beyond.to_bytes((beyond.bit_length() + 7) // 8, "little")
    )


def array_extension(array: ArrayShape) -> Extension:
    """How the tiles make up a caller's array; who does not know it still decodes the tiles."""
    return Extension(ExtensionNumber.ARRAY, False, array.encode())


def encode(extensions: Sequence[Extension]) -> bytes:
    """The bytes between the planes and the header's CRC."""
    return b"".join(
        _HEAD.pack(e.number | (_MANDATORY if e.mandatory else 0), len(e.data)) + e.data for e in extensions
    )


def decode(data: bytes, *, offset: int, path: object = None) -> tuple[Extension, ...]:
    """Cut `data` (which begins at byte `offset` of the header) into extensions; the contents are not judged.

    Raises Corrupt on an overrun. See `check` for order and contents.
    """
    found = []
    position = 0
    while position < len(data):
        where = offset + position
        if len(data) - position < _HEAD.size:
            raise Corrupt(
                "an extension overruns the header",
                path=path,
                offset=where,
                fix="the header was damaged, send it again",
            )
        kind, length = _HEAD.unpack_from(data, position)
        position += _HEAD.size
        if length > len(data) - position:
            raise Corrupt(
                "an extension overruns the header",
                path=path,
                offset=where,
                expected=f"at most {len(data) - position} bytes",
                found=length,
            )
        found.append(Extension(kind & 0x7F, bool(kind & _MANDATORY), data[position : position + length]))
        position += length
    return tuple(found)


def check(
    extensions: Sequence[Extension],
    *,
    planes: Sequence[PlaneSpec],
    grid: TileGrid,
    epsg: int,
    path: object = None,
) -> None:
    """Order, must-understand bits and contents.

    Raises UnsupportedVersion, by number, for an unknown extension that must be understood; Corrupt for disorder,
    a repeat, or a known extension with illegal content.
    """
    for before, after in pairwise(extensions):
        if after.number < before.number:
            raise Corrupt(
                f"{after.label} stands behind {before.label}", path=path, expected="ascending numbers"
            )
        if after.number == before.number and after.number != ExtensionNumber.MEAN_VECTOR:
            raise Corrupt(f"{after.label} is there twice", path=path)
    averaged: list[int] = []
    for extension in extensions:
        if extension.number not in UNDERSTOOD:
            if extension.mandatory:
                raise UnsupportedVersion(
                    f"{extension.label} must be understood and is not", path=path, fix="use a newer Swathpack"
                )
            continue
        if extension.number == ExtensionNumber.MEAN_VECTOR:
            _require_bit(extension, True, path)
            if len(extension.data) < 2:
                raise Corrupt(f"{extension.label} is empty", path=path)
            averaged.append(extension.data[0])
        elif extension.number == ExtensionNumber.WKT2:
            # With an EPSG code both are legal: the bit says whether the text and the code mean the same.
            if epsg == 0:
                _require_bit(extension, True, path)
            _require_text(extension, 0, 0xFFFF, path)
        elif extension.number == ExtensionNumber.WIDE_BAND_MASK:
            _require_bit(extension, True, path)
            if not 1 <= len(extension.data) <= MAX_WIDE_MASK or not extension.data[-1]:
                raise Corrupt(
                    f"{extension.label} has an illegal length",
                    path=path,
                    expected=f"1 to {MAX_WIDE_MASK} bytes, the last not 0",
                    found=len(extension.data),
                )
        elif extension.number == ExtensionNumber.ARRAY:
            _require_bit(extension, False, path)
            ArrayShape.decode(extension.data, path).check(tuple(planes), grid, path)
        else:
            _require_bit(extension, False, path)
            _require_text(extension, 1, MAX_SOURCE_NAME, path)
    for plane in averaged:
        if plane >= len(planes) or planes[plane].kind != PlaneKind.FLOAT:
            raise Corrupt("a mean vector names no plane of kind float", path=path, found=plane)
    if any(after <= before for before, after in pairwise(averaged)):
        raise Corrupt("mean vectors do not stand in the order of their planes", path=path, found=averaged)


def _require_bit(extension: Extension, mandatory: bool, path: object) -> None:
    if extension.mandatory != mandatory:
        raise Corrupt(
            f"{extension.label} has the wrong must-understand bit",
            path=path,
            expected=int(mandatory),
            found=int(extension.mandatory),
        )


def _require_text(extension: Extension, least: int, most: int, path: object) -> None:
    if not least <= len(extension.data) <= most:
        raise Corrupt(
            f"{extension.label} has an illegal length",
            path=path,
            expected=f"{least} to {most}",
            found=len(extension.data),
        )
    try:
        extension.data.decode()
    except UnicodeDecodeError as error:
        raise Corrupt(f"{extension.label} is not UTF-8", path=path) from error
