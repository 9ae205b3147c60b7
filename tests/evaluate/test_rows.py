"""One schema for every result: rows come back as they were written and replace their own kind alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from codec.errors import InputError
from codec.evaluate.rows import FIELDS, Row, as_text, load, save


def test_rows_replace_their_own_and_keep_the_others(tmp_path: Path) -> None:
    save([Row("model", "a", "m", 1.0, 0.5, 1.5, "%", n=3), Row("model", "b", "m", 2.0)], tmp_path)
    save([Row("model", "a", "m", 7.0, n=4), Row("other", "a", "m", 3.0)], tmp_path)
    found = load(tmp_path / "model.csv")
    assert {(r.case, r.value, r.lo, r.n) for r in found} == {("a", 7.0, None, 4), ("b", 2.0, None, None)}
    assert [r.value for r in load(tmp_path / "other.csv")] == [3.0]
    assert all(r.hardware and r.versions and r.commit and r.date for r in found)


@pytest.mark.parametrize(("per_machine", "left"), [(True, {"one", "two"}), (False, {"two"})])
def test_speeds_belong_to_a_machine_and_accuracies_to_none(
    tmp_path: Path, per_machine: bool, left: set[str]
) -> None:
    for machine in ("one", "two"):
        save([Row("model", "a", "m", 1.0, hardware=machine)], tmp_path, per_machine=per_machine)
    assert {row.hardware for row in load(tmp_path / "model.csv")} == left


def test_rows_that_a_run_stands_in_for_go_even_unmeasured(tmp_path: Path) -> None:
    old = [Row("model", case, "m", 1.0) for case in ("a/gone", "a/again", "b/other")]
    save(old, tmp_path, per_machine=False)
    save(
        [Row("model", "a/again", "m", 2.0)],
        tmp_path,
        per_machine=False,
        instead_of={*load_as_saved(tmp_path)},
    )
    assert {(r.case, r.value) for r in load(tmp_path / "model.csv")} == {("a/again", 2.0), ("b/other", 1.0)}


def load_as_saved(folder: Path) -> list[Row]:
    """The rows of case a, as the file holds them."""
    return [row for row in load(folder / "model.csv") if row.case.startswith("a/")]


def test_a_file_of_another_schema_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("suite,case\nmodel,a\n")
    with pytest.raises(InputError, match="not a results file"):
        load(tmp_path / "x.csv")


def test_the_benchmarks_use_this_very_schema() -> None:
    from benchmarks import results

    assert results.Row is Row
    assert FIELDS[:6] == ("suite", "case", "metric", "value", "lo", "hi")


def test_text_shows_value_interval_and_rival() -> None:
    text = as_text([Row("model", "case", "accuracy", 71.25, 60.0, 80.0, "%", "statistics")])
    assert "71.25 [60, 80] against statistics %" in text


def test_counts_keep_every_digit_however_often_a_file_is_merged(tmp_path: Path) -> None:
    row = Row("suite", "case", "parameters", 305136641, unit="numbers")
    for other in "abc":
        save([row if other == "a" else Row("suite", other, "parameters", 1 / 3)], tmp_path)
    values = {found.case: found.value for found in load(tmp_path / "suite.csv")}
    assert values == {"case": 305136641, "b": 0.333333, "c": 0.333333}
