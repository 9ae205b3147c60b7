"""What a run tells while it runs: a CSV, and an event file that TensorBoard reads; neither needs a network or a package.

An event file is a row of records `length u64, masked CRC32C of it u32, data, masked CRC32C of them u32`; the data are
protocol buffers of `tensorflow.Event` (tensorflow/core/util/event.proto, summary.proto), here with scalars alone.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from codec.bitstream import core
from codec.errors import InputError

EVENTS = "events.out.tfevents.0.swathpack"
TABLE = "curves.csv"
_MASK_DELTA = 0xA282EAD8  # record_writer.h: CRCs of data that hold CRCs are rotated and moved


def _masked_crc(data: bytes) -> int:
    crc = core.crc32c(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def record(data: bytes) -> bytes:
    """One record of an event file."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", _masked_crc(length)) + data + struct.pack("<I", _masked_crc(data))


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _text(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def event(wall_s: float, step: int, values: Mapping[str, float]) -> bytes:
    """`tensorflow.Event` with a summary of scalars; without values the one that names the format."""
    head = struct.pack("<Bd", 1 << 3 | 1, wall_s) + _varint(2 << 3) + _varint(step)
    if not values:
        return head + _text(3, b"brain.Event:2")
    summary = b"".join(
        _text(1, _text(1, name.encode()) + struct.pack("<Bf", 2 << 3 | 5, value))
        for name, value in values.items()
    )
    return head + _text(5, summary)


class Curves:
    """Appends to both files; a run that resumes cuts the table back to the step it resumes at."""

    def __init__(
        self, folder: Path, names: tuple[str, ...], step: int = 0, clock: Callable[[], float] = time.time
    ) -> None:
        self.table, self.events, self.names, self.clock = folder / TABLE, folder / EVENTS, names, clock
        header = ",".join(("step", *names))
        lines = []
        if step and self.table.exists():
            found, *lines = self.table.read_text().splitlines()
            if found != header:
                raise InputError("the table of curves has other columns", path=self.table, expected=header)
        kept = [line for line in lines if int(line.split(",")[0]) <= step]
        self.table.write_text("\n".join([header, *kept]) + "\n")
        if not (step and self.events.exists()):
            self.events.write_bytes(record(event(self.clock(), 0, {})))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One line, one event; `values` has every name of the table."""
        with self.table.open("a") as table:
            table.write(",".join([str(step), *(f"{values[name]:.7g}" for name in self.names)]) + "\n")
        with self.events.open("ab") as events:
            events.write(record(event(self.clock(), step, values)))
