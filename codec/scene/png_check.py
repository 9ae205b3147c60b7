"""Whether a PNG file is whole. GDAL reads a cut one without complaint and leaves the missing rows to chance.

W3C Portable Network Graphics, third edition, 5.2–5.4: eight bytes of signature, then chunks of length, type, data and
CRC-32 over type and data; the last is IEND.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from codec.errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BLOCK = 1 << 20


def check_png(path: Path) -> None:
    """Raises InputError for a file with the signature that is cut or damaged; other files are none of its business."""
    with open(path, "rb") as file:
        if file.read(len(SIGNATURE)) != SIGNATURE:
            return
        while True:
            offset = file.tell()
            head = file.read(8)
            if len(head) < 8:
                raise _broken(path, offset, "the file ends")
            length, kind = struct.unpack(">I4s", head)
            crc, left = zlib.crc32(kind), length
            while left:
                data = file.read(min(left, _BLOCK))
                if not data:
                    raise _broken(path, offset, "the file ends")
                crc, left = zlib.crc32(data, crc), left - len(data)
            stored = file.read(4)
            if len(stored) < 4:
                raise _broken(path, offset, "the file ends")
            if stored != struct.pack(">I", crc):
                raise _broken(path, offset, "a checksum does not match")
            if kind == b"IEND":
                return


def _broken(path: Path, offset: int, found: str) -> InputError:
    return InputError(
        "not a readable picture",
        path=path,
        offset=offset,
        found=found,
        fix="restore the file, or leave it out",
    )
