"""One packet: layout by the text, agreement with the spacepackets library, and what everything else is refused as."""

from __future__ import annotations

import dataclasses
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacepackets.ccsds.spacepacket import PacketType, SequenceFlags, SpacePacketHeader

from codec.bitstream.core import crc32c
from codec.errors import Corrupt, FormatError, InputError, Truncated, UnsupportedVersion
from codec.link.packet import (
    MAX_BODY,
    OVERHEAD,
    PRIMARY_SIZE,
    Code,
    LinkPacket,
    block_check,
    build_packet,
    parse_packet,
)

# docs/link.md §5: the packet of repair symbol 4, worked out there byte by byte.
DOCUMENTED = bytes.fromhex(
    "02A5 C4D2 001E 4E4C 00 11 0123456789ABCDEF 0700 04 03 02 0200 0000 3357DFA2 4B03 BD0D67C9"
)
DOCUMENTED_FIELDS = LinkPacket(
    file_id=bytes.fromhex("0123456789ABCDEF"), layer_class=1, block=7, index=4, k=3, r=2, symbol_size=2,
    block_check=0xA2DF5733, body=b"\x4b\x03", first_item=0, code=Code.CAUCHY_RS, apid=677, sequence=1234,
)  # fmt: skip


@st.composite
def link_packets(draw: st.DrawFn) -> LinkPacket:
    """Any legal packet with a short symbol."""
    code = draw(st.sampled_from(Code))
    k = draw(st.integers(1, 254))
    r = draw(st.integers(1, 255 - k)) if code else 0
    index = draw(st.integers(0, k + r - 1))
    size = draw(st.integers(1, 40))
    body = draw(st.binary(min_size=1 if index < k else size, max_size=size))
    return LinkPacket(
        draw(st.binary(min_size=8, max_size=8)), draw(st.integers(0, 15)), draw(st.integers(0, 65535)), index, k, r,
        size, draw(st.integers(0, 2**32 - 1)), body, draw(st.integers(0, size)) if index < k else 0, code,
        draw(st.integers(0, 2046)), draw(st.integers(0, 16383)),
    )  # fmt: skip


def with_crc(data: bytes) -> bytes:
    """`data` (without CRC) as a packet whose length and CRC are right."""
    data = data[:4] + struct.pack(">H", len(data) + 4 - PRIMARY_SIZE - 1) + data[6:]
    return data + struct.pack("<I", crc32c(data))


def test_the_documented_packet_is_built_byte_for_byte() -> None:
    assert build_packet(DOCUMENTED_FIELDS).data == DOCUMENTED


def test_the_documented_packet_is_parsed_field_by_field() -> None:
    assert parse_packet(DOCUMENTED) == DOCUMENTED_FIELDS


def test_the_documented_block_check_is_computed() -> None:
    assert block_check(bytes.fromhex("4E00450143FF"), 3, 2, 2) == 0xA2DF5733


def test_at_most_32_bytes_are_spent_beyond_the_primary_header() -> None:
    empty_handed = len(build_packet(DOCUMENTED_FIELDS).data) - len(DOCUMENTED_FIELDS.body) - 6
    assert empty_handed == OVERHEAD == 29
    assert OVERHEAD <= 32


@given(link_packets())
def test_parsing_inverts_building(packet: LinkPacket) -> None:
    assert parse_packet(build_packet(packet).data) == packet


@given(link_packets())
def test_spacepackets_reads_our_primary_header(packet: LinkPacket) -> None:
    data = build_packet(packet).data
    header = SpacePacketHeader.unpack(data)
    assert header.ccsds_version == 0
    assert header.packet_type == PacketType.TM
    assert not header.sec_header_flag
    assert header.apid == packet.apid
    assert header.seq_flags == SequenceFlags.UNSEGMENTED
    assert header.seq_count == packet.sequence
    assert header.packet_len == len(data)


@given(link_packets())
def test_we_read_the_primary_header_that_spacepackets_writes(packet: LinkPacket) -> None:
    data = build_packet(packet).data
    header = SpacePacketHeader(
        PacketType.TM, apid=packet.apid, seq_count=packet.sequence, data_len=len(data) - 6 - 1
    )
    theirs = bytes(header.pack()) + data[6:]
    assert theirs == data
    assert parse_packet(theirs) == packet


@pytest.mark.parametrize("bit", range(8 * len(DOCUMENTED)))
def test_every_flipped_bit_is_refused(bit: int) -> None:
    mutated = bytearray(DOCUMENTED)
    mutated[bit // 8] ^= 1 << bit % 8
    with pytest.raises((FormatError, InputError)):
        parse_packet(bytes(mutated))


@pytest.mark.parametrize("length", range(len(DOCUMENTED)))
def test_every_truncation_is_reported_as_truncated(length: int) -> None:
    with pytest.raises(Truncated):
        parse_packet(DOCUMENTED[:length])


def test_bytes_behind_a_packet_are_corrupt() -> None:
    with pytest.raises(Corrupt, match="behind"):
        parse_packet(DOCUMENTED + b"\0")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_typed_errors(data: bytes) -> None:
    with pytest.raises((FormatError, InputError)):
        parse_packet(data)


@pytest.mark.parametrize(
    ("reason", "header"),
    [
        ("packet version number", SpacePacketHeader(PacketType.TM, 677, 0, 60, ccsds_version=1)),
        ("telecommand", SpacePacketHeader(PacketType.TC, 677, 0, 60)),
        ("secondary header", SpacePacketHeader(PacketType.TM, 677, 0, 60, sec_header_flag=True)),
        ("idle", SpacePacketHeader(PacketType.TM, 0x7FF, 0, 60)),
        ("sequence flags 1", SpacePacketHeader(PacketType.TM, 677, 0, 60, seq_flags=SequenceFlags.FIRST_SEGMENT)),
        ("sequence flags 0", SpacePacketHeader(PacketType.TM, 677, 0, 60, seq_flags=SequenceFlags.CONTINUATION_SEGMENT)),
        ("sequence flags 2", SpacePacketHeader(PacketType.TM, 677, 0, 60, seq_flags=SequenceFlags.LAST_SEGMENT)),
        ("no link header", SpacePacketHeader(PacketType.TM, 677, 0, 60)),
        ("no link header", SpacePacketHeader(PacketType.TM, 677, 0, 1)),
    ],
)  # fmt: skip
def test_packets_of_others_are_foreign_and_say_why(reason: str, header: SpacePacketHeader) -> None:
    with pytest.raises(InputError, match=f"foreign packet.*{reason}") as raised:
        parse_packet(bytes(header.pack()) + bytes(header.packet_len - 6))
    assert not isinstance(raised.value, FormatError)


def test_a_packet_of_a_later_version_is_unsupported_by_number() -> None:
    with pytest.raises(UnsupportedVersion, match="version 1 "):
        parse_packet(with_crc(DOCUMENTED[:8] + b"\x01" + DOCUMENTED[9:-4]))


def test_a_damaged_version_byte_is_corrupt_not_unsupported() -> None:
    with pytest.raises(Corrupt, match="checksum"):
        parse_packet(DOCUMENTED[:8] + b"\x01" + DOCUMENTED[9:])


@pytest.mark.parametrize("class_byte", [0x21, 0x31, 0x51, 0x91])
def test_unknown_codes_and_reserved_bits_are_unsupported(class_byte: int) -> None:
    with pytest.raises(UnsupportedVersion, match="erasure code"):
        parse_packet(with_crc(DOCUMENTED[:9] + bytes([class_byte]) + DOCUMENTED[10:-4]))


# offset in the packet data field → illegal value (docs/link.md §1)
ILLEGAL = {
    "index k + r": (14, b"\x05"),
    "k 0": (15, b"\x00"),
    "k + r above 255": (15, b"\xfe"),
    "r 0 with a code": (16, b"\x00"),
    "r beyond what k leaves": (16, b"\xfd"),
    "symbol size 0": (17, b"\x00\x00"),
    "symbol size above the body of a repair packet": (17, b"\x03\x00"),
    "symbol size below the body": (17, b"\x01\x00"),
    "block above 4 MiB": (14, bytes([0, 200, 2]) + struct.pack("<H", 20972)),
    "first item in a repair packet": (19, b"\x01\x00"),
}


@pytest.mark.parametrize("reason", ILLEGAL)
def test_illegal_fields_of_an_intact_packet_are_corrupt(reason: str) -> None:
    offset, value = ILLEGAL[reason]
    start = PRIMARY_SIZE + offset
    with pytest.raises(Corrupt, match="illegal packet"):
        parse_packet(with_crc(DOCUMENTED[:start] + value + DOCUMENTED[start + len(value) : -4]))


def test_r_without_a_code_is_corrupt() -> None:
    with pytest.raises(Corrupt, match="r 2 is outside 0 to 0"):
        parse_packet(with_crc(DOCUMENTED[:9] + b"\x01" + DOCUMENTED[10:-4]))


def test_an_intact_packet_without_a_body_is_truncated() -> None:
    with pytest.raises(Truncated, match="link header"):
        parse_packet(with_crc(DOCUMENTED[:31]))


def test_a_first_item_beyond_the_symbol_is_refused() -> None:
    source = dataclasses.replace(DOCUMENTED_FIELDS, index=0, first_item=2)
    assert parse_packet(build_packet(source).data).first_item == 2
    with pytest.raises(InputError, match="first item 3"):
        dataclasses.replace(source, first_item=3)


def test_the_largest_packet_fills_the_length_field() -> None:
    largest = dataclasses.replace(DOCUMENTED_FIELDS, symbol_size=MAX_BODY, body=bytes(MAX_BODY))
    data = build_packet(largest).data
    assert data[4:6] == b"\xff\xff"
    assert parse_packet(data) == largest


def test_the_limit_of_4_mib_is_exact() -> None:
    # 64 · 65,507 = 4,192,448 ≤ 4,194,304 < 65 · 65,507
    dataclasses.replace(DOCUMENTED_FIELDS, k=64, index=0, symbol_size=MAX_BODY)
    with pytest.raises(InputError, match="symbol size"):
        dataclasses.replace(DOCUMENTED_FIELDS, k=65, index=0, symbol_size=MAX_BODY)
