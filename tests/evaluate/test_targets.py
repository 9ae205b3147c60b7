"""Targets are judged on what was asked: the mean of enough trainings, or an end of its interval."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.numbers import Target, load_targets
from codec.evaluate.rows import Row

WITHIN = Target("model", "case", "difference", ">=", -2, rival="12-bands", part="hi", seeds=3)
ROW = Row("model", "case", "difference", -3.0, -7.0, -1.0, rival="12-bands", seeds="0,1,2")


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (ROW, "met"),  # −3 in the mean, but the interval reaches −2
        (replace(ROW, hi=-2.5), "MISSED"),
        (replace(ROW, seeds="0,1"), "too few seeds"),
        (replace(ROW, lo=None, hi=None), "no interval"),
    ],
)
def test_within_two_points_means_that_the_interval_reaches_it(row: Row, verdict: str) -> None:
    assert WITHIN.matches(row)
    assert WITHIN.verdict(row) == verdict
    assert not WITHIN.matches(replace(row, rival="pixel-statistics"))


def test_a_plain_target_judges_the_value() -> None:
    plain = Target("model", "case", "difference", ">=", -2)
    assert plain.verdict(ROW) == "MISSED"
    assert plain.verdict(replace(ROW, value=-1.5)) == "met"


@pytest.mark.parametrize(
    ("op", "said", "value", "verdict"),
    [
        (">=", "at least", 50, "met"),  # the truth is higher still
        (">=", "at least", 30, "not shown"),
        (">=", "at most", 30, "MISSED"),
        (">=", "at most", 50, "not shown"),
        ("<=", "at most", 30, "met"),
        ("<=", "at most", 50, "not shown"),
        ("<=", "at least", 50, "MISSED"),
        ("<=", "at least", 30, "not shown"),
        (">=", "either way", 50, "not shown"),
    ],
)
def test_an_end_of_a_curve_meets_a_target_only_where_the_truth_lies_beyond_it(
    op: str, said: str, value: float, verdict: str
) -> None:
    unit = f"ratio [95% interval; {said}: not reached inside the curves]"
    row = replace(ROW, value=value, unit=unit)
    assert Target("model", "case", "difference", op, 40).verdict(row) == verdict


def test_the_shipped_targets_load_and_ask_accuracies_of_three_trainings() -> None:
    targets = load_targets()
    of_models = [t for t in targets if t.suite == "model" and not t.case.startswith("packages/")]
    assert len(of_models) >= 15
    assert all(t.seeds == 3 for t in of_models)


def test_an_end_that_no_interval_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "targets.toml"
    path.write_text('[[target]]\nsuite="a"\ncase="b"\nmetric="c"\nop=">"\nvalue=1\npart="middle"\n')
    with pytest.raises(SystemExit, match="use value, lo or hi"):
        load_targets(path)
