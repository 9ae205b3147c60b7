"""docs/link.md says what the code does: its example, its tables, its numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_packet import DOCUMENTED

from codec.link.packet import DEFAULT_APID, MAX_BLOCK_BYTES, MAX_BODY, OVERHEAD
from codec.link.reports import Limits
from codec.link.transmission import DEFAULT_PAYLOAD, FEWEST_REPAIR, MIN_PAYLOAD, REPAIR_RATIO


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    return (root / "docs" / "link.md").read_text(encoding="utf-8")


def test_the_example_packet_in_the_text_is_the_one_that_is_tested(text: str) -> None:
    lines = re.search(r"```\n(02 A5 .*?)```", text, re.DOTALL)
    assert lines is not None
    listed = bytes.fromhex("".join(re.split(r" {2,}", line)[0] for line in lines.group(1).splitlines()))
    assert listed == DOCUMENTED


def test_the_repair_table_in_the_text_is_the_default(text: str) -> None:
    rows = re.findall(r"^\| ([0-3]) \| ([0-9.]+) \| ([0-9]) \|", text, re.MULTILINE)
    assert {int(c): float(ratio) for c, ratio, _ in rows} == dict(REPAIR_RATIO)
    assert {int(c): int(fewest) for c, _, fewest in rows} == {c: FEWEST_REPAIR.get(c, 1) for c in range(4)}


@pytest.mark.parametrize(
    "sentence",
    [
        f"{OVERHEAD} bytes are spent beyond the primary header",
        f"default {DEFAULT_APID} (0x{DEFAULT_APID:X})",
        f"k · S ≤ {MAX_BLOCK_BYTES:,}",
        f"{MIN_PAYLOAD} … {MAX_BODY:,} and {DEFAULT_PAYLOAD} by default",
        f"default: {Limits().file_bytes >> 20} MiB for one file, {Limits().total_bytes >> 20} MiB in",
    ],
)
def test_numbers_in_the_text_are_those_of_the_code(text: str, sentence: str) -> None:
    assert sentence in " ".join(text.split())
