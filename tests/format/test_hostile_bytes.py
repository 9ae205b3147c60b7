"""Every truncation and every single flipped bit of small files, for every back end.

The yardstick for "only unaffected records": the same file with the damaged record blanked out by padding. What is
left must come out as if the damaged record had never been there, and nothing else may come out.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from backends import Backend, PackageFiles, PlaneResult, Refused
from nec_reference.header import decode_header
from nec_reference.records import Record, scan
from product_backends import available
from test_vectors import INDEX, VECTORS, package_files

BACKENDS = [backend for backend in available() if "file" in backend.says]
# A few hundred bytes each; together they have masks, escapes, several lanes, layers, an extension and own tables.
SMALL = ("escape-k1", "two-lanes-one-channel", "token-and-tile-mask", "embedded-tables-last", "mean-vector")

Said = tuple[list[tuple[str, str]], list[PlaneResult]]


def _file(name: str) -> tuple[bytes, PackageFiles, int, list[Record]]:
    entry = next(e for e in INDEX["valid"] if Path(e["file"]).stem == name)
    data = (VECTORS / entry["file"]).read_bytes()
    start = decode_header(data).length
    records, gaps = scan(data, start)
    assert not gaps
    return data, package_files(entry["package"]), start, records


def _said(backend: Backend, data: bytes, package: PackageFiles) -> Said:
    result = backend.decode(data, package)
    return result.records, result.planes()


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("name", SMALL)
def test_any_truncation_of_the_header_is_reported_as_truncated(name: str, backend: Backend) -> None:
    data, package, start, _ = _file(name)
    for length in range(start):
        with pytest.raises(Refused) as caught:
            backend.decode(data[:length], package)
        assert caught.value.kind == "truncated", f"{length} bytes"


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("name", SMALL)
def test_any_truncation_behind_the_header_leaves_the_whole_records(name: str, backend: Backend) -> None:
    data, package, start, records = _file(name)
    ends = [start] + [record.end for record in records]
    for length in range(start, len(data)):
        end = max(end for end in ends if end <= length)
        assert _said(backend, data[:length], package) == _said(backend, data[:end], package), (
            f"{length} bytes"
        )


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("name", SMALL)
def test_any_flipped_bit_of_the_header_is_refused(name: str, backend: Backend) -> None:
    data, package, start, _ = _file(name)
    for bit in range(8 * start):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused) as caught:
            backend.decode(bytes(flipped), package)
        assert caught.value.kind in ("truncated", "corrupt", "unsupported"), f"bit {bit}"


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda b: b.name)
@pytest.mark.parametrize("name", SMALL)
def test_any_flipped_bit_of_a_record_loses_that_record_alone(name: str, backend: Backend) -> None:
    data, package, _, records = _file(name)
    for record in records:
        blank = data[: record.offset] + bytes(record.end - record.offset) + data[record.end :]
        without = _said(backend, blank, package)
        for bit in range(8 * record.offset, 8 * record.end):
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            assert _said(backend, bytes(flipped), package) == without, f"bit {bit}"
