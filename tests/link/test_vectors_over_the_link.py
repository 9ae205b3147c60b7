"""The format's golden files cross the link: what a scan finds in them is what arrives."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.bitstream.core import scan
from codec.bitstream.header import FileHeader
from codec.bitstream.record import OVERHEAD, payload_length
from codec.link import Channel, Fec, assemble, transmission

VECTORS = sorted((Path(__file__).parent.parent / "vectors" / "valid").glob("**/*.nec"))


def intact_records(data: bytes) -> set[bytes]:
    """Every intact record, by the core's scan."""
    offsets, words = scan(data, FileHeader.decode(data)[1])
    return {
        data[o : o + OVERHEAD + payload_length(w)]
        for o, w in zip(offsets.tolist(), words.tolist(), strict=True)
    }


@pytest.mark.parametrize("fec", Fec)
@pytest.mark.parametrize("payload", [320, 960])
def test_every_golden_file_arrives_with_the_same_header_and_records(fec: Fec, payload: int) -> None:
    assert len(VECTORS) > 5
    for path in VECTORS:
        data = path.read_bytes()
        header, length = FileHeader.decode(data)
        got = assemble(transmission(data, payload=payload, fec=fec).packets)
        assert list(got) == [header.file_id], path.name
        assert got[header.file_id].header == data[:length], path.name
        assert set(got[header.file_id].records) == intact_records(data), path.name


def test_golden_files_survive_a_lossy_link_as_far_as_the_records_are_intact() -> None:
    for seed, path in enumerate(VECTORS):
        data = path.read_bytes()
        sent = transmission(data, payload=320)
        arrived = Channel(loss=0.1, burst=3, reorder=5, duplicate=0.1, bit_error=1e-5, seed=seed).send(
            sent.packets
        )
        for file in assemble(arrived).values():
            assert set(file.records) <= intact_records(data), path.name
