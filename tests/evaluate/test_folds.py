"""No place is on both sides of a fold; held-out scores are what a fit without the fold gives."""

from __future__ import annotations

import numpy as np
import pytest

from codec.evaluate import folds
from codec.evaluate.folds import (
    held_out_logits,
    held_out_neighbours,
    neighbours_correct,
    quick_held_out_logits,
)
from codec.evaluate.probes import cross_entropy, grouped_folds


def labelled(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    x = (rng.standard_normal((n, 12)) + 1.2 * rng.standard_normal((3, 12))[y]).astype(np.float32)
    return x, y, np.sort(rng.integers(0, 30, n))


def centred(logits: np.ndarray) -> np.ndarray:
    """Less their mean over the classes, which probabilities do not depend on."""
    return logits - logits.mean(1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_no_group_is_on_both_sides_of_a_fold_and_folds_hold_equally_many(seed: int) -> None:
    groups = np.random.default_rng(seed).integers(0, 43, 300) * 17
    fold = grouped_folds(groups, 5, seed)
    assert all(len(np.unique(fold[groups == g])) == 1 for g in np.unique(groups))
    sizes = [len(np.unique(groups[fold == k])) for k in range(5)]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("function", [held_out_logits, quick_held_out_logits])
def test_a_fit_never_sees_the_group_it_is_scored_on(
    function: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each group carries its number as a feature; every fit and every choice of a penalty is watched."""
    x, y, groups = labelled()
    x[:, 0] = groups
    seen: list[set[int]] = []
    scored: list[set[int]] = []

    class Watched:
        def __init__(self, fit_x: np.ndarray, *args: object, **kw: object) -> None:
            seen.append(set(fit_x[:, 0].astype(int).tolist()))

        def logits(self, z: np.ndarray) -> np.ndarray:
            scored.append(set(z[:, 0].astype(int).tolist()))
            assert not scored[-1] & seen[-1]
            return np.zeros((len(z), 3), np.float32)

    monkeypatch.setattr(folds, "fit_path", lambda fit_x, y, k, grid: [Watched(fit_x) for _ in grid])
    monkeypatch.setattr(folds, "fit_probe", Watched)
    function(x, y, groups, 3)  # type: ignore[operator]
    assert set().union(*scored) == set(groups.tolist())


def test_the_quick_form_takes_no_penalty_from_the_fold_it_scores() -> None:
    """Changing the labels of one fold may not change the penalty it gets, but may change those of the others."""
    x, y, groups = labelled()
    fold = grouped_folds(groups, 5, 0)
    grid = (1e-3, 1e2)
    before = quick_held_out_logits(x, y, groups, 3, grid=grid)
    only = {p: quick_held_out_logits(x, y, groups, 3, grid=(p,)) for p in grid}
    for k in range(5):
        other = fold != k
        loss = {p: cross_entropy(only[p], y)[other].sum() for p in grid}
        best = min(loss, key=lambda p: loss[p])
        found, expected = before[fold == k], only[best][fold == k]
        assert np.allclose(
            centred(found), centred(expected), atol=1e-3
        )  # the grid is walked, not jumped into


def test_the_quick_form_is_as_good_as_the_nested_one() -> None:
    """Stated tolerance for choosing: accuracy within two points and log-loss within 0.02 on well-separated classes."""
    x, y, groups = labelled(400, 2)
    slow, quick = held_out_logits(x, y, groups, 3), quick_held_out_logits(x, y, groups, 3)
    assert abs((slow.argmax(1) == y).mean() - (quick.argmax(1) == y).mean()) <= 0.02
    assert abs(cross_entropy(slow, y).mean() - cross_entropy(quick, y).mean()) <= 0.02


def test_cross_entropy_of_known_probabilities() -> None:
    logits = np.log(np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]], np.float32))
    assert cross_entropy(logits, np.array([0, 2])) == pytest.approx([np.log(2), -np.log(0.8)], rel=1e-6)


def test_neighbours_vote_by_direction() -> None:
    train = np.array([[1, 0], [2, 0.1], [0, 1], [0.1, 2]], np.float32)
    y = np.array([0, 0, 1, 1])
    right = neighbours_correct(train, y, np.array([[5, 0], [0, 5]], np.float32), np.array([0, 0]), k=2)
    assert right.tolist() == [1.0, 0.0]


def test_neighbours_of_the_same_place_do_not_vote() -> None:
    """Each place has its own direction and label: without the place nobody knows the answer."""
    groups = np.repeat(np.arange(10), 6)
    x = np.eye(10, dtype=np.float32)[groups]
    assert held_out_neighbours(x, groups % 2, groups).mean() < 1.0
    assert held_out_neighbours(x, groups, groups).sum() == 0.0
