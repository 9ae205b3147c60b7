"""Documents take their tables from results, and a quote of nothing is an error."""

from __future__ import annotations

import pytest

from benchmarks.quote import render
from codec.evaluate.rows import Row

HERE = {"hardware": "cpu", "date": "d", "commit": "c"}
ROWS = [
    Row("rate", "m/water/base/mixed", "bytes", 200.4, 117, 979, "B [95% interval]", **HERE),
    Row("rate", "m/water/prior/mixed", "bytes", 1548, 865, 2090, "B [95% interval; high end open]", **HERE),
    Row(
        "rate",
        "m/cloud/prior/mixed",
        "bytes",
        90,
        80,
        99,
        "B [not reached inside the curves; high end open]",
        **HERE,
    ),
    Row("rate", "m/water/base/mixed", "ratio", 7.5, 2, 13, "ratio", "prior", **HERE),
]


def test_a_grid_has_a_column_and_a_line_for_each_name() -> None:
    mark = r"<!-- grid suite:rate case:m/(\w+)/(\w+)/mixed metric:bytes -->"
    text = render(f"before\n{mark}\nold\n<!-- end grid -->\nafter\n", ROWS)
    assert text == (
        f"before\n{mark}\n"
        "| | water | cloud |\n|---|---|---|\n"
        "| base | 200.4 [117, 979] | – |\n"
        "| prior | 1,548 [865, ≥ 2,090] | > 90 [80, ≥ 99] |\n"
        "\nMeasured on cpu, d, c.\n"
        "<!-- end grid -->\nafter\n"
    )
    assert render(text, ROWS) == text


def test_without_a_second_group_the_rival_names_the_line() -> None:
    text = render("<!-- grid suite:rate case:m/(\\w+)/base/mixed metric:ratio -->\n<!-- end grid -->\n", ROWS)
    assert "| prior | 7.5 [2, 13] |" in text


def test_a_group_in_the_metric_names_the_columns() -> None:
    mark = r"<!-- grid suite:rate case:m/(\w+)/base/mixed metric:(bytes|ratio) -->"
    text = render(f"{mark}\n<!-- end grid -->\n", ROWS)
    assert "| | bytes | ratio |\n|---|---|---|\n| water | 200.4 [117, 979] | 7.5 [2, 13] |\n" in text


def test_named_groups_come_in_either_order_and_a_ratio_needs_both_to_reach() -> None:
    unit = "ratio [95% interval; not reached inside the curves, the value is their end]"
    rows = [*ROWS, Row("rate", "m/water/base/one", "ratio", 0.1, 0.05, 0.2, unit, "prior", **HERE)]
    mark = r"<!-- grid suite:rate case:m/water/(?P<line>\w+)/(?P<column>\w+) metric:ratio -->"
    text = render(f"{mark}\n<!-- end grid -->\n", rows)
    assert "| | mixed | one |\n|---|---|---|\n| base | 7.5 [2, 13] | outside a curve |\n" in text


def test_a_curve_that_is_good_enough_at_its_coarsest_setting_is_a_bound_from_above() -> None:
    unit = "B [95% interval; not reached inside the curves, the value is their end; low end open{}]"
    mark = r"<!-- grid suite:rate case:(m)/(\w+) metric:bytes -->"
    for more, cell in (("", "≤ 15 [≤ 14, 40]"), ("; high end open", "≤ 15 [≤ 14, ≥ 40]")):
        rows = [Row("rate", "m/x", "bytes", 15, 14, 40, unit.format(more), **HERE)]
        assert f"| x | {cell} |" in render(f"{mark}\n<!-- end grid -->\n", rows)


@pytest.mark.parametrize(
    ("said", "cell"),
    [("at least", "> 90 [8, 99]"), ("at most", "≤ 90 [8, 99]"), ("either way", "outside a curve")],
)
def test_a_ratio_at_an_end_of_a_curve_says_which_way_the_truth_lies(said: str, cell: str) -> None:
    rows = [
        Row(
            "rate",
            "m/x",
            "times",
            90,
            8,
            99,
            f"ratio [95% interval; {said}: not reached inside the curves]",
            **HERE,
        )
    ]
    text = render("<!-- grid suite:rate case:(m)/(\\w+) metric:times -->\n<!-- end grid -->\n", rows)
    assert f"| x | {cell} |" in text


def test_a_quote_of_nothing_is_an_error() -> None:
    for kind in ("grid", "quote"):
        with pytest.raises(SystemExit, match="no results for suite rate"):
            render(f"<!-- {kind} suite:rate case:(none) metric:bytes -->\n<!-- end {kind} -->\n", ROWS)
