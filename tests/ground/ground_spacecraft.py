"""Packets of other spacecraft: what a station meets on a shared antenna."""

from __future__ import annotations

import struct


def foreign_packet(apid: int = 0x123, size: int = 24) -> bytes:
    """A telemetry packet of somebody else (CCSDS 133.0-B-2 4.1.3), without our link header."""
    return struct.pack(">HHH", apid, 0b11 << 14 | 7, size - 1) + bytes(range(size))
