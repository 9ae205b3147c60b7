"""Many damaged packets: refused by kind, or, where the checksum was made right again, packets of their own."""

from __future__ import annotations

import random

import pytest
from nec_files import nec_of

from codec.bitstream.core import crc32c
from codec.bitstream.reader import read_bytes
from codec.errors import FormatError, InputError
from codec.link.assembler import Assembler
from codec.link.packet import PRIMARY_SIZE, build_packet, parse_packet
from codec.link.reports import Limits, Outcome
from codec.link.stream import split_stream
from codec.link.transmission import packetise

FILE = nec_of({0: 6, 1: 4}, low=60, high=300)
PACKETS = [packet.data for packet in packetise(FILE, payload=256)]
LIMITS = Limits(file_bytes=1 << 20, total_bytes=2 << 20)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to three changes of a bit, a byte or a stretch."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at, kind = rng.randrange(min(len(out), rng.choice((32, 10_000)))), rng.randrange(6)
        run = min(len(out) - at, rng.randint(1, 9))
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
        elif kind == 2:
            out[at : at + run] = rng.randbytes(run)
        elif kind == 3 and len(out) > run + 1:
            del out[at : at + run]
        elif kind == 4:
            out[at:at] = rng.randbytes(run)
        elif len(out) > at > 1:
            del out[at:]
    return bytes(out)


def with_right_crc(data: bytes) -> bytes:
    """Length and CRC as the bytes demand."""
    body = data[: max(len(data) - 4, PRIMARY_SIZE + 1)]
    body = body[:4] + (len(body) + 4 - PRIMARY_SIZE - 1 & 0xFFFF).to_bytes(2, "big") + body[6:]
    return body + crc32c(body).to_bytes(4, "little")


def campaign(n: int, seed: int) -> int:
    """Damaged packets that were taken, all of them with a right checksum."""
    rng = random.Random(seed)
    sent = {r.data for r in read_bytes(FILE).scan.records}
    taken = 0
    kept, recomputed = Assembler(LIMITS), Assembler(LIMITS)
    for i in range(n):
        if i % 2000 == 0:
            kept, recomputed = Assembler(LIMITS), Assembler(LIMITS)
        packet = rng.choice(PACKETS)
        other = damaged(packet, rng)
        if other not in PACKETS:
            assert kept.feed(other).outcome is Outcome.REJECTED, (seed, i)
        hostile = with_right_crc(other)
        try:
            parsed = parse_packet(hostile)
        except (FormatError, InputError):
            continue
        finally:
            recomputed.feed(hostile)
        taken += 1
        assert build_packet(parsed).data == hostile, (seed, i)
        if rng.random() < 0.3:
            kept.feed(packet)
    for data in PACKETS:
        kept.feed(data)
    (file_id,) = kept.file_ids
    assert set(kept.records(file_id)) == sent
    stream = b"".join(damaged(p, rng) if rng.random() < 0.5 else p for p in PACKETS)
    for _, piece in split_stream(stream):
        assert kept.feed(piece).outcome is not Outcome.TAKEN
    for file_id in recomputed.file_ids:
        recomputed.assembled(file_id)
    return taken


def test_a_damaged_packet_is_refused_and_one_under_a_right_checksum_is_canonical() -> None:
    assert campaign(2000, 1) > 200


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_many_damaged_packets_are_refused_or_canonical(seed: int) -> None:
    campaign(50_000, 100 + seed)
