"""A whole run replaces what it answers for and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from codec.evaluate.__main__ import main
from codec.evaluate.rate.run import Setting
from codec.evaluate.rate.scope import Scope
from codec.evaluate.rate.suite import SUITES, entries, method_names
from codec.evaluate.rate.suite_run import Outcome, Report, prepared, run
from codec.evaluate.rows import Row, load, save
from codec.package import load as load_package

WHOLE = Scope.of_suite(SUITES["default"], "utility", "s2-nano", ("eurosat", "water"), ("one", "mixed"))


def row(case: str, rival: str = "", suite: str = "utility") -> Row:
    return Row(suite, case, "bytes", 1.0, rival=rival)


@pytest.mark.parametrize(
    "gone",
    [
        row("s2-nano/water"),
        row("s2-nano/water/base"),
        row("s2-nano/water/base/q99"),
        row("s2-nano/water/a method of old/q99"),
        row("s2-nano/eurosat/class/uncompressed/one"),
        row("s2-nano/eurosat/class/base/tokens mean/mixed"),
        row("s2-nano/eurosat/class/base/tokens mean/mixed/q99"),
        row("s2-nano/eurosat/class/base/tokens mean/one", "uncompressed, one"),
        row("s2-nano/water/water/base/tokens/one", "a method of old, tokens"),
    ],
    ids=lambda row: f"{row.case} {row.rival}",
)
def test_a_whole_run_answers_for_settings_targets_and_methods_that_are_gone(gone: Row) -> None:
    assert gone in WHOLE


@pytest.mark.parametrize(
    "kept",
    [
        row("s2-nano"),  # what the run took: one that went on does not measure it
        row("galileo_nano/water/base/q99"),
        row("s2-nano-2/water/base/q99"),
        row("s2-nano/dubai/base/q99"),
        row("s2-nano/water/base/q99", suite="rate"),
        row("s2-nano/water/water/base/tokens/per-rate/q99"),
        row("s2-nano/water/klt + spectral/q99"),  # the full suite's
        row("s2-nano/water/water/klt + spectral/tokens/one"),
        row("s2-nano/water/water/base/tokens/one", "klt + spectral, tokens"),
    ],
    ids=lambda row: f"{row.case} {row.rival} {row.suite}",
)
def test_other_encoders_sets_regimes_and_suites_are_not_its_own(kept: Row) -> None:
    assert kept not in WHOLE


def test_methods_are_called_as_they_run(root: Path) -> None:
    package = load_package(root / "models" / "s2-nano")
    for of in SUITES.values():
        assert list(method_names(of)) == [entry.name for entry in entries(of, package)]


def test_every_row_of_a_run_lies_in_its_scope(shared_data: Path, tmp_path: Path) -> None:
    fast, setting = SUITES["fast"], Setting(resamples=2)
    prepare = partial(
        prepared, fast, "pixel-statistics", shared_data, tmp_path, setting, ("water",), ("base", "uqe")
    )
    made = run(prepare, Report("rate", "made", None))
    scope = Scope.of_suite(fast, "rate", "made", made.sets, ("one", "mixed"))
    assert len(made.rows) > 50
    assert [row.metric for row in made.rows if row not in scope] == ["wall"]


@pytest.mark.parametrize(("options", "left"), [([], 1), (["--set", "water"], 2), (["--method", "base"], 2)])
def test_a_partial_run_keeps_the_rows_that_a_whole_one_drops(
    options: list[str], left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, old = row("pixel-statistics/water/base/q40"), row("pixel-statistics/water/base/q99")
    save([old], tmp_path, per_machine=False)

    def done(prepare: object, report: Report, processes: int) -> Outcome:
        return Outcome([replace(fresh, suite=report.suite)], (), ("water",))

    monkeypatch.setattr("codec.evaluate.rate.suite_run.run", done)
    results = tmp_path / "utility.csv"
    arguments = ["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--results", str(results)]
    monkeypatch.setattr("codec.evaluate.rate.own_folder.is_collection", lambda folder: True)
    assert main(["rate", *arguments, "--encoder", "pixel-statistics", *options]) == 0
    assert len(load(results)) == left
