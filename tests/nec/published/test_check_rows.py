"""The recipe's checks of points as rows: the numbers of `measure`, whole files, and an exit code that says a miss."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_nec import needs_compressai, views, written

from codec.evaluate.rate.adapted import checks
from codec.evaluate.rows import Row, load
from codec.nec.__main__ import main

pytestmark = needs_compressai


@pytest.fixture(scope="module")
def point(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Options of the command, and the folder of a point of the repaired recipe."""
    root = tmp_path_factory.mktemp("checked")
    pool, start, run = written(root / "pool", views()), root / "start.pt", root / "run"
    common = ["nec-2024-repaired", "--fast", "--set", "start.encoder=vit-nano/8@s2"]
    common += ["--set", "schedule.steps=6", "--pool", str(pool), "--start-weights", str(start)]
    assert main(["start", *common]) == 0
    assert main(["train", *common, "--out", str(run)]) == 0
    return [f"mine={run}", "--pool", str(pool), "--start-weights", str(start)], run


def by_metric(rows: list[Row]) -> dict[str, Row]:
    return {row.metric: row for row in rows}


def test_checks_become_rows_of_the_points_own_case(point: tuple[list[str], Path], tmp_path: Path) -> None:
    options, run = point
    results = tmp_path / "nec-2024.csv"
    assert checks.main([*options, "--results", str(results)]) == 0
    rows = by_metric(load(results))
    measured = json.loads((run / "measured.json").read_text())
    assert {row.case for row in rows.values()} == {
        f"vit-nano_8@s2/mine/points/{measured['bits_real']:.3g} bit"
    }
    assert rows["checks that do not hold"].value == 0
    real, frozen = rows["real bytes, converged tables"], rows["real bytes, tables as frozen"]
    # Bisection made the tables of this recipe already.
    assert real.value == frozen.value == pytest.approx(100 * (measured["real_over_density"] - 1), abs=1e-4)
    assert frozen.unit.endswith("bisection")
    assert real.n == measured["tiles"]


def test_a_check_that_does_not_hold_is_a_row_and_an_exit_code(
    point: tuple[list[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options, _ = point
    monkeypatch.setattr("codec.nec.checks.REAL_WITHIN", 0.0)
    results = tmp_path / "nec-2024.csv"
    assert checks.main([*options, "--results", str(results)]) == 1
    assert by_metric(load(results))["checks that do not hold"].value == 2
    assert "checks of 1 points do not hold" in capsys.readouterr().err


def test_points_without_a_name_or_a_folder_are_refused(point: tuple[list[str], Path]) -> None:
    options, run = point
    assert checks.main([str(run), *options[1:]]) == 2
    assert checks.main([f"mine={run / 'absent'}", *options[1:]]) == 3
