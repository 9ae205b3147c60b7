"""Heads in three regimes, against an independent solver and against what noise must do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from codec.errors import InputError
from codec.evaluate.rate.protocol import resamples
from codec.evaluate.rate.scoring import answers
from codec.evaluate.rate.targets import Samples

N, F, K = 300, 10, 3


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, Samples, list[tuple[np.ndarray, np.ndarray]]]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, N)
    x = (rng.standard_normal((K, F))[y] + rng.standard_normal((N, F))).astype(np.float32)
    fit = np.arange(N) < 200
    return x, Samples(y, np.arange(N), np.arange(N)), [(fit, ~fit)]


def test_one_head_is_the_solution_of_the_same_penalised_problem(world) -> None:
    x, samples, folds = world
    penalty = 0.03
    found = answers({"uncompressed": x}, {}, samples, folds, K, "one", n_resamples=2, penalties=[penalty])
    fit, held = folds[0]
    for r, kept in enumerate(resamples(samples.groups[fit], 2)):
        use = np.flatnonzero(fit)[kept]
        scale = StandardScaler().fit(x[use])
        model = LogisticRegression(C=1 / (penalty * len(use)), tol=1e-8, max_iter=5000)
        model.fit(scale.transform(x[use]), samples.y[use])
        p = model.predict_proba(scale.transform(x[held]))
        expected = -np.log(p[np.arange(held.sum()), samples.y[held]])
        assert found.loss[r, 0, held] == pytest.approx(expected, abs=2e-3)
        assert (found.predicted[r, 0, held] == p.argmax(1)).mean() > 0.98
    assert np.isnan(found.loss[:, :, fit]).all()


def test_a_regression_is_ridge_and_its_loss_the_squared_error(world) -> None:
    x, samples, folds = world
    y = x[:, 0] * 2 - x[:, 3] + 1.5
    found = answers(
        {"uncompressed": x}, {}, Samples(y, samples.groups, samples.tile), folds, 0, "one",
        n_resamples=1, penalties=[0.1],
    )  # fmt: skip
    fit, held = folds[0]
    use = np.flatnonzero(fit)[next(iter(resamples(samples.groups[fit], 1)))]
    scale = StandardScaler().fit(x[use])
    model = Ridge(alpha=0.1 * len(use)).fit(scale.transform(x[use]), y[use])
    expected = model.predict(scale.transform(x[held]))
    assert found.predicted[0, 0, held] == pytest.approx(expected, abs=1e-3)
    assert found.loss[0, 0, held] == pytest.approx((expected - y[held]) ** 2, abs=1e-3)


def noisy(x: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Shrunk, biased and noisy, as coarse quantisation leaves features."""
    rng = np.random.default_rng(seed)
    bias = level * np.linspace(-3, 3, x.shape[1])
    return ((1 - level) * x + bias + 0.3 * level * rng.standard_normal(x.shape)).astype(np.float32)


def test_the_regimes_differ_as_they_must(world) -> None:
    """At a coarse rate a head per rate is no worse than one head, and so is a mixed one."""
    x, samples, folds = world
    features = {"uncompressed": x, "fine": noisy(x, 0.05, 1), "coarse": noisy(x, 0.5, 2)}
    sizes = {"fine": 100.0, "coarse": 10.0}
    held = folds[0][1]
    loss = {
        regime: answers(features, sizes, samples, folds, K, regime, penalties=[0.01])
        .loss[:, :, held]
        .mean((0, 2))
        for regime in ("one", "mixed", "per-rate")
    }
    assert loss["one"][0] == pytest.approx(loss["per-rate"][0])
    assert loss["per-rate"][2] < loss["one"][2]
    assert loss["mixed"][2] < loss["one"][2]


def test_answers_depend_only_on_what_a_head_may_see(world) -> None:
    """Held-out features of one setting change nothing about another; held-out labels change no prediction."""
    x, samples, folds = world
    held = folds[0][1]
    features = {"uncompressed": x, "coarse": noisy(x, 0.5, 2)}
    plain = answers(features, {"coarse": 1.0}, samples, folds, K, "mixed", n_resamples=1, penalties=[0.01])
    other = {**features, "coarse": np.where(held[:, None], 0, features["coarse"])}
    changed = answers(other, {"coarse": 1.0}, samples, folds, K, "mixed", n_resamples=1, penalties=[0.01])
    assert np.array_equal(plain.predicted[:, 0, held], changed.predicted[:, 0, held])
    labels = np.where(held, (samples.y + 1) % K, samples.y)
    relabelled = answers(
        features, {"coarse": 1.0}, Samples(labels, samples.groups, samples.tile), folds, K, "mixed",
        n_resamples=1, penalties=[0.01],
    )  # fmt: skip
    assert np.array_equal(plain.predicted[:, :, held], relabelled.predicted[:, :, held])


def test_test_rows_in_training_are_refused(world) -> None:
    x, samples, folds = world
    fit, held = folds[0]
    leaked = fit.copy()
    leaked[np.flatnonzero(held)[0]] = True
    with pytest.raises(InputError, match="both fitted on and scored"):
        answers({"uncompressed": x}, {}, samples, [(leaked, held)], K, "one")


def test_bad_features_are_refused_by_name(world) -> None:
    x, samples, folds = world
    broken = x.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="'coarse' are not finite"):
        answers({"uncompressed": x, "coarse": broken}, {"coarse": 1.0}, samples, folds, K, "one")
    with pytest.raises(InputError, match="uncompressed"):
        answers({"coarse": x}, {"coarse": 1.0}, samples, folds, K, "one")
    single = Samples(np.zeros(N, int), samples.groups, samples.tile)
    with pytest.raises(InputError, match="single class"):
        answers({"uncompressed": x}, {}, single, folds, K, "one")
