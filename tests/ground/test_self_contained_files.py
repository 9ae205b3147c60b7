"""Files that bring their own codec: a station refuses them, says what to do, and goes on with the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from ground_scene import TinyScene

from codec.arrays.pack import pack
from codec.bitstream.header import FileHeader
from codec.link import packetise
from ground.config import GroundConfig
from ground.daemon import serve
from ground.files import Files
from ground.ledger import FileRow, Ledger, State
from ground.station import ledger_path
from tests.arrays.embedding_arrays import integers, vectors


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {"floats": pack(vectors(300, 6)), "integers": pack(integers(20, 20, 3), axes="hwc")}


def _row(station: Path, nec: bytes) -> FileRow:
    ledger = Ledger.open(ledger_path(station), Files())
    try:
        (found,) = [row for row in ledger.files() if row.file_id == FileHeader.decode(nec)[0].file_id.hex()]
        return found
    finally:
        ledger.close()


@pytest.mark.parametrize("which", ["floats", "integers"])
@pytest.mark.parametrize("way", ["file", "packets"])
def test_a_self_contained_file_is_refused_with_a_remedy_and_the_others_are_served(
    which: str, way: str, files: dict[str, bytes], station: Path, models: Path, scene: TinyScene
) -> None:
    nec, inbox = files[which], station / "inbox"
    if way == "file":
        (inbox / "own.nec").write_bytes(nec)
    else:
        (inbox / "own.bin").write_bytes(b"".join(packet.data for packet in packetise(nec, payload=500)))
    (inbox / "scene.nec").write_bytes(scene.nec)
    serve(GroundConfig(station=station, models=(models,), once=True))
    row = _row(station, nec)
    assert row.state == State.REFUSED
    assert "brings its own codec" in row.detail
    assert FileHeader.decode(nec)[0].codec_id.hex() in row.detail
    assert "swathpack unpack" in row.detail
    assert not (station / "products" / row.file_id).exists()
    assert _row(station, scene.nec).state == State.COMPLETE
