"""The core against the golden vectors: the records it finds, what it decodes or refuses, and the bytes it writes.

Headers, derived tokens and embedded tables are read by the reference decoder here; tests/format has whole files.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from nec_reference.header import decode_header
from nec_reference.manifest import Package
from nec_reference.refusals import Refusal
from nec_reference.tiles import own_tokens
from nec_reference.whole import DecodedFile, decode_file
from table_files import asked_header, split_form

from _swathpack_core import TableSet, decode_records, encode_records, scan
from codec.errors import FormatError

VECTORS = Path(__file__).resolve().parent.parent / "vectors"
INDEX: dict[str, Any] = json.loads((VECTORS / "index.json").read_text(encoding="utf-8"))
KINDS = {"unsupported-version": "unsupported"}  # where the words of errors.py and of the text differ


def named(entries: list[dict[str, Any]]) -> list[Any]:
    return [pytest.param(entry, id=Path(entry["file"]).stem) for entry in entries]


def reference(entry: dict[str, Any]) -> tuple[bytes, DecodedFile, bytes]:
    """The file, what the reference decoder says of it, and the bytes of its tables."""
    data = (VECTORS / entry["file"]).read_bytes()
    packages = VECTORS / "packages"
    tables = (packages / f"{entry['package']}.tables.bin").read_bytes()
    transform = (packages / f"{entry['package']}.transform.npz").read_bytes()
    package = next(p for p in INDEX["packages"] if p["name"] == entry["package"])
    own = Package(tables, hashlib.sha256(transform).hexdigest(), package["n_bands"], package["lifting"])
    return data, decode_file(data, own), tables


@dataclass
class Plane:
    """The arrays of one plane as the core wants them."""

    doubled: npt.NDArray[np.bool_]
    symbols: npt.NDArray[np.int16]
    token_mask: npt.NDArray[np.bool_]
    layers: npt.NDArray[np.uint16]

    @classmethod
    def of(cls, file: DecodedFile, number: int) -> Plane:
        shape, n = file.header.planes[number], file.header.n_tiles
        doubled = np.ones((n, shape.rows, shape.cols), np.bool_)
        for tile in range(n):
            own = own_tokens(file.header, shape, tile)
            doubled[tile, own.top : own.bottom, own.left : own.right] = False
        n_tokens = shape.rows * shape.cols
        return cls(
            doubled.reshape(n, n_tokens),
            np.zeros((n, shape.channels, n_tokens), np.int16),
            np.ones((n, n_tokens), np.bool_),
            np.zeros(n, np.uint16),
        )


def decode_plane(
    tables: TableSet, file: DecodedFile, number: int, records: list[bytes]
) -> tuple[Plane, list[Any]]:
    plane = Plane.of(file, number)
    outcomes = decode_records(
        tables,
        records,
        file.header.ladder_index,
        file.header.n_tiles,
        plane.doubled,
        plane.symbols,
        plane.token_mask,
        plane.layers,
        number,
    )
    return plane, outcomes


def without_losers(file: DecodedFile, records: list[bytes]) -> list[bytes]:
    """§4.3, as a caller of the core does it: in descending order of SHA-256 the winner is written last."""
    return sorted(set(records), key=lambda r: hashlib.sha256(r).digest(), reverse=True)


@pytest.mark.parametrize("entry", named(INDEX["valid"]))
def test_a_legal_file_decodes_to_the_symbols_of_the_vector(entry: dict[str, Any]) -> None:
    data, file, package_tables = reference(entry)
    offsets, _ = scan(data, decode_header(data).length)
    assert offsets.tolist() == [o.record.offset for o in file.outcomes]
    if file.tables is None:
        return  # the tables have not arrived: nothing for the core to do
    tables = TableSet(embedded_tables(file) or package_tables)
    expected = json.loads((VECTORS / entry["file"]).with_suffix(".json").read_text(encoding="utf-8"))
    for number, wanted in enumerate(expected["planes"]):
        records = [
            o.record.data
            for o in file.outcomes
            if o.record.header.has_coefficients and o.record.header.plane == number
        ]
        plane, outcomes = decode_plane(tables, file, number, without_losers(file, records))
        assert outcomes == [None] * len(outcomes)
        compare(plane, wanted, file.header.planes[number].layers)
        if not file.conflicts:
            check_bytes(tables, file, plane, records)


def embedded_tables(file: DecodedFile) -> bytes | None:
    if not file.header.embeds_tables:
        return None
    chunks = {
        o.record.header.first_tile: o.record.payload for o in file.outcomes if o.record.header.kind == 2
    }
    data = b"".join(chunks[number] for number in sorted(chunks))
    # A transform may follow (bitstream §4.5): the table file's own length says where it ends.
    return data[: int.from_bytes(data[8:12], "little")] if file.header.self_contained else data


def compare(plane: Plane, wanted: dict[str, Any], n_layers: int) -> None:
    n = len(plane.layers)
    if "uniform" in wanted:
        one = wanted["uniform"]
        layers, validity, symbols = [one["layers"]] * n, [one["validity"]] * n, [one["symbols"]] * n
    else:
        layers, validity, symbols = wanted["layers"], wanted["validity"], wanted["symbols"]
    for tile in range(n):
        assert [b for b in range(n_layers) if plane.layers[tile] >> b & 1] == layers[tile]
        if symbols[tile] is not None:
            assert plane.symbols[tile].tolist() == symbols[tile]
        if 0 in layers[tile]:
            assert "".join("01"[not masked] for masked in plane.token_mask[tile]) == validity[tile]


def check_bytes(tables: TableSet, file: DecodedFile, plane: Plane, records: list[bytes]) -> None:
    """Encoding what was decoded under the same header gives the file's own bytes, record by record."""
    for record in records:
        header = asked_header(record)
        form, at = split_form(record)
        tile_mask = np.zeros(file.header.n_tiles, np.bool_)
        if form & 1:
            first = header >> 16 & 0xFFFF
            count = min(len(tile_mask) - first, 8 * len(record))
            tile_mask[first : first + count] = np.unpackbits(
                np.frombuffer(record[at:], np.uint8), bitorder="little"
            )[:count]
        token_mask = (
            plane.token_mask & ~plane.doubled if header >> 6 & 15 == 0 else np.zeros_like(plane.token_mask)
        )
        again = encode_records(
            tables,
            np.array([header], np.uint64),
            file.header.ladder_index,
            plane.symbols,
            tile_mask,
            token_mask,
            plane.doubled,
        )
        assert again == [record]


# Records of tables, index and seal are codec.bitstream's business.
OTHER_RECORDS = ("invalid/record-chunk", "invalid/record-index", "invalid/record-seal")
ILLEGAL = [e for e in INDEX["invalid"] if e["scope"] == "record" and not e["file"].startswith(OTHER_RECORDS)]


@pytest.mark.parametrize("entry", named(ILLEGAL))
def test_an_illegal_coefficient_record_is_refused_alone(entry: dict[str, Any]) -> None:
    _, file, package_tables = reference(entry)
    bad = file.outcomes[entry["record"]].record
    assert bad.header.kind not in (2, 3, 4)
    tables = TableSet(embedded_tables(file) or package_tables)
    for number in range(len(file.header.planes)):
        records = [o.record for o in file.outcomes if o.record.header.kind not in (2, 3, 4)]
        _, outcomes = decode_plane(tables, file, number, [r.data for r in records])
        for record, outcome in zip(records, outcomes, strict=True):
            if record is bad:
                assert outcome is not None
                assert KINDS.get(outcome[0], outcome[0]) == entry["kind"], outcome
            elif record.header.plane == number:
                assert outcome is None


@pytest.mark.parametrize("entry", named([e for e in INDEX["invalid"] if e["scope"] == "tables"]))
def test_an_illegal_table_file_is_refused_with_its_kind(entry: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as caught:
        TableSet((VECTORS / entry["file"]).read_bytes())
    assert KINDS.get(caught.value.kind, caught.value.kind) == entry["kind"]


def test_every_file_the_reference_refuses_is_in_another_scope() -> None:
    """What this module leaves out is refused before any record is read."""
    for entry in INDEX["invalid"]:
        if entry["scope"] == "file":
            with pytest.raises(Refusal):
                reference(entry)
