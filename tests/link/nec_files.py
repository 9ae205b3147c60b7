"""`.nec` files for the tests of the link: real headers and records, payloads that only the link has to carry."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from codec.bitstream import record as rec
from codec.bitstream.header import FileHeader
from codec.bitstream.writer import NecWriter
from codec.types import Georeference, PlaneKind, PlaneSpec, Record, RecordHeader, RecordKind, TileGrid

N_TILES = 4096
N_LAYERS = 5


def file_header(run: int = 0, source_name: str = "") -> FileHeader:
    """A header of 142 bytes (more with a source name); equal runs give equal file ids."""
    from codec.bitstream.extensions import Extension, ExtensionNumber

    extensions = (Extension(ExtensionNumber.SOURCE_NAME, False, source_name.encode()),) if source_name else ()
    return FileHeader(
        sensor="rgb", codec_id=b"codec-id", grid=TileGrid(64 * 64, 64 * 64, 64, 64),
        georeference=Georeference((10.0, 0.0, 5e5, 0.0, -10.0, 6e6), 32719),
        planes=(PlaneSpec(8, 8, 16, N_LAYERS, PlaneKind.FLOAT, b"space-id"),), ladder_index=10, run=run,
        extensions=extensions,
    )  # fmt: skip


def record(layer: int, first_tile: int, size: int, seed: int = 0) -> Record:
    """A coefficient record of `size` bytes in all, with a noise payload; the two kinds alternate."""
    noise = np.random.default_rng((seed, layer, first_tile, size)).integers(
        0, 256, size - rec.OVERHEAD, np.uint8
    )
    kind = RecordKind.COMPACT if first_tile % 2 else RecordKind.COEFFICIENTS
    header = RecordHeader(kind, 0, layer, 0, 0, first_tile, 1, size - rec.OVERHEAD)
    return rec.build(header, noise.tobytes())


def records_of(counts: dict[int, int], *, low: int = 700, high: int = 960, seed: int = 0) -> list[Record]:
    """`counts` records of each layer, sizes drawn from low…high."""
    rng = np.random.default_rng(seed)
    return [
        record(layer, tile, int(rng.integers(low, high + 1)), seed)
        for layer, count in sorted(counts.items())
        for tile in range(count)
    ]


def nec(
    records: list[Record], *, header: FileHeader | None = None, seal: bool = True, index: bool = True
) -> bytes:
    """A whole file."""
    target = BytesIO()
    with NecWriter(target, header or file_header(), index=index, seal=seal) as writer:
        writer.extend(records)
    return target.getvalue()


def nec_of(counts: dict[int, int], *, run: int = 0, seed: int = 0, **sizes: int) -> bytes:
    """A whole sealed file with `counts` records of each layer."""
    return nec(records_of(counts, seed=seed, **sizes), header=file_header(run))
