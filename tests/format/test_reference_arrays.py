"""The slow decoder, written from the text, reads what `pack` writes: records and archive give the array."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from nec_reference.archive import linear, load_archive
from nec_reference.array import scale_of
from nec_reference.manifest import Package
from nec_reference.reconstruct import PlaneTransform, embedding
from nec_reference.records import TABLES
from nec_reference.whole import DecodedFile, decode_file

from codec.arrays.pack import pack, unpack
from tests.arrays.embedding_arrays import integers, vectors

NOTHING = Package(
    None, hashlib.sha256(b"").hexdigest(), lifting="linear"
)  # a self-contained file needs no package


def decode(data: bytes) -> tuple[DecodedFile, dict[str, np.ndarray]]:
    """The file, and the arrays of the archive that it carries."""
    file = decode_file(data, NOTHING)
    chunks = [o.record for o in file.outcomes if o.record.header.kind == TABLES]
    carried = b"".join(c.payload for c in sorted(chunks, key=lambda c: c.header.first_tile))
    return file, load_archive(carried[int.from_bytes(carried[8:12], "little") :])


def raster(file: DecodedFile, plane: int, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Integers rows×cols×channels of all tiles put together by §3.1, and validity."""
    head, spec = file.header, file.header.planes[plane]
    out = np.zeros((head.height, head.width, spec.channels), np.int64)
    valid = np.zeros((head.height, head.width), bool)
    rule = linear(arrays, f"plane{plane}", spec.channels)
    for tile in range(head.n_tiles):
        row, col = divmod(tile, head.tile_cols)
        top = max(0, min(row * spec.rows, head.height - spec.rows))
        left = max(0, min(col * spec.cols, head.width - spec.cols))
        values = embedding(file, NOTHING, plane, tile, None, rule)
        for token, is_valid in enumerate(file.validity(plane, tile)):
            i, j = divmod(token, spec.cols)
            if is_valid:
                out[top + i, left + j] = values[i, j]
                valid[top + i, left + j] = True
    return out, valid


@pytest.mark.parametrize("shape", [(11, 13, 3), (40, 36, 2)])
def test_integer_rasters(shape: tuple[int, int, int]) -> None:
    q = integers(*shape)
    q[2:5, 3:9] = -128
    file, arrays = decode(pack(q, axes="hwc", nodata=-128))
    values, valid = raster(file, 0, arrays)
    assert np.array_equal(valid, (q != -128).all(axis=2))
    assert np.array_equal(values[valid], q[valid])
    assert file.header.array is not None
    assert file.header.array.shape == shape


def test_scales_of_tessera_arrays() -> None:
    q = integers(9, 10, 4)
    scale = np.random.default_rng(0).normal(size=(9, 10)).astype(np.float32)
    file, arrays = decode(pack(q, axes="hwc", quantisation="tessera", scale=scale))
    values, valid = raster(file, 1, arrays)
    assert valid.all()
    found = [scale_of(tuple(v)) for v in values.reshape(-1, 3).tolist()]
    assert np.array(found, np.float32).tobytes() == scale.tobytes()


def test_vectors_agree_with_unpack() -> None:
    x = vectors(150, 6)
    data = pack(x, bytes_per_vector=6)
    file, arrays = decode(data)
    transform = PlaneTransform(arrays["plane0.mean"], arrays["plane0.basis"], int(arrays["plane0.tokens"][0]))
    tiles = [embedding(file, NOTHING, 0, tile, transform) for tile in range(file.header.n_tiles)]
    found = np.stack(tiles).reshape(-1, 6)[:150]
    ours = unpack(data).values
    assert np.abs(found - ours).max() <= 1e-5 * np.abs(ours).max()
    assert ((found - x) ** 2).sum() < 0.01 * ((x - x.mean(axis=0)) ** 2).sum()
