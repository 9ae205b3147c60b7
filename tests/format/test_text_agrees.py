"""The tables of docs/bitstream.md and the reference decoder's constants say the same."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest
from nec_encoder.parts import count_code
from nec_reference import header, records, refusals, tables
from nec_reference.checks import crc8, crc32c

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "bitstream.md").read_text(encoding="utf-8")
TYPE = {
    "u8": "B",
    "u16": "H",
    "u32": "I",
    "u64": "Q",
    "i64": "q",
    "8 bytes": "8s",
    "16 bytes": "16s",
    "6 × f64": "6d",
}


def section(number: str) -> str:
    """The text from the heading with this number to the next heading."""
    match = re.search(rf"^#+ {re.escape(number)}[. ].*?$(.*?)(?=^#+ |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match, f"no section {number}"
    return match.group(1)


def rows(number: str) -> list[list[str]]:
    """The body cells of the first table of a section."""
    lines = [line for line in section(number).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return cells[2:]


def test_header_offsets_and_types_agree() -> None:
    fields = [(int(row[0]), TYPE[row[1]], row[2]) for row in rows("3") if row[0].isdigit() and row[1] in TYPE]
    ours = [(offset, form) for offset, form, _ in header.FIELDS]
    assert [(offset, form) for offset, form, _ in fields] == ours
    for (_, _, name), (_, _, our_name) in zip(fields, header.FIELDS, strict=True):
        assert our_name in name, f"{our_name} is called {name}"


def test_header_fields_lie_side_by_side() -> None:
    position = 0
    for offset, form, name in header.FIELDS:
        assert offset == position, name
        position += struct.calcsize("<" + form)
    assert position == header.PLANES_OFFSET


def test_magic_and_longest_header_agree() -> None:
    magic = next(row[3] for row in rows("3") if row[2] == "magic")
    match = re.search(r"`((?:[0-9A-F]{2} ?){8})`", magic)
    assert match
    assert bytes.fromhex(match.group(1)) == header.MAGIC
    assert f"At most {header.MAX_HEADER} bytes" in section("3")


def test_plane_offsets_and_types_agree() -> None:
    fields = [(int(row[0]), TYPE[row[1]], row[2]) for row in rows("3.2")]
    assert fields == list(header.PLANE_FIELDS)
    assert sum(struct.calcsize("<" + form) for _, form, _ in header.PLANE_FIELDS) == header.PLANE_BYTES
    assert f"{header.PLANE_BYTES} bytes each" in section("3.2")


def test_extension_numbers_agree() -> None:
    content = {row[0]: row[2] for row in rows("3.3")}
    assert "mean vector" in content[str(header.MEAN_VECTOR)]
    assert "WKT2" in content[str(header.CRS_WKT2)]
    assert "source name" in content[str(header.SOURCE_NAME)]


def test_record_header_bits_agree() -> None:
    fields = []
    for bits, name, _ in rows("4.1"):
        first, last = bits.split("–")
        fields.append((int(first), int(last), name))
    assert fields == list(records.BIT_FIELDS)
    assert [last + 1 for _, last, _ in fields] == [first for first, _, _ in fields[1:]] + [64]


def test_record_kinds_agree() -> None:
    kinds = next(row[2] for row in rows("4.1") if row[1] == "kind")
    for number, word in (
        (records.PADDING, "padding"),
        (records.COEFFICIENTS, "coefficients"),
        (records.TABLES, "tables"),
        (records.INDEX, "index"),
        (records.SEAL, "seal"),
        (records.REFINEMENT, "refinement"),
        (records.COMPACT, "compact coefficients"),
    ):
        assert f"{number} {word}" in kinds


def test_tile_count_codes_agree() -> None:
    assert [records.tile_count(code) for code in (0, 1, 127, 128, 129, 143, 144, 255)] == [
        1, 2, 128, 136, 144, 256, 272, 32768,
    ]  # fmt: skip
    counts = [records.tile_count(code) for code in range(256)]
    assert counts == sorted(set(counts)), "one code per value, ascending"
    assert [count_code(count) for count in counts] == list(range(256))


def test_table_file_limits_agree() -> None:
    assert f"At most {tables.MAX_BYTES:,} bytes" in section("6")
    by_field = {row[0]: row[2] for row in rows("6")}
    assert tables.MAGIC.decode() in by_field["magic"]
    assert str(tables.NEVER_SENT) in by_field["– layer map"]


def test_check_sums_have_the_values_of_the_text() -> None:
    sums = section("1")
    assert f"0x{crc32c(b'123456789'):08X}" in sums
    assert f"0x{crc8(b'123456789'):02X}" in sums


@pytest.mark.parametrize("kind", [c.kind for c in refusals.Refusal.__subclasses__()])
def test_kinds_of_refusal_agree(kind: str) -> None:
    assert f"**{kind.capitalize()}**" in section("1")
