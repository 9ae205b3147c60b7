"""The screening of trained layers and lengths: what it runs, what goes on, what is one number over seeds."""

from __future__ import annotations

from typing import get_args

import pytest

from benchmarks.adaptation_screen import (
    LENGTHS,
    PUBLISHED,
    SETS,
    WEIGHT,
    WEIGHTS,
    Trial,
    finalists,
    over_seeds,
    screened,
    screening,
)
from codec.evaluate.rows import Row
from codec.nec.recipe import Trainable, load_recipe


def test_the_screening_is_every_set_and_length_the_shortest_first() -> None:
    trials = screening()
    assert {(t.trainable, t.steps) for t in trials} == {(name, n) for name in SETS for n in LENGTHS}
    assert [t.steps for t in trials] == sorted(t.steps for t in trials)
    assert {(t.weight, t.seed) for t in trials} == {(WEIGHT, 0)}
    assert len({t.case for t in trials}) == len({t.folder for t in trials}) == 25


def test_the_sets_are_those_of_the_recipe_and_its_overrides_are_legal() -> None:
    assert get_args(Trainable) == SETS
    recipe = load_recipe("nec-2024-repaired", Trial("all", 30, 91.5, 2).overrides)
    assert (recipe.trainable, recipe.schedule.steps, recipe.rate.weight, recipe.seed) == ("all", 30, 91.5, 2)


def test_the_two_lowest_lagrangians_go_on_and_the_published_set_always_does() -> None:
    found = {("all", 30): 9.0, ("all", 300): 5.0, ("entropy", 30): 7.0, PUBLISHED: 20.0}
    assert finalists(found) == [("all", 300), ("entropy", 30), PUBLISHED]
    found[PUBLISHED] = 1.0
    assert finalists(found) == [("all", 300), ("entropy", 30), PUBLISHED]


def test_only_runs_of_the_screening_are_ranked() -> None:
    of_screening, of_finalist = Trial("all", 30, WEIGHT, 0), Trial("all", 30, WEIGHTS[0], 1)
    rows = [
        Row("adaptation", of_screening.case, "Lagrangian", 4.0),
        Row("adaptation", of_screening.case, "bytes", 99.0),
        Row("adaptation", of_finalist.case, "Lagrangian", 1.0),
    ]
    assert screened(rows) == {("all", 30): 4.0}


def test_seeds_become_one_row_with_their_ends_and_only_where_all_are_there() -> None:
    rows = [
        Row("adaptation", Trial("all", 30, 91.5, seed).case, "bytes", value, unit="B/tile", seeds=str(seed))
        for seed, value in enumerate((10.0, 12.0, 17.0))
    ]
    rows += [Row("adaptation", Trial("all", 100, 91.5, 0).case, "bytes", 1.0, seeds="0")]
    (found,) = over_seeds(rows)
    assert found.case.endswith("all/30 steps/λ 91.5/all seeds")
    assert (found.value, found.lo, found.hi) == (pytest.approx(13.0), 10.0, 17.0)
    assert (found.n, found.seeds) == (3, "0,1,2")
