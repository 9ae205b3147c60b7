"""Numbers of several machines stand apart, and what was not measured says so."""

from __future__ import annotations

import pytest

from benchmarks.numbers import Target
from benchmarks.quote import render
from codec.evaluate.rows import Row

MARK = r"<!-- machines suite:performance case:encoder/batch.(?P<column>\d+) metric:images/s -->"


def row(batch: int, value: float, hardware: str, unit: str = "") -> Row:
    return Row(
        "performance", f"encoder/batch {batch}", "images/s", value, unit=unit, hardware=hardware, date="d", commit="c"
    )  # fmt: skip


def test_every_machine_has_a_table_of_its_own() -> None:
    mark = MARK.replace("case:encoder", "case:(?P<line>encoder)")
    rows = [
        row(1, 10, "Board, 25W"),
        row(32, 30, "Board, 25W"),
        row(8, 20, "Board, 25W"),
        row(1, 900, "Card", "in 30 s"),
    ]
    text = render(f"{mark}\nold\n<!-- end machines -->\n", rows)
    assert text == (
        f"{mark}\n"
        "| | 1 | 8 | 32 |\n|---|---|---|---|\n| encoder | 10 | 20 | 30 |\n\nMeasured on Board, 25W, d, c.\n\n"
        "| | 1 |\n|---|---|\n| encoder | 900 |\n\nMeasured on Card, d, c.\n\nUnit: in 30 s.\n"
        "<!-- end machines -->\n"
    )
    assert render(text, rows) == text


def test_without_rows_it_is_said_that_nobody_measured() -> None:
    mark = MARK
    assert (
        render(f"{mark}\n| 1 |\n<!-- end machines -->\n", [])
        == f"{mark}\nNot measured.\n<!-- end machines -->\n"
    )


ASKED = [
    Target("kernels", "quantise", "share", ">=", 0.75),
    Target("kernels", "decode", "Gsym/s", ">=", 200),
    Target("rate", "other", "bytes", "<=", 1),
]


def test_targets_are_listed_with_those_that_nobody_measured() -> None:
    rows = [
        Row(
            "kernels", "quantise", "share", 0.8, 0.7, 0.9, "of a copy", hardware="Card", date="d", commit="c"
        ),
        Row("kernels", "quantise", "share", 0.6, hardware="Board", date="d", commit="c"),
    ]
    text = render("<!-- targets suite:kernels -->\nold\n<!-- end targets -->\n", rows, ASKED)
    assert text.splitlines()[3:-1] == [
        "| quantise: share |  | >= 0.75 | 0.8 [0.7, 0.9] of a copy | Card, d, c | met |",
        "| quantise: share |  | >= 0.75 | 0.6 | Board, d, c | MISSED |",
        "| decode: Gsym/s |  | >= 200 |  |  | not measured |",
    ]
    assert render(text, rows, ASKED) == text


def test_targets_of_no_suite_are_an_error() -> None:
    with pytest.raises(SystemExit, match="no targets for suite speed"):
        render("<!-- targets suite:speed -->\n<!-- end targets -->\n", [], ASKED)
