"""Files that carry their codec: whatever is cut, damaged or forged in them ends in a typed error or a counted loss."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from codec.arrays.pack import pack, unpack
from codec.bitstream import tables_records
from codec.bitstream.core import crc32c
from codec.bitstream.header import FLAG_EMBEDDED_TRANSFORM, FileHeader
from codec.bitstream.reader import read_bytes
from codec.bitstream.writer import to_bytes
from codec.errors import Corrupt, IdentityError, InputError, SwathpackError, TryAgain, UnsupportedVersion
from codec.package import identity
from codec.pipeline import open_nec
from tests.arrays.embedding_arrays import integers, vectors


@pytest.fixture(scope="module")
def lossy() -> bytes:
    return pack(vectors(300, 6), bytes_per_vector=4)


@pytest.fixture(scope="module")
def exact() -> bytes:
    return pack(integers(20, 20, 3), axes="hwc")


@pytest.mark.parametrize("which", ["lossy", "exact"])
def test_every_cut_is_a_typed_error_or_a_counted_loss(which: str, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(which)
    whole = unpack(data)
    for cut in range(0, len(data), 7):
        try:
            found = unpack(data[:cut])
        except SwathpackError:
            continue
        assert found.values.shape == whole.values.shape
        same = found.values[found.validity] == whole.values[found.validity]
        assert which == "lossy" or same.all()


@pytest.mark.parametrize("which", ["lossy", "exact"])
def test_no_flipped_bit_changes_a_value_unnoticed(which: str, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(which)
    whole = unpack(data)
    every_layer = read_bytes(data).records
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(data), 150):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        try:
            found = unpack(bytes(damaged))
        except SwathpackError:
            continue
        lost = len(every_layer) - len(read_bytes(bytes(damaged)).records)
        assert lost or np.array_equal(found.values, whole.values, equal_nan=True)


def _carrying(data: bytes, tables: bytes, transform: bytes) -> bytes:
    """The same file with other contents under the codec id that they give."""
    file = read_bytes(data)
    sha = [hashlib.sha256(part).hexdigest() for part in (tables, transform)]
    header = replace(file.header, codec_id=identity.codec_id(tables_sha256=sha[0], transform_sha256=sha[1]))
    return to_bytes(header, [*tables_records.split(tables, transform), *file.records])


def _parts(data: bytes) -> tuple[bytes, bytes]:
    embedded = read_bytes(data).embedded
    assert embedded is not None
    assert embedded.data is not None
    assert embedded.transform is not None
    return embedded.data, embedded.transform


@pytest.mark.parametrize("which", ["lossy", "exact"])
def test_forged_contents_are_corrupt(which: str, request: pytest.FixtureRequest) -> None:
    data: bytes = request.getfixturevalue(which)
    tables, transform = _parts(data)
    assert np.array_equal(unpack(_carrying(data, tables, transform)).values, unpack(data).values)
    for forged in (transform[:-30], transform + bytes(1 << 20), b"no archive", b""):
        with pytest.raises(Corrupt):
            unpack(_carrying(data, tables, forged))
    with pytest.raises(Corrupt):
        unpack(_carrying(data, tables[:-1] + b"\0", transform))


def _npy(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(6)


def _archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytearray:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return bytearray(out.getvalue())


def _promising(shape: str) -> Callable[[dict[str, bytes]], bytearray]:
    header = f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}"
    return lambda members: _archive({**members, "plane0.start.npy": _npy(header)})


def _broken_stream(compression: int) -> Callable[[dict[str, bytes]], bytearray]:
    def forge(members: dict[str, bytes]) -> bytearray:
        archive = _archive(members, compression)
        start = archive.find(b"plane0.start.npy") + 16
        archive[start + 9 : start + 30] = b"\xff" * 21
        return archive

    return forge


def _patched(mark: bytes, offset: int, value: int) -> Callable[[dict[str, bytes]], bytearray]:
    """A byte at `offset` of every header that begins with `mark` (APPNOTE 4.3.12)."""

    def forge(members: dict[str, bytes]) -> bytearray:
        archive, at = _archive(members), -1
        while (at := archive.find(mark, at + 1)) >= 0:
            archive[at + offset] = value
        return archive

    return forge


_CENTRAL = b"PK\x01\x02"


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(_promising("(100000000000,)"), id="200 GB of int16"),
        pytest.param(_promising(f"({10**30},)"), id="more than an index holds"),
        pytest.param(_promising("(True, 3)"), id="a truth value as a side"),
        pytest.param(lambda m: _archive({**m, "plane0.start.npy": _npy("(" * 90)}), id="open parentheses"),
        pytest.param(_broken_stream(zipfile.ZIP_DEFLATED), id="broken deflate"),
        pytest.param(_broken_stream(zipfile.ZIP_LZMA), id="broken lzma"),
        pytest.param(_patched(_CENTRAL, 8, 1), id="encrypted"),
        pytest.param(_patched(_CENTRAL, 6, 255), id="ZIP version 25.5"),
    ],
)
def test_a_forged_archive_is_corrupt_and_takes_no_memory(
    forge: Callable[[dict[str, bytes]], bytearray], exact: bytes
) -> None:
    tables, transform = _parts(exact)
    with zipfile.ZipFile(io.BytesIO(transform)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with pytest.raises((Corrupt, IdentityError)):
        unpack(_carrying(exact, tables, bytes(forge(members))))


def test_other_contents_than_the_header_names_are_refused(lossy: bytes) -> None:
    tables, transform = _parts(lossy)
    file = read_bytes(lossy)
    forged = to_bytes(file.header, [*tables_records.split(tables, transform + b"\0"), *file.records])
    with pytest.raises(IdentityError):
        unpack(forged)


def test_missing_chunks_ask_for_patience(lossy: bytes) -> None:
    file = read_bytes(lossy)
    tables, transform = _parts(lossy)
    chunks = tables_records.split(tables, transform, chunk=500)
    with pytest.raises(TryAgain, match="chunks missing: 1"):
        unpack(to_bytes(file.header, [chunks[0], *chunks[2:], *file.records]))
    with pytest.raises(TryAgain, match="all"):
        unpack(to_bytes(file.header, file.records))


def test_a_transform_without_tables_is_no_legal_header(lossy: bytes) -> None:
    header = read_bytes(lossy).header
    with pytest.raises(InputError):
        replace(header, flags=FLAG_EMBEDDED_TRANSFORM)
    data = bytearray(header.encode())
    data[9] = 0x10  # a flag from the future
    data[-4:] = crc32c(bytes(data[:-4])).to_bytes(4, "little")
    with pytest.raises(UnsupportedVersion):
        FileHeader.decode(bytes(data))


def test_scenes_open_it_without_any_package(exact: bytes, tmp_path: object) -> None:
    scene = open_nec(io.BytesIO(exact))
    assert scene.planes == ("plane0",)
    assert np.array_equal(scene.tokens_map().values, unpack(exact).values)
