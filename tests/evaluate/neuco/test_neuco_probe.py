"""The probe of all splits and tasks at once against one torch layer per split and task, trained as published."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from codec.errors import InputError
from codec.evaluate.neuco.probe import probe
from codec.evaluate.neuco.protocol import (
    Protocol,
    Splits,
    Standardised,
    Task,
    scaled,
    splits_of,
    standardised,
)

SMALL = Protocol(splits=3, epochs=4, batch=16, learning_rate=0.02)


def made(n: int, width: int, seed: int = 0) -> tuple[np.ndarray, list[Task]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, width)).astype(np.float32)
    ids = tuple(str(i) for i in range(n))
    number = x @ rng.normal(size=width) + 0.1 * rng.normal(size=n)
    return x, [
        Task("number", "regression", ids, number),
        Task("sign", "classification", ids, (number > 0.3).astype(float)),
    ]


def one_by_one(x: Standardised, tasks: list[Task], splits: Splits, protocol: Protocol) -> np.ndarray:
    """T×S×E scores by the published loop: a layer on all 1,024 columns, its own optimiser, its own metric.

    Begins from the same draws: weights and biases of all probes, then one order of the training rows per split and epoch.
    """
    generator = torch.Generator().manual_seed(protocol.seed)
    n_splits, n_tasks, columns = len(splits.train), len(tasks), x.whole.shape[1]
    bound = columns**-0.5
    weights = (2 * torch.rand(n_splits, columns, n_tasks, generator=generator) - 1) * bound
    biases = (2 * torch.rand(n_splits, 1, n_tasks, generator=generator) - 1) * bound
    orders = [
        [torch.randperm(splits.train.shape[1], generator=generator) for _ in range(n_splits)]
        for _ in range(protocol.epochs * protocol.passes)
    ]
    features = torch.from_numpy(x.whole)
    scores = np.zeros((n_tasks, n_splits, protocol.epochs))
    for t, task in enumerate(tasks):
        y = torch.from_numpy(scaled(task.labels).astype(np.float32))
        loss_of = nn.BCEWithLogitsLoss() if task.kind == "classification" else nn.MSELoss()
        for s in range(n_splits):
            layer = nn.Linear(columns, 1)
            with torch.no_grad():
                layer.weight.copy_(weights[s, :, t][None])
                layer.bias.copy_(biases[s, :, t])
            optimiser = torch.optim.AdamW(layer.parameters(), lr=protocol.learning_rate)
            train, held_out = torch.from_numpy(splits.train[s]), torch.from_numpy(splits.held_out[s])
            for step in range(protocol.epochs * protocol.passes):
                for rows in train[orders[step][s]].split(protocol.batch):
                    optimiser.zero_grad()
                    loss_of(layer(features[rows]).view(-1), y[rows]).backward()
                    optimiser.step()
                with torch.no_grad():
                    found, truth = layer(features[held_out]).view(-1).numpy(), y[held_out].numpy()
                if task.kind == "classification":
                    hits = ((found > 0) & (truth == 1)).sum()
                    score = 2 * hits / max((found > 0).sum() + (truth == 1).sum(), 1)
                else:
                    score = 1 - ((truth - found) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
                scores[t, s, step // protocol.passes] = score
    return scores


@pytest.mark.parametrize("width", [5, 1024])
def test_all_probes_at_once_are_each_probe_alone(width: int) -> None:
    """Five columns: 1,019 padded ones are one weight here and 1,019 there."""
    x, tasks = made(60, width)
    z, splits = standardised(x), splits_of(60, SMALL)
    ours = np.stack([scores.per_epoch for scores in probe(z, tasks, splits, SMALL)])
    np.testing.assert_allclose(ours, one_by_one(z, tasks, splits, SMALL), rtol=1e-3, atol=2e-3)


def test_passes_lengthen_an_epoch_but_add_no_chance_to_choose() -> None:
    x, tasks = made(60, 5)
    protocol = Protocol(splits=3, epochs=2, batch=16, learning_rate=0.02, passes=3)
    z, splits = standardised(x), splits_of(60, protocol)
    found = probe(z, tasks, splits, protocol)
    assert found[0].per_epoch.shape == (3, 2)
    ours = np.stack([scores.per_epoch for scores in found])
    np.testing.assert_allclose(ours, one_by_one(z, tasks, splits, protocol), rtol=1e-3, atol=2e-3)


def test_a_linear_rule_is_learnt_and_a_random_label_is_not() -> None:
    x, tasks = made(400, 20)
    noise = Task("noise", "regression", tasks[0].ids, np.random.default_rng(9).normal(size=400))
    protocol = Protocol(splits=5, passes=30)
    number, sign, nothing = probe(standardised(x), [*tasks, noise], splits_of(400, protocol), protocol)
    assert number.plain.mean() > 0.95
    assert sign.plain.mean() > 0.85
    assert nothing.plain.mean() < 0.1


def test_the_published_score_is_the_best_epoch_on_the_held_out_part() -> None:
    x, tasks = made(60, 5)
    scores = probe(standardised(x), tasks, splits_of(60, SMALL), SMALL)[1]
    np.testing.assert_array_equal(scores.published, scores.per_epoch.max(axis=1))
    np.testing.assert_array_equal(scores.plain, scores.per_epoch[:, -1])
    assert (scores.published >= scores.plain).all()


def test_a_held_out_part_without_a_positive_says_nothing_in_the_plain_score() -> None:
    x, tasks = made(40, 5)
    labels = np.zeros(40)
    labels[:2] = 1
    rare = Task("rare", "classification", tasks[0].ids, labels)
    splits = Splits(np.array([np.arange(4, 40), np.r_[0, 1, 6:40]]), np.array([[0, 1, 2, 3], [2, 3, 4, 5]]))
    scores = probe(standardised(x), [rare], splits, SMALL)[0]
    assert np.isfinite(scores.plain).tolist() == [True, False]
    assert np.isfinite(scores.published).all()  # published: F1 of nothing is 0


def test_tasks_of_other_items_are_refused() -> None:
    x, tasks = made(40, 5)
    other = Task("other", "regression", tuple(reversed(tasks[0].ids)), tasks[0].labels)
    with pytest.raises(InputError, match="same items"):
        probe(standardised(x), [tasks[0], other], splits_of(40, SMALL), SMALL)
