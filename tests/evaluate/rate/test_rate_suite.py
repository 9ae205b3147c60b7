"""Suites: what they hold, and that one refused method does not stop the rest."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError, InternalError, SwathpackError
from codec.evaluate.__main__ import main
from codec.evaluate.rate import suite
from codec.evaluate.rate.report import OURS, REFERENCE
from codec.evaluate.rate.run import Entry, Run, Setting
from codec.evaluate.rate.sets import HELD_BACK
from codec.evaluate.rate.store import Scored
from codec.evaluate.rate.suite_run import Report, prepared, run
from codec.package import load


def test_every_suite_holds_what_reports_compare_with(root: Path) -> None:
    package = load(root / "models" / "s2-nano")
    for name, of in suite.SUITES.items():
        found = [entry.name for entry in suite.entries(of, package)]
        assert len(found) == len(set(found)), name
        assert REFERENCE in found
        if name != "fast":
            assert {method for level in OURS.values() for method, _ in level} <= set(found)


@pytest.mark.parametrize("name", list(suite.SUITES))
def test_a_set_held_back_is_in_no_suite_without_a_release_and_the_last_with_one(name: str) -> None:
    everyday, release = suite.chosen(name), suite.chosen(name, release=True)
    assert not set(HELD_BACK) & set(everyday.sets)
    assert release.sets == (*everyday.sets, *(one for one in release.sets if one in HELD_BACK))
    assert release.embedding == everyday.embedding
    if name != "fast":
        assert release.sets[-1] == "dubai"


def test_a_set_held_back_is_refused_by_name_without_a_release(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["rate", "--data", str(tmp_path), "--out", str(out), "--set", "dubai"]
    assert main(arguments) == 3
    said = capsys.readouterr().err
    assert "reported with a release; add --release if this is one" in said
    assert said.count("\n") == 1
    assert not out.exists()
    assert suite.chosen("rgb", ["dubai"], release=True).sets == ("ucmerced", "dubai")


def test_fast_and_another_suite_are_refused_as_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in ("default", "full", "rgb"):
        assert main(["rate", "--data", str(tmp_path), "--fast", "--suite", other]) == 2
        assert f"--fast is a suite, and so is --suite {other}" in capsys.readouterr().err


def test_plots_without_matplotlib_are_refused_before_anything_is_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codec.evaluate.rate.plots.find_spec", lambda name: None)
    out = tmp_path / "out"
    arguments = ["rate", "--data", str(tmp_path), "--out", str(out), "--plots", str(tmp_path / "plots")]
    assert main(arguments) == 8
    assert "plots need matplotlib" in capsys.readouterr().err
    assert not out.exists()


def test_a_method_that_the_suite_lacks_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no method 'nonsense'.*base"):
        suite.entries(suite.SUITES["fast"], None, ["nonsense"])


def small(
    data: Path, out: Path, sets: tuple[str, ...] = ("water",), methods: tuple[str, ...] = ("base", "uqe")
):
    return partial(
        prepared, suite.SUITES["fast"], "pixel-statistics", data, out, Setting(resamples=2), sets, methods
    )


def test_one_refused_method_is_listed_and_the_rest_is_reported(
    monkeypatch: pytest.MonkeyPatch, shared_data: Path, tmp_path: Path
) -> None:
    score = Run.score

    def refusing(self: Run, name: str, entry: Entry) -> Scored:
        if entry.name == "uqe":
            raise InternalError("uqe at 2 bit: no number of bytes")
        return score(self, name, entry)

    monkeypatch.setattr(Run, "score", refusing)
    found = run(small(shared_data, tmp_path), Report("rate", "made", None))
    assert found.refused == ("water: uqe at 2 bit: no number of bytes",)
    methods = {row.case.split("/")[3] for row in found.rows if row.metric.startswith("bytes at")}
    assert methods == {"base"}


def test_an_unknown_set_is_refused_with_the_known_ones(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no set 'mars'.*eurosat"):
        small(shared_data, tmp_path, sets=("mars",))()


def test_a_tampered_package_is_an_error_and_never_a_bare_encoder(root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(root / "models" / "rgb-small", tmp_path / "rgb-small")
    tables = folder / "tables.bin"
    tables.write_bytes(tables.read_bytes()[:-1] + b"\0")
    with pytest.raises(SwathpackError, match=r"tables\.bin"):
        prepared(suite.SUITES["fast"], str(folder), tmp_path, tmp_path, Setting())


def test_two_processes_say_what_one_says(shared_data: Path, tmp_path: Path) -> None:
    said = []
    for processes in (1, 2):
        made = run(small(shared_data, tmp_path / str(processes)), Report("rate", "made", None), processes)
        assert not made.refused
        rows = [row for row in made.rows if row.metric not in ("wall", "coding")]
        said.append({(row.case, row.metric, row.rival): row.value for row in rows})
    assert said[0].keys() == said[1].keys()
    close = [abs(said[0][key] - said[1][key]) <= 1e-3 * (1 + abs(said[0][key])) for key in said[0]]
    assert np.mean(close) > 0.99  # a rounded product may turn a single answer


def test_without_curves_all_else_is_said_the_same(shared_data: Path, tmp_path: Path) -> None:
    made = small(shared_data, tmp_path)
    full, bare = (run(made, Report("rate", "made", curves)).rows for curves in (None, ()))
    kept = {(row.case, row.metric, row.rival) for row in bare}
    points = [row for row in full if row.metric != "wall" and (row.case, row.metric, row.rival) not in kept]
    assert len(full) - len(points) in (len(bare), len(bare) + 1)
    curve = {"bytes", "mean IoU", "log-likelihood", "agreement"}
    assert {row.metric.removesuffix("-difference") for row in points} == curve
    assert {row.metric for row in bare} >= {
        "bytes at −3",
        "times fewer bytes at −3",
        "feature error of tokens",
    }


def test_pixels_of_lone_tiles_are_not_coded_twice(shared_data: Path, tmp_path: Path) -> None:
    names = ("base", "klt-jpeg2000-scene")
    pieces = small(shared_data, tmp_path, sets=("eurosat", "water"), methods=names)().pieces
    assert pieces == [("eurosat", "base"), ("water", "base"), ("water", "klt-jpeg2000-scene")]
