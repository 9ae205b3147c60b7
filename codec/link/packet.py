"""One packet: a CCSDS space packet (133.0-B-2) with the link header of docs/link.md §1.

Every packet says by itself to which block of which file it belongs; parsing one depends on nothing else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum

from codec.bitstream.core import crc32c
from codec.errors import Corrupt, InputError, Truncated, UnsupportedVersion
from codec.types import Packet

DEFAULT_APID = 0x2A5
MAX_APID = 0x7FE
IDLE_APID = 0x7FF  # 133.0-B-2 4.1.3.3.4.4: idle packets
SEQUENCE_MODULUS = 1 << 14
MAGIC = b"NL"
VERSION = 0
MAX_CLASS = 15
MAX_SYMBOLS = 255  # k + r: the elements of GF(2^8) that number the symbols of one block, less one
MAX_BLOCK_BYTES = 1 << 22  # k·S: what a receiver sets aside while it rebuilds one block
MAX_BLOCKS = 1 << 16

_PRIMARY = struct.Struct(">HHH")
_LINK = struct.Struct("<2sBB8sHBBBHHI")
_CRC = struct.Struct("<I")
_CHECK_TAIL = struct.Struct("<BBH")
PRIMARY_SIZE = _PRIMARY.size
OVERHEAD = _LINK.size + _CRC.size  # beyond the primary header
BODY_OFFSET = PRIMARY_SIZE + _LINK.size
MAX_BODY = 65_536 - OVERHEAD  # the packet data field ends at 65,536 bytes
SMALLEST = PRIMARY_SIZE + OVERHEAD + 1

# version 000, type 0 (telemetry), secondary header flag 0: what stands above the APID
_FOREIGN_BITS = (
    (0xE000, "packet version number"),
    (0x1000, "telecommand type"),
    (0x0800, "secondary header"),
)
_UNSEGMENTED = 0b11


class Fec(str, Enum):
    """The erasure code of a transmission, by the name users give."""

    NONE = "none"
    RS = "rs"


class Code(IntEnum):
    """The erasure code of a block, as bits 4–5 of the class byte have it."""

    NONE = 0
    CAUCHY_RS = 1


_CODES = frozenset(int(code) for code in Code)


@dataclass(frozen=True, slots=True)
class LinkPacket:
    """The fields of one intact packet; their legal ranges are checked here. Raises InputError otherwise."""

    file_id: bytes  # 8 bytes
    layer_class: int  # 0…15
    block: int  # number in its file and class
    index: int  # of the symbol; < k source, else repair
    k: int  # source symbols of the block
    r: int  # repair symbols
    symbol_size: int  # bytes
    block_check: int  # CRC-32C over the padded source symbols, k, r and symbol size
    body: bytes  # the symbol; trimmed when it is a source symbol
    first_item: int = 0  # offset of the first item that begins in this symbol
    code: Code = Code.CAUCHY_RS
    apid: int = DEFAULT_APID
    sequence: int = 0  # modulo 2^14

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise InputError(f"no packet can be made of this: {problem}")

    @property
    def is_source(self) -> bool:
        return self.index < self.k

    @property
    def padded(self) -> bytes:
        """The whole symbol: `symbol_size` bytes."""
        return self.body.ljust(self.symbol_size, b"\0")


def _problem(p: LinkPacket) -> str:
    """Which rule of docs/link.md §1 the fields break; empty when none."""
    for name, value, low, high in (
        ("APID", p.apid, 0, MAX_APID),
        ("sequence count", p.sequence, 0, SEQUENCE_MODULUS - 1),
        ("layer class", p.layer_class, 0, MAX_CLASS),
        ("block number", p.block, 0, MAX_BLOCKS - 1),
        ("k", p.k, 1, MAX_SYMBOLS - 1 if p.code else MAX_SYMBOLS),
        ("r", p.r, 1 if p.code else 0, MAX_SYMBOLS - p.k if p.code else 0),
        ("symbol index", p.index, 0, p.k + p.r - 1),
        ("symbol size", p.symbol_size, 1, min(MAX_BODY, MAX_BLOCK_BYTES // max(p.k, 1))),
        ("first item", p.first_item, 0, p.symbol_size if p.is_source else 0),
        ("block check", p.block_check, 0, 0xFFFFFFFF),
        ("body length", len(p.body), 1 if p.is_source else p.symbol_size, p.symbol_size),
        ("file id length", len(p.file_id), 8, 8),
    ):
        if not low <= value <= high:
            return f"{name} {value} is outside {low} to {high}"
    return ""


def block_check(padded: bytes, k: int, r: int, symbol_size: int) -> int:
    """The block check of docs/link.md §3, over the k·S bytes of the padded source symbols."""
    return crc32c(_CHECK_TAIL.pack(k, r, symbol_size), crc32c(padded))


def build_packet(packet: LinkPacket) -> Packet:
    """The bytes of a packet, primary header and CRC included."""
    primary = _PRIMARY.pack(
        packet.apid, _UNSEGMENTED << 14 | packet.sequence, len(packet.body) + OVERHEAD - 1
    )
    link = _LINK.pack(
        MAGIC, VERSION, packet.layer_class | packet.code << 4, packet.file_id, packet.block, packet.index,
        packet.k, packet.r, packet.symbol_size, packet.first_item, packet.block_check,
    )  # fmt: skip
    data = primary + link + packet.body
    return Packet(data + _CRC.pack(crc32c(data)))


def parse_packet(data: bytes) -> LinkPacket:
    """The fields of one packet; `data` begins with its primary header and ends with its CRC.

    Raises InputError for a foreign packet, Truncated, Corrupt, or UnsupportedVersion, in the order of docs/link.md §1.
    """
    apid, sequence = _check_frame(data)
    if data[PRIMARY_SIZE + 2] != VERSION:
        raise UnsupportedVersion(
            f"link version {data[PRIMARY_SIZE + 2]} is not known", offset=PRIMARY_SIZE + 2, expected=VERSION,
            found=data[PRIMARY_SIZE + 2], fix="use a newer Swathpack",
        )  # fmt: skip
    _, _, class_byte, file_id, block, index, k, r, size, first, check = _LINK.unpack_from(data, PRIMARY_SIZE)
    if class_byte >> 4 not in _CODES:
        raise UnsupportedVersion(
            "an erasure code that is not known", offset=PRIMARY_SIZE + 3, found=f"{class_byte:#04x}",
            fix="use a newer Swathpack",
        )  # fmt: skip
    try:
        return LinkPacket(
            file_id=file_id, layer_class=class_byte & 15, block=block, index=index, k=k, r=r, symbol_size=size,
            block_check=check, body=bytes(data[BODY_OFFSET : -_CRC.size]), first_item=first, code=Code(class_byte >> 4),
            apid=apid, sequence=sequence,
        )  # fmt: skip
    except InputError as error:
        raise Corrupt(
            error.what.replace("no packet can be made of this", "an illegal packet"), offset=0
        ) from None


def _check_frame(data: bytes) -> tuple[int, int]:
    """APID and sequence count, once primary header, length, magic and CRC hold."""
    if len(data) < PRIMARY_SIZE:
        raise Truncated(
            "a packet ends inside its primary header", offset=0, expected=PRIMARY_SIZE, found=len(data)
        )
    identification, control, length_field = _PRIMARY.unpack_from(data)
    for bits, name in _FOREIGN_BITS:
        if identification & bits:
            raise _foreign(f"{name} set")
    if control >> 14 != _UNSEGMENTED:
        raise _foreign(f"sequence flags {control >> 14}")
    apid = identification & IDLE_APID
    if apid == IDLE_APID:
        raise _foreign("an idle packet")
    size = PRIMARY_SIZE + length_field + 1
    if len(data) < size:
        raise Truncated("a packet ends early", offset=0, expected=f"{size} bytes", found=len(data))
    if len(data) > size:
        raise Corrupt("bytes behind a packet", offset=0, expected=f"{size} bytes", found=len(data))
    if data[PRIMARY_SIZE : PRIMARY_SIZE + 2] != MAGIC:
        raise _foreign("no link header")
    if size < SMALLEST:
        raise Truncated("a packet too short for its link header", offset=0, expected=SMALLEST, found=size)
    (stored,) = _CRC.unpack_from(data, size - _CRC.size)
    computed = crc32c(data[: size - _CRC.size])
    if stored != computed:
        raise Corrupt(
            "a packet's checksum does not match",
            offset=0,
            expected=f"{stored:#010x}",
            found=f"{computed:#010x}",
        )
    return apid, control & (SEQUENCE_MODULUS - 1)


def _foreign(why: str) -> InputError:
    return InputError(f"a foreign packet ({why})", offset=0, fix="pass over it")


def declared_size(data: bytes, offset: int) -> int | None:
    """Whole size that the primary header at `offset` declares; None where fewer than 6 bytes are left."""
    if offset + PRIMARY_SIZE > len(data):
        return None
    return PRIMARY_SIZE + 1 + (data[offset + 4] << 8 | data[offset + 5])


def holds_intact(data: bytes, offset: int) -> int | None:
    """Size of the intact packet of ours at `offset`, whatever its link version; None when there is none."""
    size = declared_size(data, offset)
    if size is None or size < SMALLEST or offset + size > len(data):
        return None
    if data[offset + PRIMARY_SIZE : offset + PRIMARY_SIZE + 2] != MAGIC:
        return None
    try:
        _check_frame(data[offset : offset + size])
    except (Corrupt, InputError):
        return None
    return size
