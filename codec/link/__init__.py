"""The link as docs/link.md defines it: `.nec` files in space packets, an erasure code, and what arrives put together.

Pure but for `codec.link.udp`: bytes in, bytes out; the channel simulator takes its randomness as a seed.
"""

from codec.link.assembler import Assembler, assemble, canonical_key
from codec.link.channel import Channel, ChannelReport
from codec.link.packet import DEFAULT_APID, Fec, LinkPacket, build_packet, parse_packet
from codec.link.reports import Assembled, BlockReport, Event, Limits, Outcome, ReceiverReport
from codec.link.stream import split_stream
from codec.link.transmission import (
    DEFAULT_PAYLOAD,
    REPAIR_RATIO,
    Fill,
    Transmission,
    packetise,
    transmission,
)

__all__ = [
    "DEFAULT_APID",
    "DEFAULT_PAYLOAD",
    "REPAIR_RATIO",
    "Assembled",
    "Assembler",
    "BlockReport",
    "Channel",
    "ChannelReport",
    "Event",
    "Fec",
    "Fill",
    "Limits",
    "LinkPacket",
    "Outcome",
    "ReceiverReport",
    "Transmission",
    "assemble",
    "build_packet",
    "canonical_key",
    "packetise",
    "parse_packet",
    "split_stream",
    "transmission",
]
