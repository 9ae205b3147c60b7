"""Rows of the comparison of adapters: scores, paired differences, and what DEFLECT is held to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
import torch

from benchmarks.adapter_rows import rows_of, spread_of, summary, together
from benchmarks.adapter_tasks import ALL_GROUPS, GALILEO, Answered, Arm, Folders, Task, answer
from benchmarks.adapters import PARTS
from codec.adapt import apply
from codec.adapt.training import Labelled, TaskRecipe, train
from codec.models.bands import S2_NANO_BANDS
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import save_encoder

ARMS = {"rgb only": 0.4, "frozen": 0.5, "lora r 8": 0.8, "lora r 16": 0.95, "deflect": 0.7, "native": 0.9}
TRAINED = {"rgb only": 0, "frozen": 0, "lora r 8": 80, "lora r 16": 160, "deflect": 15, "native": 0}


def task(name: str, n: int = 120) -> Task:
    rng = np.random.default_rng(n)
    pixels = rng.uniform(0, 0.5, (n, 12, 8, 8)).astype(np.float32)
    data = Labelled(
        pixels, np.ones((n, 12), np.bool_), np.ones((n, 8, 8), np.bool_), rng.integers(0, 2, n), ("a", "b")
    )
    return Task(name, data, np.arange(n) // 2)


def answered(of: Task, right: float, trained: int, seed: int) -> Answered:
    """So many right of each place, by seed; another place's answers are drawn apart."""
    rng = np.random.default_rng([seed, len(of.data)])
    truth = of.data.labels
    return Answered(np.where(rng.random(len(truth)) < right, truth, 1 - truth), trained, 1000)


def test_rows_say_scores_differences_and_the_best_rival_of_at_most_a_tenth() -> None:
    tasks = [task("eurosat"), task("water", 90)]
    found = {
        (arm, of.name): [answered(of, right, TRAINED[arm], seed) for seed in range(3)]
        for arm, right in ARMS.items()
        for of in tasks
    }
    rows = list(rows_of("methods", tasks, found))
    rows += summary("methods", rows, tasks, found)
    value = {(row.case, row.metric): row for row in rows}
    for arm, right in ARMS.items():
        each = [value[f"methods/{of.name}/{arm}", "accuracy"].value for of in tasks]
        assert np.allclose(each, 100 * right, atol=8)
        assert value[f"methods/average/{arm}", "score"].value == pytest.approx(np.mean(each))
    difference = value["methods/average/lora r 8", "score, difference"]
    assert difference.rival == "deflect"
    assert difference.lo is not None and difference.hi is not None  # noqa: PT018
    assert difference.lo < difference.value < difference.hi
    held = value["methods/average", "difference to the best rival of at most a tenth"]
    assert held.rival == "lora r 8"  # r 16 learns more than a tenth
    assert (held.value, held.lo) == (-difference.value, -difference.hi)
    shares = {row.rival: row.value for row in rows if row.metric == "trained parameters, share"}
    assert shares == {"lora r 8": 15 / 80, "lora r 16": 15 / 160}

    gap = value["methods/average", "share of the gap from rgb only to native"].value
    assert gap == pytest.approx(0.6, abs=0.1)
    beyond = value["methods/average", "points beyond half of the gap"]
    assert beyond.value == pytest.approx(100 * (gap - 0.5) * 0.5, abs=4)  # the gap is half of all points
    assert beyond.lo < beyond.value < beyond.hi  # type: ignore[operator]
    needed = ("methods/average", "places for a lower bound of -3 points")
    assert needed not in value  # ten points behind: no number of places would do
    assert value["methods/average/deflect", "score"].n == 60 + 45  # two tiles a place


def test_of_many_comparisons_an_interval_holds_for_all_together() -> None:
    tasks = [task("eurosat"), task("water", 90)]
    found = {
        (arm, of.name): [answered(of, right, TRAINED[arm], seed) for seed in range(3)]
        for arm, right in ARMS.items()
        for of in tasks
    }
    value = {(row.case, row.metric): row for row in rows_of("switches", tasks, found, at_once=True)}
    asked = [case for case, metric in value if metric == "score, difference, all at once"]
    assert len(asked) == len(ARMS) - 1
    for case in asked:
        alone, with_others = value[case, "score, difference"], value[case, "score, difference, all at once"]
        assert with_others.value == alone.value
        width = (with_others.hi - with_others.lo) / (alone.hi - alone.lo)  # type: ignore[operator]
        assert width == pytest.approx(NormalDist().inv_cdf(1 - 0.025 / len(asked)) / 1.96, rel=0.15)


def test_twenty_intervals_together_leave_the_truth_out_as_seldom_as_one() -> None:
    rng = np.random.default_rng(0)
    half = together(rng.normal(0, 3, 100_000), 20)
    one_is_out = (np.abs(rng.normal(0, 3, (20_000, 20))) > half).any(1).mean()
    assert one_is_out == pytest.approx(0.05, abs=0.006)


def test_the_places_asked_for_are_those_that_would_bring_the_lower_bound_to_three_points() -> None:
    tasks = [task("eurosat")]
    right = {"rgb only": 0.4, "lora r 8": 0.72, "deflect": 0.7, "native": 0.9}
    found = {
        (arm, "eurosat"): [answered(tasks[0], right[arm], TRAINED[arm], seed) for seed in range(3)]
        for arm in right
    }
    rows = list(rows_of("methods", tasks, found))
    value = {row.metric: row for row in summary("methods", rows, tasks, found)}
    held, needed = (
        value["difference to the best rival of at most a tenth"],
        value["places for a lower bound of -3 points"],
    )
    assert held.value > -3 > held.lo  # type: ignore[operator]
    half = (held.hi - held.lo) / 2 * (held.n / needed.value) ** 0.5  # type: ignore[operator]
    assert held.value - half == pytest.approx(-3, abs=0.1)


def test_an_average_of_some_tasks_is_not_written_and_arms_stand_beside_their_own() -> None:
    of = task("eurosat")
    found = {
        (arm, of.name): [answered(of, 0.6, 1, seed) for seed in range(3)] for arm in ("a", "a more", "b")
    }
    rows = list(rows_of("part", [of], found, beside={"b": "a more"}, averaged=False))
    assert not any("average" in row.case for row in rows)
    pairs = {(row.case.split("/")[-1], row.rival) for row in rows if row.metric.endswith("difference")}
    assert pairs == {("a more", "a"), ("b", "a more")}


def test_an_encoder_that_learns_nothing_is_a_rival_and_another_encoder_is_none() -> None:
    tasks = [task("eurosat")]
    right = {**ARMS, "frozen": 0.85, "native": 0.95}
    found = {
        (arm, "eurosat"): [answered(tasks[0], right[arm], TRAINED[arm], seed) for seed in range(3)]
        for arm in right
    }
    rows = list(rows_of("methods", tasks, found))
    held = next(iter(summary("methods", rows, tasks, found)))
    assert held.rival == "frozen"
    assert held.n == 60


def test_the_interval_of_a_spread_holds_the_true_one_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(200):
        spread, low, high = spread_of(rng.normal(0.8, 0.02, (1, 10)))
        assert low < spread < high
        inside += low < 0.02 < high
    assert 0.90 < inside / 200 < 0.99


def test_answers_are_kept_by_what_decides_them(tmp_path: Path) -> None:
    """One file a seed, read when it is asked for again."""
    of = task("eurosat", 48)
    encoder = Encoder(
        EncoderConfig(bands=("blue", "green", "red"), tile=8, patch=8, width=16, depth=1, heads=2)
    )
    (tmp_path / "tiny").mkdir()
    save_encoder(encoder, tmp_path / "tiny" / "encoder.safetensors")
    where = Folders(tmp_path, tmp_path)
    arm = Arm("deflect", "deflect", "tiny", {"layers": "all"})
    recipe = TaskRecipe(steps=3, batch=4)
    first = answer(arm, of, recipe, where, tmp_path / "kept")
    assert set(np.unique(first.answers)) <= {0, 1}
    (kept,) = (tmp_path / "kept").iterdir()
    np.savez(
        kept, answers=1 - first.answers, trained=first.trained, base=first.base
    )  # learning would not say this
    again = answer(arm, of, recipe, where, tmp_path / "kept")
    assert np.array_equal(1 - first.answers, again.answers)
    assert (first.trained, first.base) == (again.trained, again.base)
    renamed = answer(
        Arm("by another name", "deflect", "tiny", {"layers": "all"}), of, recipe, where, tmp_path / "kept"
    )
    assert np.array_equal(renamed.answers, again.answers)


def test_what_decides_an_answer_is_never_answered_by_another(tmp_path: Path) -> None:
    """Seed, steps, a setting, the rate of an arm, the method, labels, pixels, and the weights of the base."""
    of, kept = task("eurosat", 48), tmp_path / "kept"
    where = Folders(tmp_path, tmp_path)
    config = EncoderConfig(bands=("blue", "green", "red"), tile=8, patch=8, width=16, depth=1, heads=2)

    def write(seed: int) -> None:
        torch.manual_seed(seed)
        (tmp_path / "tiny").mkdir(exist_ok=True)
        save_encoder(Encoder(config), tmp_path / "tiny" / "encoder.safetensors")

    write(0)
    arm = Arm("deflect", "deflect", "tiny", {"layers": "all"})
    recipe = TaskRecipe(steps=1, batch=4)
    labels, pixels = 1 - of.data.labels, of.data.pixels + 0.01
    asked = [
        (arm, of, recipe),
        (arm, of, recipe.model_copy(update={"seed": 1})),
        (arm, of, recipe.model_copy(update={"steps": 2})),
        (replace(arm, settings={"layers": "all", "uatt__rank": 4}), of, recipe),
        (replace(arm, rate=3e-4), of, recipe),
        (Arm("bitfit", "bitfit", "tiny"), of, recipe),
        (arm, replace(of, data=replace(of.data, labels=labels)), recipe),
        (arm, replace(of, data=replace(of.data, pixels=pixels)), recipe),
    ]
    for number, one in enumerate(asked, 1):
        answer(*one, where, kept)
        assert len(list(kept.iterdir())) == number
    write(1)
    answer(arm, of, recipe, where, kept)
    assert len(list(kept.iterdir())) == len(asked) + 1


@pytest.mark.parametrize("part", PARTS)
def test_every_arm_can_be_applied_and_learns_from_its_first_step(part: str) -> None:
    """Settings that a method refuses would be found after hours."""
    arms, seeds = PARTS[part]
    assert seeds >= 3
    assert len({arm.name for arm in arms}) == len(arms)
    encoder = Encoder(
        EncoderConfig(bands=("blue", "green", "red"), tile=8, patch=8, width=16, depth=4, heads=2)
    )
    of = task("eurosat", 8)
    for arm in arms:
        if arm.encoder in (GALILEO, ALL_GROUPS):
            continue  # of another family
        # Ranks beyond this width.
        small = {"deflect": {"uatt__rank": 4}, "lora": {"rank": 4}, "slr": {"rank": 4}}
        settings = {**arm.settings, **small.get(arm.method, {})}
        bands = S2_NANO_BANDS if not arm.narrow else of.narrow(arm.narrow)[1]
        data = of.data if not arm.narrow else of.narrow(arm.narrow)[0].data
        adapted = apply(encoder, arm.method, bands, **settings)
        before = {name: value.detach().clone() for name, value in adapted.trained().items()}
        train(adapted, data, TaskRecipe(steps=3, batch=4, rate=0.01))
        moved = [name for name, value in adapted.trained().items() if not torch.equal(before[name], value)]
        assert bool(moved) == bool(before), arm.name
