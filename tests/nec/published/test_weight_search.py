"""λ for wanted rates, on a rate that is known in closed form."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from codec.errors import InputError
from codec.nec.search import RATES, Trial, next_weight, search


class Law:
    """rate = scale · λ^power, with a ceiling; counts its trials."""

    def __init__(self, scale: float, power: float, ceiling: float = math.inf) -> None:
        self.scale, self.power, self.ceiling, self.asked = scale, power, ceiling, list[float]()

    def __call__(self, weight: float) -> float:
        self.asked.append(weight)
        return min(self.ceiling, self.scale * weight**self.power)


def quiet(text: str) -> None:
    pass


@pytest.mark.parametrize("power", [0.4, 0.7, 1.3])
@pytest.mark.parametrize("first", [1.0, 1e5])
def test_the_published_rates_are_met_in_few_runs(tmp_path: Path, power: float, first: float) -> None:
    law = Law(0.001, power)
    found = search(law, tmp_path, first=first, tell=quiet, attempts=8)
    for rate, weight in found.items():
        assert abs(math.log(0.001 * weight**power / rate)) <= 0.15
    assert tuple(found) == RATES
    assert len(law.asked) <= 14


def test_a_search_that_stopped_goes_on(tmp_path: Path) -> None:
    law = Law(0.002, 0.8)

    def stops(weight: float) -> float:
        if len(law.asked) == 3:
            raise KeyboardInterrupt
        return law(weight)

    with pytest.raises(KeyboardInterrupt):
        search(stops, tmp_path, first=5.0, tell=quiet)
    before = len(law.asked)
    search(law, tmp_path, first=5.0, tell=quiet)
    assert len(set(law.asked)) == len(law.asked)
    assert len(law.asked) > before


def test_a_rate_that_cannot_be_reached_is_said_with_how_far(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1\.5 by 88%"):
        search(Law(0.01, 0.7, ceiling=0.8), tmp_path, first=10.0, tell=quiet)
    assert json.loads((tmp_path / "points.json").read_text())["points"].keys() == {
        "0.02",
        "0.09",
        "0.3",
        "1.5",
    }


def test_two_trials_make_a_line_in_logarithms() -> None:
    trials = [Trial(10.0, 0.1), Trial(1000.0, 1.0)]  # power ½
    assert next_weight(trials, 0.3, 1.0) == pytest.approx(90.0)
    assert next_weight([], 0.3, 7.0) == 7.0


def test_a_trial_without_a_rate_is_refused() -> None:
    for weight, rate in ((1.0, 0.0), (0.0, 1.0), (1.0, math.nan)):
        with pytest.raises(InputError):
            Trial(weight, rate)
