"""Streams of packets: cut at the right places, and cut there again behind damage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nec_files import nec_of
from spacepackets.ccsds.spacepacket import PacketType, SpacePacketHeader

from codec.errors import FormatError, SwathpackError
from codec.link import packetise, parse_packet, split_stream

PACKETS = [p.data for p in packetise(nec_of({0: 3, 1: 5}, low=60, high=120), payload=160)]


def foreign(size: int) -> bytes:
    """A packet of another application, of `size` bytes."""
    return bytes(SpacePacketHeader(PacketType.TM, 42, 7, size - 7).pack()) + bytes(size - 6)


def intact(data: bytes) -> list[bytes]:
    """The pieces that parse."""
    found = []
    for _, piece in split_stream(data):
        try:
            parse_packet(piece)
        except SwathpackError:
            continue
        found.append(piece)
    return found


def test_a_sound_stream_is_cut_into_its_packets() -> None:
    offsets = [sum(map(len, PACKETS[:i])) for i in range(len(PACKETS))]
    assert list(split_stream(b"".join(PACKETS))) == list(zip(offsets, PACKETS, strict=True))


def test_foreign_packets_come_out_singly_and_in_place() -> None:
    mixed = [foreign(7), PACKETS[0], foreign(300), foreign(40), PACKETS[1], foreign(13)]
    assert [piece for _, piece in split_stream(b"".join(mixed))] == mixed


def test_a_damaged_body_costs_its_own_packet_only() -> None:
    damaged = bytearray(PACKETS[1])
    damaged[40] ^= 1
    stream = [PACKETS[0], bytes(damaged), PACKETS[2]]
    assert [piece for _, piece in split_stream(b"".join(stream))] == stream
    assert intact(b"".join(stream)) == [PACKETS[0], PACKETS[2]]


@pytest.mark.parametrize("length_field", [b"\x00\x00", b"\x00\x20", b"\xff\xff"])
def test_a_damaged_length_costs_its_own_packet_only(length_field: bytes) -> None:
    damaged = PACKETS[1][:4] + length_field + PACKETS[1][6:]
    assert intact(PACKETS[0] + damaged + b"".join(PACKETS[2:])) == [PACKETS[0], *PACKETS[2:]]


def test_a_packet_of_a_later_version_is_cut_out_whole() -> None:
    from test_packet import DOCUMENTED, with_crc

    future = with_crc(DOCUMENTED[:8] + b"\x07" + DOCUMENTED[9:-4] + b"new fields")
    assert [p for _, p in split_stream(PACKETS[0] + future + PACKETS[1])] == [PACKETS[0], future, PACKETS[1]]


@given(st.lists(st.binary(max_size=60), max_size=4), st.integers(0, 2**32))
def test_every_byte_is_in_exactly_one_piece(noise: list[bytes], seed: int) -> None:
    rng = random.Random(seed)
    parts = noise + rng.sample(PACKETS, 3)
    rng.shuffle(parts)
    stream = b"".join(parts)
    position = 0
    for offset, piece in split_stream(stream):
        assert offset == position
        assert piece
        position += len(piece)
    assert position == len(stream)


@given(st.integers(0, 2**32))
def test_packets_between_noise_are_all_found(seed: int) -> None:
    rng = random.Random(seed)
    stream = b"".join(rng.randbytes(rng.randrange(80)) + packet for packet in PACKETS) + rng.randbytes(20)
    assert intact(stream) == PACKETS


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_cut_stream_gives_what_came_whole(cut: int) -> None:
    stream = b"".join(PACKETS)[:-cut]
    whole = [p for i, p in enumerate(PACKETS) if sum(map(len, PACKETS[: i + 1])) <= len(stream)]
    assert intact(stream) == whole
    last = list(split_stream(stream))[-1][1]
    if last not in whole:
        with pytest.raises(FormatError):
            parse_packet(last)


def test_nothing_comes_of_nothing() -> None:
    assert list(split_stream(b"")) == []
