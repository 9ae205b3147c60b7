"""Neighbours, probe and ridge against scikit-learn, and what their choices are made on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier

from codec.errors import InputError
from codec.heads.neighbours import fit_neighbours
from codec.heads.probe import fit_probe
from codec.heads.ridge import RidgePath, fit_ridge
from codec.heads.softmax_path import fit_path
from codec.heads.training_set import TrainingSet


def labelled(n: int = 120, width: int = 10, seed: int = 0) -> TrainingSet:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 4
    centre = np.random.default_rng(99).standard_normal((4, width))
    x = (1.5 * rng.standard_normal((n, width)) + centre[y]) * np.geomspace(5, 0.1, width) + 2
    return TrainingSet(
        x.astype(np.float32), y, np.arange(n) // 4 + 1000 * seed, np.arange(n), rng.uniform(0.2, 1, n)
    )


def standardised(train: TrainingSet, x: np.ndarray) -> np.ndarray:
    mean = np.average(train.x, axis=0, weights=train.weight)
    spread = np.sqrt(np.average((train.x - mean) ** 2, axis=0, weights=train.weight))
    return (x - mean) / spread


def plain_weights(samples: TrainingSet) -> TrainingSet:
    return TrainingSet(samples.x, samples.y, samples.groups, samples.tile, np.ones(len(samples)))


@pytest.mark.parametrize(("k", "temperature"), [(20, 0.07), (5, None)], ids=["weighted", "plain"])
def test_shares_of_votes_are_scikit_learn_s(k: int, temperature: float | None) -> None:
    train, held = plain_weights(labelled()), labelled(40, seed=1)
    head = fit_neighbours(train, 4, k=k, temperature=temperature)
    weights = "uniform" if temperature is None else lambda d: np.exp((1 - d) / temperature)
    oracle = KNeighborsClassifier(k, metric="cosine", weights=weights)
    oracle.fit(standardised(train, train.x), train.y)
    expected = oracle.predict_proba(standardised(train, held.x))
    np.testing.assert_allclose(head.shares(held.x), expected, atol=2e-4)
    np.testing.assert_allclose(np.exp(head.logits(held.x)), np.maximum(expected, 1e-6), atol=2e-4)


def test_a_bank_of_copies_votes_like_the_bank() -> None:
    """The same tiles at three rates that lost nothing: k tiles' worth of votes, so nothing changes."""
    train, held = plain_weights(labelled()), labelled(40, seed=1)
    three = TrainingSet(
        np.tile(train.x, (3, 1)), np.tile(train.y, 3), np.tile(train.groups, 3), np.tile(train.tile, 3), np.full(360, 1 / 3)
    )  # fmt: skip
    np.testing.assert_allclose(
        fit_neighbours(three, 4).shares(held.x), fit_neighbours(train, 4).shares(held.x), atol=2e-4
    )


def test_a_bank_smaller_than_k_votes_as_a_whole() -> None:
    train = plain_weights(labelled(8))
    head = fit_neighbours(train, 4, k=20, temperature=None)
    assert head.shares(train.x) == pytest.approx(0.25)
    with pytest.raises(InputError, match="at least 1"):
        fit_neighbours(train, 4, k=0)


@pytest.mark.parametrize("penalty", [0.01, 0.3])
def test_the_weighted_probe_is_scikit_learn_s_logistic_regression(penalty: float) -> None:
    """Their objective is C · Σ wᵢ lossᵢ + |W|²/2: C = 1 / (penalty · Σ w)."""
    train, held = labelled(), labelled(40, seed=1)
    head = fit_path(train.x, train.y, 4, [penalty], train.weight)[0]
    oracle = LogisticRegression(C=1 / (penalty * train.weight.sum()), max_iter=5000, tol=1e-10)
    oracle.fit(standardised(train, train.x), train.y, sample_weight=train.weight)
    logits = head.logits(held.x).astype(np.float64)
    found = np.exp(logits - logits.max(1, keepdims=True))
    found /= found.sum(1, keepdims=True)
    np.testing.assert_allclose(found, oracle.predict_proba(standardised(train, held.x)), atol=1e-3)


def test_the_penalty_of_the_probe_is_the_one_that_serves_validation() -> None:
    """Validation whose labels are those of chance wants the strongest, validation like training one of the weaker."""
    train, held = labelled(60), labelled(200, seed=1)
    grid = (1e-4, 1e-2, 1.0)
    strongest, weakest = (fit_path(train.x, train.y, 4, [p], train.weight)[0] for p in (1.0, 1e-4))
    lost = TrainingSet(
        held.x, np.random.default_rng(5).integers(0, 4, 200), held.groups, held.tile, held.weight
    )
    np.testing.assert_allclose(fit_probe(train, lost, 4, penalties=grid).weight, strongest.weight, atol=1e-5)
    same = TrainingSet(train.x, train.y, train.groups + 5000, train.tile, train.weight)
    np.testing.assert_allclose(fit_probe(train, same, 4, penalties=grid).weight, weakest.weight, atol=2e-2)


@pytest.mark.parametrize("folded", [False, True], ids=["validation", "folds"])
def test_samples_that_weigh_next_to_nothing_choose_no_penalty(folded: bool) -> None:
    """Most of what judges has labels of chance. Weighing nothing, it leaves the choice to the rest."""
    clean, chance = labelled(60), labelled(480, seed=2)
    wrong = np.random.default_rng(5).integers(0, 4, 480)
    for weight, expected in ((1e-9, 0.05), (1e9, 10.0)):
        both = TrainingSet(
            np.concatenate([clean.x, chance.x]),
            np.concatenate([clean.y, wrong]),
            np.arange(540),
            np.arange(540),
            np.repeat([1.0, weight], [60, 480]),
        )
        train = (
            both if folded else TrainingSet(clean.x, clean.y, 1000 + clean.groups, clean.tile, np.ones(60))
        )
        head = fit_probe(train, None if folded else both, 4, penalties=(0.05, 10.0))
        plain = fit_path(train.x, train.y, 4, [expected], train.weight)[0]
        np.testing.assert_allclose(head.weight, plain.weight, atol=1e-3 * np.abs(plain.weight).max())


def test_a_probe_learns_and_never_mixes_the_sides() -> None:
    train, held = labelled(), labelled(200, seed=1)
    assert (fit_probe(train, None, 4).predict(held.x) == held.y).mean() > 0.6
    with pytest.raises(InputError, match="both training and validation"):
        fit_probe(train, train, 4)
    with pytest.raises(InputError, match="one group"):
        fit_probe(TrainingSet(train.x, train.y, 0 * train.groups, train.tile, train.weight), None, 4)
    with pytest.raises(InputError, match="pool the tokens"):
        fit_probe(
            TrainingSet(train.x.reshape(-1, 1, 2, 5), train.y, train.groups, train.tile, train.weight),
            None,
            4,
        )


def regression(n: int, width: int, seed: int) -> TrainingSet:
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((n, width)) * np.geomspace(20, 0.05, width)).astype(np.float32) + 3
    true = np.random.default_rng(42).standard_normal((width, 2)) / np.geomspace(20, 0.05, width)[:, None]
    y = x @ true + np.array([100.0, -3]) + 0.5 * rng.standard_normal((n, 2))
    return TrainingSet(
        x, y.astype(np.float32), np.arange(n) // 3 + 1000 * seed, np.arange(n), rng.uniform(0.2, 1, n)
    )


@pytest.mark.parametrize(("n", "width"), [(80, 6), (30, 50)], ids=["more samples", "more features"])
def test_ridge_is_scikit_learn_s(n: int, width: int) -> None:
    """Theirs is Σ wᵢ errorᵢ² + α |w|² over centred features: α = penalty · Σ w on standardised ones."""
    train, held = regression(n, width, 0), regression(20, width, 1)
    found = RidgePath(train).fit(np.array([0.01, 1.0])).logits(held.x)
    for target, penalty in enumerate((0.01, 1.0)):
        oracle = Ridge(alpha=penalty * train.weight.sum())
        oracle.fit(standardised(train, train.x), train.y[:, target], sample_weight=train.weight)
        expected = oracle.predict(standardised(train, held.x))
        np.testing.assert_allclose(found[:, target], expected, atol=2e-3 * expected.std())


def test_each_target_of_ridge_has_the_penalty_that_serves_validation() -> None:
    train, held = regression(60, 6, 0), regression(80, 6, 1)
    noise = np.random.default_rng(0).standard_normal(60).astype(np.float32)
    train = TrainingSet(train.x, np.stack([train.y[:, 0], noise], 1), train.groups, train.tile, train.weight)
    other = np.random.default_rng(1).standard_normal(80).astype(np.float32)
    held = TrainingSet(held.x, np.stack([held.y[:, 0], other], 1), held.groups, held.tile, held.weight)
    head = fit_ridge(train, held)
    explained = 1 - ((head.logits(held.x)[:, 0] - held.y[:, 0]) ** 2).mean() / held.y[:, 0].var()
    assert explained > 0.8
    spread = train.x.std(0)
    assert (
        np.abs(head.weight[:, 1] * spread).max() < 0.02
    )  # nothing to learn: the strongest penalty, next to no weight
    folded = fit_ridge(train, None)
    assert 1 - ((folded.logits(held.x)[:, 0] - held.y[:, 0]) ** 2).mean() / held.y[:, 0].var() > 0.8


def test_a_target_of_one_value_is_refused() -> None:
    train = regression(20, 3, 0)
    flat = TrainingSet(train.x, np.zeros(20, np.float32), train.groups, train.tile, train.weight)
    with pytest.raises(InputError, match="one value"):
        fit_ridge(flat, None)
    with pytest.raises(InputError, match="both training and validation"):
        fit_ridge(train, train)
