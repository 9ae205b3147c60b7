"""Trained points beside ours: one number over seeds and tasks, by hand calculation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from codec.errors import InputError
from codec.evaluate.rate.adapted.seeds import main, seed_rows
from codec.evaluate.rate.adapted.shares import bound_of
from codec.evaluate.rate.curves import End
from codec.evaluate.rows import Row, load, merge

CLASS, WATER = "s2-nano/eurosat/class/base mean/tokens mean/mixed", "s2-nano/water/water/base/tokens/mixed"
TIMES = "times fewer bytes at 97 %"


def ratio(case: str, rival: str, value: float, low: float, high: float, metric: str = TIMES) -> Row:
    return Row("nec-2024", case, metric, value, low, high, "ratio [95% interval]", rival, date="2026-01-02")


ROWS = [
    ratio(CLASS, "nec-2024", 20.0, 10.0, 40.0),
    ratio(CLASS, "nec-2024 seed 1", 5.0, 4.0, 6.0),
    ratio("s2-nano/eurosat/elevation_m/base mean/tokens mean/mixed", "nec-2024", 4.0, 1.0, 9.0),
    ratio("s2-nano/eurosat/elevation_m/base mean/tokens mean/mixed", "nec-2024 seed 1", 9.0, 2.0, 30.0),
    ratio(WATER, "nec-2024", 2.0, 1.0, 3.0),
    ratio(WATER, "nec-2024", -75.0, -90.0, -50.0, "BD-rate"),
    ratio(WATER, "nec-2024 seed 1", -96.0, -99.0, -80.0, "BD-rate"),
    Row("nec-2024", CLASS, "bytes at 97 %", 12.0),
]


def test_a_task_over_seeds_is_the_geometric_mean_with_the_outermost_ends() -> None:
    (found,) = (r for r in seed_rows(ROWS) if r.case == CLASS)
    assert (found.metric, found.rival, found.seeds, found.n) == (TIMES, "nec-2024, all seeds", "0,1", 2)
    assert (found.value, found.lo, found.hi) == (pytest.approx(10.0), 4.0, 40.0)


def test_ratios_at_the_end_of_a_curve_are_counted() -> None:
    ended = replace(ROWS[1], unit="times [95% interval; at least: not reached inside the curves]")
    below = replace(ROWS[2], unit="times [95% interval; at most: not reached inside the curves]")
    found = seed_rows([ROWS[0], ended, below, *ROWS[3:]])
    (task,) = (r for r in found if r.case == CLASS)
    kind = next(r for r in found if r.case == "s2-nano/mean-token tasks/mixed")
    assert task.unit.endswith("; 1 of 2 at least")
    assert kind.unit.endswith("; 1 of 4 at least, 1 of 4 at most")
    assert not any("at least" in r.unit for r in seed_rows(ROWS))


@pytest.mark.parametrize(
    ("ours", "theirs", "bound"),
    [
        ("inside", "inside", ""),
        ("inside", "never", "at least"),  # they need more than their largest
        ("at most", "inside", "at least"),  # we need less than our smallest
        ("at most", "never", "at least"),
        ("never", "inside", "at most"),
        ("inside", "at most", "at most"),
        ("never", "at most", "at most"),
        ("never", "never", None),
        ("at most", "at most", None),
    ],
)
def test_a_ratio_where_curves_end_is_the_bound_that_it_can_be(
    ours: End, theirs: End, bound: str | None
) -> None:
    assert bound_of(ours, theirs) == bound


def test_bd_rates_are_averaged_as_ratios_of_bytes() -> None:
    """0.25 and 0.04 of the bytes are 0.1 in the geometric mean: −90 %."""
    found = next(r for r in seed_rows(ROWS) if r.case == WATER and r.metric == "BD-rate")
    assert (found.value, found.lo, found.hi) == (pytest.approx(-90.0), -99.0, -50.0)


def test_kinds_of_tasks_are_averaged_apart_and_say_the_smallest_and_largest_seed() -> None:
    """Means of √(20·4) and √(5·9)."""
    kinds = {(r.case, r.metric): r for r in seed_rows(ROWS) if r.rival.endswith("all tasks")}
    found = kinds["s2-nano/mean-token tasks/mixed", TIMES]
    assert found.value == pytest.approx((20 * 4 * 5 * 9) ** 0.25)
    assert (found.lo, found.hi) == (pytest.approx(45**0.5), pytest.approx(80**0.5))
    assert (found.n, found.seeds) == (2, "0,1")
    assert kinds["s2-nano/dense tasks/mixed", TIMES].value == pytest.approx(2.0)


def test_rows_of_seeds_lie_beside_what_they_were_made_of_and_are_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "nec-2024.csv"
    merge(path, ROWS)
    assert main([str(path)]) == 0
    once = load(path)
    assert {row.rival for row in once} >= {"nec-2024", "nec-2024, all seeds", "nec-2024, all tasks"}
    assert all(row.date == "2026-01-02" for row in once if row.rival.endswith("all tasks"))
    assert main([str(path)]) == 0
    assert load(path) == once
    with pytest.raises(InputError, match="no row compares"):
        seed_rows([row for row in ROWS if row.metric == "bytes at 97 %"])
