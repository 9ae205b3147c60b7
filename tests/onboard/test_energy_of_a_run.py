"""What a report says of a run's energy: rails where a module has them, nothing where nothing tells it, never a guess."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from onboard.power.run import energy_of_run
from tests.performance.power_trees import write_hwmon
from tests.performance.test_power_of_gpus import FakeNvml


def test_rails_of_a_module_give_joules(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 2000)], hwmon=1)
    with energy_of_run(gpu=False, root=tmp_path) as energy:
        time.sleep(0.3)
    assert energy.measured is not None
    assert energy.measured["source"] == "VDD_IN (INA3221 1-0040)"
    seconds = energy.measured["seconds"]
    assert isinstance(seconds, float)
    assert 0.25 < seconds < 5
    assert energy.measured["joules"] == pytest.approx(10 * seconds)
    assert not energy.note


def test_where_nothing_tells_it_nothing_is_said(tmp_path: Path) -> None:
    with energy_of_run(gpu=False, root=tmp_path) as energy:
        pass
    assert (energy.measured, energy.note) == (None, "")


def test_a_rail_that_breaks_costs_the_number_and_not_the_run(tmp_path: Path) -> None:
    folder = write_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 2000)], hwmon=1)
    done = []
    with energy_of_run(gpu=False, root=tmp_path) as energy:
        (folder / "curr1_input").write_text("lots\n")
        done.append("run")
    assert done
    assert energy.measured is None
    assert energy.note.startswith("energy is not known: ")


def test_an_error_of_the_run_passes(tmp_path: Path) -> None:
    write_hwmon(tmp_path, "1-0040", [("VDD_IN", 5000, 2000)], hwmon=1)
    with pytest.raises(ZeroDivisionError), energy_of_run(gpu=False, root=tmp_path):
        1 / 0  # noqa: B018


def test_a_card_is_believed_only_where_it_is_the_only_one(tmp_path: Path) -> None:
    with energy_of_run(gpu=True, root=tmp_path, library=FakeNvml(cards=("GPU-a",))) as energy:
        time.sleep(0.01)
    assert energy.measured is not None
    assert energy.measured["source"] == "NVML energy counter of the Card A"
    with energy_of_run(gpu=True, root=tmp_path, library=FakeNvml()) as energy:
        pass
    assert energy.measured is None
    assert "2 cards are here" in energy.note
