"""Bytes of a picture file that the ground knows before it arrives, taken off and put on again.

Known are the picture's shape, the codec's setting and how long what was received is. A rule is built from reference files,
coded by the same library at the same shape and setting from pictures that have nothing to do with the data; the ground makes
the same. Off comes, in the rival's favour, everything that then follows:

| format | off | stays |
|---|---|---|
| JPEG 2000 | main header, tile-part header (its length field follows), SOD, EOC | packets |
| WebP | RIFF and chunk headers, start code, size, padding | 3-byte frame tag (it holds a length), partitions |
| AVIF | all boxes, sequence header, header and size of the frame unit | the frame |
| JPEG XL | image and frame header, table of contents, what begins alike behind it | the rest |

A JPEG XL picture of several groups loses only what begins alike.
A file to which a rule does not fit is sent whole; the two cannot be taken for each other (`sent`).
Sources: ITU-T T.800 Annex A; RFC 9649 §2, RFC 6386 §9.1; AV1 Image File Format §2, AV1 specification §5.3, ISO/IEC 14496-12;
ISO/IEC 18181-1 (table of contents).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from codec.errors import Corrupt


class HeaderRule(Protocol):
    """Of one format, shape and setting."""

    def strip(self, file: bytes) -> bytes:
        """What is sent. Anything may come out for a file that does not fit: `sent` checks it."""

    def restore(self, payload: bytes) -> bytes:
        """The file that `strip` took this from."""


def starts_a_file(data: bytes) -> bool:
    """Whether these are the first bytes of a complete file of one of the four formats."""
    return data.startswith((b"\xff\x4f\xff\x51", b"RIFF", b"\xff\x0a")) or data[4:12] == b"ftypavif"


def sent(file: bytes, rule: HeaderRule) -> bytes:
    """What crosses the link: the payload alone if the ground can make the file of it, else the whole file."""
    payload = rule.strip(file)
    fits = rule.restore(payload) == file and not starts_a_file(payload)
    return payload if fits else file


def received(data: bytes, rule: HeaderRule) -> bytes:
    """The complete file."""
    return data if starts_a_file(data) else rule.restore(data)


@dataclass(frozen=True, slots=True)
class Jpeg2000Rule:
    """One tile-part: all before the packets is fixed but for Psot, the length of the tile-part."""

    header: bytes  # SOC … SOD
    psot: int  # offset of Psot

    @classmethod
    def of(cls, reference: bytes) -> Jpeg2000Rule:
        at = 2  # after SOC every segment is a marker and its length, up to SOD
        psot = None
        while reference[at : at + 2] != b"\xff\x93":
            if reference[at : at + 2] == b"\xff\x90":  # SOT: Lsot, Isot, Psot, TPsot, TNsot
                psot = at + 6
            (length,) = struct.unpack_from(">H", reference, at + 2)
            at += 2 + length
            if at >= len(reference):
                raise Corrupt("a JPEG 2000 code stream has no start of data", found=f"{len(reference)} bytes")
        if psot is None:
            raise Corrupt("a JPEG 2000 code stream has no tile-part header", found=f"{len(reference)} bytes")
        return cls(reference[: at + 2], psot)

    def strip(self, file: bytes) -> bytes:
        return file[len(self.header) : -2]

    def restore(self, payload: bytes) -> bytes:
        sot = self.psot - 6
        part = struct.pack(">I", len(self.header) - sot + len(payload))
        return self.header[: self.psot] + part + self.header[self.psot + 4 :] + payload + b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class WebpRule:
    """One lossy chunk without extensions: RIFF size WEBP, `VP8 ` size, tag, start code, width and height, partitions."""

    dimensions: bytes  # start code, width, height: 7 bytes

    @classmethod
    def of(cls, reference: bytes) -> WebpRule:
        if reference[8:16] != b"WEBPVP8 ":
            raise Corrupt("not a plain lossy WebP file", found=reference[:16])
        return cls(reference[23:30])

    def strip(self, file: bytes) -> bytes:
        end = 20 + struct.unpack_from("<I", file, 16)[0]
        return file[20:23] + file[30:end]

    def restore(self, payload: bytes) -> bytes:
        chunk = payload[:3] + self.dimensions + payload[3:]
        padded = chunk + b"\0" * (len(chunk) % 2)
        body = b"WEBPVP8 " + struct.pack("<I", len(chunk)) + padded
        return b"RIFF" + struct.pack("<I", len(body)) + body


def _leb128(value: int) -> bytes:
    """AV1's variable-length unsigned integer, shortest form."""
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def _read_leb128(data: bytes, at: int) -> tuple[int, int]:
    """Value and offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


@dataclass(frozen=True, slots=True)
class AvifRule:
    """One item with one extent; `mdat` is the last box and ends with the frame unit."""

    boxes: bytes  # ftyp and meta
    extent: int  # offset of the item's extent length in `boxes`
    units: bytes  # temporal delimiter, sequence header, and the frame unit's header byte

    @classmethod
    def of(cls, reference: bytes) -> AvifRule:
        boxes, at = {}, 0
        while at < len(reference):
            size, name = struct.unpack_from(">I4s", reference, at)
            boxes[name] = (at, size)
            at += max(size, 8)
        mdat, _ = boxes[b"mdat"]
        iloc = reference.index(b"iloc", boxes[b"meta"][0])
        # Version 0, offset and length of 4 bytes, no base offset, one item of one extent: what libavif writes.
        layout = struct.unpack_from(">IBBHHHHII", reference, iloc + 4)
        version, sizes, _, items, _, _, extents, start, _ = layout
        if (version, sizes, items, extents) != (0, 0x44, 1, 1) or start != mdat + 8:
            raise Corrupt("an AVIF file is not laid out as one item of one extent", found=layout)
        at = mdat + 8
        while (reference[at] >> 3) & 15 != 6:  # OBU_FRAME; every unit has its size
            length, body = _read_leb128(reference, at + 1)
            at = body + length
        return cls(reference[:mdat], iloc + 22, reference[mdat + 8 : at + 1])

    def strip(self, file: bytes) -> bytes:
        at = len(self.boxes) + 8 + len(self.units)
        return file[_read_leb128(file, at)[1] :] if at < len(file) else b""

    def restore(self, payload: bytes) -> bytes:
        item = self.units + _leb128(len(payload)) + payload
        boxes = self.boxes[: self.extent] + struct.pack(">I", len(item)) + self.boxes[self.extent + 4 :]
        return boxes + struct.pack(">I", len(item) + 8) + b"mdat" + item


# Size of a section: two bits choose among these widths, (bits, offset). ISO/IEC 18181-1, table of contents.
_TOC_SIZES = ((10, 0), (14, 1024), (22, 17_408), (30, 4_211_712))


def _toc(size: int) -> bytes:
    """A table of contents of one section, filled up to bytes."""
    for selector, (bits, offset) in enumerate(_TOC_SIZES):
        if size < offset + (1 << bits):
            return (selector | (size - offset) << 2).to_bytes((bits + 9) // 8, "little")
    raise Corrupt("a JPEG XL section is too large", found=size)


def _toc_width(data: bytes) -> int:
    """Bytes of the table of contents of one section that these begin with."""
    return (_TOC_SIZES[data[0] & 3][0] + 9) // 8 if data else 0


def _one_section(file: bytes) -> int | None:
    """Offset of the table of contents of a file with one section: where the size of all that follows stands."""
    for at in range(2, min(40, len(file) - 4)):
        width, offset = _toc_width(file[at:]), _TOC_SIZES[file[at] & 3][1]
        size = (int.from_bytes(file[at : at + width], "little") >> 2) + offset
        if at + width + size == len(file):
            return at
    return None


def _alike(parts: Sequence[bytes]) -> bytes:
    """Longest common prefix."""
    first, last = min(parts), max(parts)
    n = 0
    while n < min(len(first), len(last)) and first[n] == last[n]:
        n += 1
    return first[:n]


@dataclass(frozen=True, slots=True)
class JpegXlRule:
    """`head`, then for a picture of one group the table of contents, then `start`; then what differs."""

    head: bytes
    start: bytes
    one_section: bool

    @classmethod
    def of(cls, references: Sequence[bytes]) -> JpegXlRule:
        """The frame header depends a little on content (filters that a noisy picture gets): the commonest one counts."""
        cut = [(file, _one_section(file)) for file in references]
        heads = Counter(file[:at] for file, at in cut if at is not None)
        if not heads:
            return cls(_alike(references), b"", False)
        head = heads.most_common(1)[0][0]
        rest = [file[at:] for file, at in cut if at is not None and file[:at] == head]
        return cls(head, _alike([part[_toc_width(part) :] for part in rest]), True)

    def strip(self, file: bytes) -> bytes:
        at = len(self.head)
        if self.one_section:
            at += _toc_width(file[at:])
        return file[at + len(self.start) :]

    def restore(self, payload: bytes) -> bytes:
        body = self.start + payload
        return self.head + (_toc(len(body)) if self.one_section else b"") + body
