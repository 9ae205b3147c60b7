"""Suites: what they hold, and that one refused method does not stop the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from codec.errors import InputError, InternalError, SwathpackError
from codec.evaluate.__main__ import main
from codec.evaluate.rate import suite
from codec.evaluate.rate.report import OURS, REFERENCE
from codec.evaluate.rate.run import Entry, Setting
from codec.evaluate.rate.sets import HELD_BACK
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


def test_a_method_that_the_suite_lacks_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"no method 'nonsense'.*base"):
        suite.entries(suite.SUITES["fast"], None, ["nonsense"])


def test_one_refused_method_is_listed_and_the_rest_goes_on(monkeypatch, tmp_path: Path) -> None:
    scored = set()

    class Scoring:
        sets = dict.fromkeys(("eurosat", "water"))

        def is_scored(self, name: str, entry: Entry) -> bool:
            return False

        def score(self, name: str, entry: Entry) -> str:
            if entry.name == "uqe":
                raise InternalError("uqe at 2 bit: no number of bytes")
            scored.add((name, entry.name))
            return "answers"

    known = {entry.name: entry for entry in suite.entries(suite.SUITES["fast"], None)}
    monkeypatch.setattr(suite, "prepared", lambda *_, **__: (Scoring(), known))
    monkeypatch.setattr(suite, "_differs", lambda *_: True)
    found = suite.run(suite.SUITES["fast"], "galileo_nano", tmp_path, tmp_path, Setting())
    assert [line.split(":")[0] for line in found.refused] == ["eurosat", "water"]
    assert set(found.scored) == scored
    assert len(scored) == 2 * 3


def test_an_unknown_set_is_refused_with_the_known_ones(monkeypatch, tmp_path: Path) -> None:
    run = SimpleNamespace(sets={"eurosat": None})
    monkeypatch.setattr(suite, "prepared", lambda *_, **__: (run, {}))
    with pytest.raises(InputError, match=r"no set 'mars'.*eurosat"):
        suite.run(suite.SUITES["fast"], "galileo_nano", tmp_path, tmp_path, Setting(), sets=["mars"])


def test_a_tampered_package_is_an_error_and_never_a_bare_encoder(root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(root / "models" / "rgb-small", tmp_path / "rgb-small")
    tables = folder / "tables.bin"
    tables.write_bytes(tables.read_bytes()[:-1] + b"\0")
    with pytest.raises(SwathpackError, match=r"tables\.bin"):
        suite.run(suite.SUITES["fast"], str(folder), tmp_path, tmp_path, Setting())


def test_two_processes_give_the_answers_of_one(shared_data: Path, tmp_path: Path) -> None:
    found = [
        suite.run(
            suite.SUITES["fast"], "pixel-statistics", shared_data, tmp_path / str(processes), Setting(resamples=2),
            sets=["water"], methods=["base", "uqe"], processes=processes,
        )
        for processes in (1, 2)
    ]  # fmt: skip
    assert [set(one.scored) for one in found] == [{("water", "base"), ("water", "uqe")}] * 2
    for name, one in found[0].scored.items():
        other = found[1].scored[name]
        assert np.array_equal(one.sizes, other.sizes)
        for key, answers in one.answers.items():
            np.testing.assert_allclose(answers.loss, other.answers[key].loss, rtol=1e-4, atol=1e-5)


def test_pixels_of_lone_tiles_are_not_coded_twice(shared_data: Path, root: Path) -> None:
    package = load(root / "models" / "s2-nano")
    known = {entry.name: entry for entry in suite.entries(suite.SUITES["fast"], package)}
    evidence = suite.read(("eurosat", "water"), shared_data, package.bands)
    assert not suite._differs(evidence["eurosat"], known["klt-jpeg2000-scene"])
    assert suite._differs(evidence["water"], known["klt-jpeg2000-scene"])
    assert suite._differs(evidence["eurosat"], known["base"])
