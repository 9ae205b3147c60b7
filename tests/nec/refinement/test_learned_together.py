"""Learned parts together: bytes of four cells at one score, shares that multiply to what both save, packages with both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.learned_together import CELLS, METHODS, SUITE, cell_rows, entries, main, prepared, together
from benchmarks.results import Row
from codec.errors import InputError
from codec.evaluate.rate.targets import Target
from codec.evaluate.rate.types import Planes
from codec.package import Package
from tests.evaluate.rate.known_answers import Curve, N, evidence, scored
from tests.nec.refinement.small_refinement import arrays

TARGET = Target("class", "tile", np.arange(N) % 2, ("no", "yes"))
# 0.99 half way in log bytes: 200, 100, 50 and 12.5 B
BYTES = {"base": 200.0, "refinement": 100.0, "adapted": 50.0, "both": 12.5}
UNCOMPRESSED = {"base": 1.0, "adapted": 0.95}  # of the adapted encoder worse: the base's score counts for all


def rows(scale: float = 1.0, seed: int = 0) -> list[Row]:
    cells = {}
    for cell in CELLS:
        middle = BYTES[cell] * (scale if cell == "both" else 1)
        of: Curve = (UNCOMPRESSED.get(cell, 1.0), {2 * middle: 1.0, middle / 2: 0.98})
        method = "shipped" if cell in ("base", "adapted") else "shipped + refinement"
        cells[cell] = scored(method, TARGET, {("tokens mean", regime): of for regime in ("one", "mixed")})
    return list(cell_rows("made/val/made", evidence(TARGET), TARGET, cells, seed))


def value(found: list[Row], cell: str, metric: str, rival: str = "", seed: str = "seed 0") -> float:
    case = f"made/val/made/class/shipped/tokens mean/mixed/{cell}/{seed}"
    (row,) = [r for r in found if (r.suite, r.case, r.metric, r.rival) == (SUITE, case, metric, rival)]
    return row.value


def test_every_cell_is_asked_for_the_score_of_the_base_encoder() -> None:
    found = rows()
    for cell, expected in BYTES.items():
        assert value(found, cell, "bytes at −1") == pytest.approx(expected)
    score = {r.case.split("/")[-2]: r.value for r in found if r.metric == "accuracy uncompressed"}
    assert score == pytest.approx({"base": 1.0, "adapted": 0.95}, abs=0.011)


def test_parts_are_held_against_the_base_and_against_each_other() -> None:
    """200 B over 100, 50 and 12.5 B; with the other part there, 50 over 12.5 and 100 over 12.5."""
    found, metric = rows(), "times fewer bytes at −1"
    expected = {
        ("refinement", "base"): 2, ("adapted", "base"): 4, ("both", "base"): 16,
        ("both", "adapted"): 4, ("both", "refinement"): 8,
    }  # fmt: skip
    for (cell, rival), ratio in expected.items():
        assert value(found, cell, metric, rival) == pytest.approx(ratio)


def test_shares_multiply_to_what_both_save() -> None:
    """Refinement √(2·4), adaptation √(4·8)."""
    found, metric = rows(), "times fewer bytes at −1, its share"
    refinement, adapted = (value(found, part, metric, "base") for part in ("refinement", "adapted"))
    assert (refinement, adapted) == pytest.approx((8**0.5, 32**0.5))
    assert refinement * adapted == pytest.approx(value(found, "both", "times fewer bytes at −1", "base"))


def test_rows_of_all_seeds_are_geometric_means_and_name_their_seeds() -> None:
    """16 and 4 times: 8 in the mean."""
    both = [*rows(), *rows(scale=4.0, seed=1)]
    found = [r for r in together(both) if r.metric == "times fewer bytes at −1" and r.rival == "base"]
    (row,) = [r for r in found if r.case.endswith("/mixed/both/all seeds")]
    assert row.value == pytest.approx(8)
    assert (row.n, row.seeds, row.suite) == (2, "0,1", SUITE)
    assert "end of a curve" not in row.unit


def test_a_curve_that_ends_before_the_score_is_said_of_all_seeds_too() -> None:
    """3 points are lost by no setting: every curve ends above."""
    found = [r for r in together(rows()) if r.metric == "times fewer bytes at −3"]
    assert found
    assert all("1 of 1 at an end of a curve" in r.unit for r in found)


def test_every_method_sends_the_same_bytes_with_and_without_refinement(installed: Package) -> None:
    values, validity = arrays()
    for method in METHODS:
        plain, refined = entries(installed)[method]
        shown = Planes({name: values[name] for name in plain.planes}, validity)
        coders = [entry.method.fit(shown) for entry in (plain, refined)]  # type: ignore[arg-type]
        changed = 0.0  # somewhere: beyond the steps that were trained tokens are left alone
        for setting in coders[0].settings:
            before, after = (coder.code(shown, setting) for coder in coders)  # type: ignore[arg-type]
            assert np.array_equal(before.sizes, after.sizes)
            whole = validity.all((1, 2))
            means = [one.planes["tokens"][whole].mean((1, 2)) for one in (before, after)]
            assert np.abs(means[0] - means[1]).max() < 1e-4  # what reads the mean gets the same number
            changed = max(changed, float(np.abs(before.planes["tokens"] - after.planes["tokens"]).max()))
        assert changed > 0.01


def test_a_package_without_refinement_is_refused(package: Package) -> None:
    with pytest.raises(InputError, match=r"has no decoder\.onnx"):
        entries(package)


def test_a_folder_of_another_encoder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"one")
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "encoder.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="of another encoder"):
        prepared(tmp_path / "a.safetensors", folder, tmp_path, [], 1.0, 1)
    assert [path.name for path in folder.iterdir()] == ["encoder.safetensors"]


def test_sides_of_different_length_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["measure", "--data", str(tmp_path), "--base", "a,b", "--adapted", "c"]
    assert main(arguments) == 2
    assert "as many adapted packages as base ones" in capsys.readouterr().err
