"""The card is generated: what stands in the tree is what the generator writes from the measured rows."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from codec.errors import InputError
from codec.evaluate.__main__ import main
from codec.evaluate.card import write_card


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
    with open(root / "benchmarks" / "results" / "model.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "probe-accuracy"]
    assert rows
    for row in rows:
        assert f"{float(row['value']):.1f} [{float(row['lo']):.1f}, {float(row['hi']):.1f}]" in card


def test_no_card_without_measurements(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no measured rows"):
        write_card(root / "models" / "s2-nano", tmp_path / "none.csv", windows=0)
