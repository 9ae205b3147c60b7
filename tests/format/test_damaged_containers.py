"""Many damaged files: each gives records that were sent, or a typed refusal, also under checksums made right again."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import pytest
from backends import Refused
from nec_reference.header import decode_header
from product_backends import BitstreamBackend
from test_vectors import INDEX, VECTORS, package_files

from codec.bitstream import core, reader

NAMES = [Path(e["file"]).stem for e in INDEX["valid"] if (VECTORS / e["file"]).stat().st_size <= 20_000]
PACKAGES = {Path(e["file"]).stem: e["package"] for e in INDEX["valid"]}
MOST_MEMORY = 256 << 20


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of a byte, a bit or a stretch."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, kind = rng.randrange(len(out)), rng.randrange(7)
        run = min(len(out) - at, rng.randint(1, 12))
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            out[at : at + run] = rng.randbytes(run)
        elif kind == 3 and len(out) > run + 1:
            del out[at : at + run]
        elif kind == 4:
            out[at:at] = rng.randbytes(run)
        elif kind == 5:
            out[at:at] = out[at : at + 40]
        elif len(out) > 2:
            del out[max(2, at) :]
    return bytes(out)


def resealed(data: bytes, start: int, records: list[tuple[int, int]], rng: random.Random) -> bytes:
    """The header or one record damaged without a change of its length, and its checksums made right again."""
    out = bytearray(data)
    if not records or rng.random() < 0.4:
        at = rng.randrange(10, start - 4)
        out[at] = rng.choice((0, 1, 255, out[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
        out[start - 4 : start] = core.crc32c(bytes(out[: start - 4])).to_bytes(4, "little")
        return bytes(out)
    first, end = rng.choice(records)
    for _ in range(rng.randint(1, 3)):
        at = rng.choice([*range(first, first + 5), *range(first + 8, end - 4)])
        out[at] = rng.choice((0, 255, out[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    out[first + 7] = core.crc8(bytes(out[first : first + 7]))
    out[end - 4 : end] = core.crc32c(bytes(out[first : end - 4])).to_bytes(4, "little")
    return bytes(out)


def campaign(n: int, seed: int) -> tuple[int, int]:
    """Mutations that were read, and that were refused as a whole."""
    rng = random.Random(seed)
    n_read = n_refused = 0
    decoder = BitstreamBackend()
    for _ in range(n):
        name = rng.choice(NAMES)
        data, package = (VECTORS / "valid" / f"{name}.nec").read_bytes(), package_files(PACKAGES[name])
        start = decode_header(data).length
        sent = {data[r.offset : r.offset + len(r.data)] for r in reader.read_bytes(data).scan.records}
        places = [(r.offset, r.offset + len(r.data)) for r in reader.read_bytes(data).scan.records]
        keeps_checksums = rng.random() < 0.5
        other = damaged(data, rng) if keeps_checksums else resealed(data, start, places, rng)
        try:
            if keeps_checksums and other[:start] == data[:start]:
                assert {r.data for r in reader.read_bytes(other).scan.records} <= sent, (name, seed)
            decoder.decode(other, package).planes()
            n_read += 1
        except Refused:
            n_refused += 1
    return n_read, n_refused


def test_a_damaged_file_is_read_as_far_as_it_was_sent_or_refused_by_kind() -> None:
    n_read, n_refused = campaign(400, 1)
    assert n_read > 50
    assert n_refused > 50


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8))
def test_many_damaged_files_are_read_or_refused_within_bounds(seed: int) -> None:
    tracemalloc.start()
    try:
        campaign(5000, 100 + seed)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
