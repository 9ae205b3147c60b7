"""CSV and TensorBoard's event files, read back by the format's own description."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from codec.errors import InputError
from codec.nec.curves import EVENTS, TABLE, Curves, event, record


def crc32c(data: bytes) -> int:
    """Bit by bit, polynomial 0x82F63B78 (RFC 3720, appendix B.4)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def unmasked(crc: int) -> int:
    """The inverse that TensorFlow's record reader applies."""
    rotated = (crc - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def records(data: bytes) -> list[bytes]:
    found = []
    while data:
        length, crc = struct.unpack_from("<QI", data)
        body = data[12 : 12 + length]
        assert unmasked(crc) == crc32c(data[:8])
        assert unmasked(struct.unpack_from("<I", data, 12 + length)[0]) == crc32c(body)
        found.append(body)
        data = data[16 + length :]
    return found


def test_an_event_is_the_protocol_buffer_that_tensorflow_describes() -> None:
    """event.proto: wall_time 1 double, step 2 varint, file_version 3, summary 5; summary.proto: tag 1, simple_value 2."""
    head = b"\x09" + struct.pack("<d", 2.5) + b"\x10\xac\x02"  # step 300
    assert event(2.5, 300, {}) == head + b"\x1a\x0dbrain.Event:2"
    value = b"\x0a\x01D" + b"\x15" + struct.pack("<f", 0.25)
    summary = b"\x0a" + bytes([len(value)]) + value
    assert event(2.5, 300, {"D": 0.25}) == head + b"\x2a" + bytes([len(summary)]) + summary


def test_records_carry_masked_checksums() -> None:
    assert records(record(b"abc") + record(b"")) == [b"abc", b""]


def test_curves_go_on_where_a_run_resumes(tmp_path: Path) -> None:
    first = Curves(tmp_path, ("loss",), clock=lambda: 0.0)
    first.add(100, {"loss": 2.0})
    first.add(200, {"loss": 1.0})
    again = Curves(tmp_path, ("loss",), 150, clock=lambda: 0.0)
    again.add(200, {"loss": 1.5})
    assert (tmp_path / TABLE).read_text() == "step,loss\n100,2\n200,1.5\n"
    assert len(records((tmp_path / EVENTS).read_bytes())) == 4
    with pytest.raises(InputError, match="other columns"):
        Curves(tmp_path, ("loss", "D"), 200)
