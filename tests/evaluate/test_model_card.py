"""The card is generated: what stands in the tree is what the generator writes from the measured rows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codec.errors import InputError
from codec.evaluate.__main__ import main
from codec.evaluate.card import rows_of
from codec.evaluate.card_rates import energy, rates
from codec.evaluate.card_tables import tables
from codec.evaluate.rows import Row, load


@pytest.mark.shared_data
def test_the_committed_card_is_what_the_generator_writes(
    root: Path, shared_data: Path, tmp_path: Path
) -> None:
    package, results = root / "models" / "s2-nano", root / "benchmarks" / "results" / "model.csv"
    shutil.copytree(package, tmp_path / "s2-nano")
    (tmp_path / "s2-nano" / "card.md").unlink()
    arguments = [
        "--data",
        str(shared_data),
        "--package",
        str(tmp_path / "s2-nano"),
        "--results",
        str(results),
    ]
    assert main(["card", *arguments]) == 0
    assert (tmp_path / "s2-nano" / "card.md").read_text() == (package / "card.md").read_text()


def test_the_card_quotes_the_measured_rows(root: Path) -> None:
    card = (root / "models" / "s2-nano" / "card.md").read_text()
    measured = load(root / "benchmarks" / "results" / "model.csv")
    rows = [r for r in measured if r.case.endswith("/s2-nano") and r.metric == "probe-accuracy"]
    assert rows
    for row in rows:
        assert f"{row.value:.1f} [{row.lo:.1f}, {row.hi:.1f}]" in card


def test_no_card_without_measurements(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no measured rows of s2-nano"):
        rows_of(tmp_path / "none.csv", "s2-nano")
    with pytest.raises(InputError, match="no measured rows of nobody"):
        rows_of(root / "benchmarks" / "results" / "model.csv", "nobody")


def test_bytes_of_a_use_are_those_of_the_shipped_codec_and_say_their_bounds() -> None:
    unit = "B/tile [95% interval{}]"
    ended = "; at most: not reached inside the curves; low end open"
    case = "m/cells/class/shipped mean + spectral/tokens mean/mixed"
    rows = [
        Row("utility", case, "bytes at −3", 8.3, 5.2, 12.0, unit.format("")),
        Row("utility", case, "bytes at −6", 4.4, 4.4, 9.0, unit.format(ended)),
        Row("utility", case, "times fewer bytes at −3", 40, 30, 50, "ratio", "prior"),
        Row("utility", case.replace("mixed", "one"), "bytes at −3", 99, 98, 100, unit.format("")),
        Row("utility", case.replace("m/", "n/", 1), "bytes at −3", 77, 76, 78, unit.format("")),
    ]
    text = rates(rows, "m")
    assert "| cells | class | −3 | 8 [5, 12] |\n| cells | class | −6 | ≤ 4 [≤ 4, 9] |\n" in text
    assert "99" not in text
    assert "77" not in text
    assert rates(rows, "other") == ""


def test_energy_is_that_of_the_manifest() -> None:
    facts = {
        "milliwatt_hours": 9964, "milligrams_co2e": 4733, "grams_co2e_per_kwh": 475, "samples": 1_200_000, "device": "cpu",
        "cpu_seconds": 3587, "basis": "model: 10 W per busy core",
    }  # fmt: skip
    assert "10.0 Wh and 4.7 g of CO₂e at 475 g/kWh (1,200,000 samples on cpu, 3,587 s" in energy(facts)
    assert energy({}) == ""


def test_tables_of_a_model_quote_no_other_s_twin() -> None:
    rows = [
        Row(
            "model",
            f"eurosat-val/12-bands/{owner}",
            "probe-accuracy",
            value,
            value - 5,
            value + 5,
            n=74,
            seeds="0",
        )
        for owner, value in (("mine", 71.0), ("mine-twin", 62.0), ("yours", 83.0), ("yours-twin", 54.0))
    ]
    rows.append(
        Row(
            "model",
            "eurosat-val/12-bands/mine",
            "probe-accuracy-difference",
            9.0,
            1.0,
            17.0,
            rival="random-twin",
        )
    )
    rows.append(
        Row(
            "model",
            "eurosat-val/12-bands/mine",
            "probe-accuracy-smallest-difference",
            8.0,
            rival="random-twin",
        )
    )
    text = tables(rows, "mine")
    assert "| **mine**, linear | 71.0 [66.0, 76.0] |" in text
    assert "| random twin, linear | 62.0 [57.0, 67.0] |" in text
    assert "| mine − random-twin, linear, paired | 9.0 [1.0, 17.0] ±8.0 |" in text
    assert "83.0" not in text
    assert "54.0" not in text
