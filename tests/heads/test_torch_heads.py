"""Attention pooling and dense heads: the computation they claim, what they can learn, and that they are blind to masks."""

from __future__ import annotations

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn

from codec.errors import InputError, LimitExceeded
from codec.heads import dense_linear
from codec.heads.attention import AttentionHead, AttentionPool, fit_attention, token_moments
from codec.heads.dense import DenseHead, fit_conv_dense
from codec.heads.dense_linear import fit_linear_dense
from codec.heads.descent import Schedule, descend
from codec.heads.kinds import KINDS, Fitted, fit_head
from codec.heads.pooling import mean_and_spread
from codec.heads.softmax_path import fit_path
from codec.heads.training_set import TrainingSet, by_token
from codec.heads.validity import filled, require_blind, validity_leak

SHORT = Schedule(steps=120, batch=32, rate=3e-3)


def grids(
    n: int, y: np.ndarray, x: np.ndarray, start: int = 0, valid: np.ndarray | None = None
) -> TrainingSet:
    tile = np.arange(n) + start
    return TrainingSet(x.astype(np.float32), y, tile // 2, tile, np.ones(n), valid)


def needle(n: int, seed: int, start: int = 0) -> TrainingSet:
    """One token of 16 is marked by its first channel and carries the class in two others; the rest is noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4, 4, 6))
    y = np.arange(n) % 2
    at = rng.integers(4, size=(n, 2))
    x[np.arange(n), at[:, 0], at[:, 1], 0] = 6
    x[np.arange(n), at[:, 0], at[:, 1], 1] = np.where(y == 1, 3, -3)
    return grids(n, y, x, start)


def test_attention_pooling_is_torch_s_multi_head_attention_with_one_query() -> None:
    torch.manual_seed(0)
    pool = AttentionPool(6, 3, width=16, heads=4).eval()
    oracle = nn.MultiheadAttention(16, 4, kdim=6, vdim=6, batch_first=True).eval()
    with torch.no_grad():
        oracle.q_proj_weight.copy_(pool.q.weight)
        oracle.k_proj_weight.copy_(pool.k.weight)
        oracle.v_proj_weight.copy_(pool.v.weight)
        oracle.in_proj_bias.copy_(torch.cat([pool.q.bias, pool.k.bias, pool.v.bias]))
        oracle.out_proj.weight.copy_(pool.proj.weight)
        oracle.out_proj.bias.copy_(pool.proj.bias)
        x, valid = torch.randn(5, 9, 6), (torch.rand(5, 9) < 0.6).float()
        valid[:, 0] = 1
        query = pool.latent.expand(5, 1, 16)
        y = oracle(query, x, x, key_padding_mask=valid < 0.5)[0][:, 0]
        y = y + pool.fc2(nn.functional.gelu(pool.fc1(pool.norm(y))))
        torch.testing.assert_close(pool(x, valid), pool.linear(y), atol=1e-5, rtol=1e-4)


def test_attention_finds_the_token_that_matters_where_the_mean_does_not() -> None:
    train, held = needle(120, 0), needle(60, 1, 1000)
    head = fit_attention(train, held, 2, schedule=SHORT, width=32, heads=4)
    assert (head.predict(held.x) == held.y).mean() > 0.9


def test_moments_are_those_of_the_valid_tokens() -> None:
    rng = np.random.default_rng(0)
    x, valid = rng.standard_normal((5, 2, 3, 4)).astype(np.float32), rng.random((5, 2, 3)) < 0.6
    weight = np.array([1, 2, 3, 1, 2])
    x[~valid] = np.nan
    mean, spread = token_moments(TrainingSet(x, np.arange(5), np.arange(5), np.arange(5), weight, valid))
    repeated = np.concatenate([np.repeat(x[i][valid[i]], w, axis=0) for i, w in enumerate(weight)])
    np.testing.assert_allclose(mean, repeated.mean(0), atol=1e-5)
    np.testing.assert_allclose(spread, repeated.std(0), atol=1e-5)


def test_the_same_seed_gives_the_same_head_and_leaves_torch_s_generator_alone() -> None:
    train = needle(24, 0)
    before = torch.get_rng_state()
    a, b = (
        fit_attention(train, None, 2, schedule=Schedule(steps=5), width=16, heads=2, seed=4) for _ in range(2)
    )
    assert np.array_equal(a.logits(train.x), b.logits(train.x))
    assert torch.equal(before, torch.get_rng_state())


def maps(n: int, seed: int, factor: int = 1, start: int = 0) -> TrainingSet:
    """Three classes per place, each a linear map of the token plus noise; a tenth unlabelled, some tokens invalid."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3, 4, 5))
    w = np.random.default_rng(77).standard_normal((5, factor**2, 3))
    z = np.einsum("nhwc,cpk->nhwpk", x, w) + rng.gumbel(size=(n, 3, 4, factor**2, 3))
    y = z.argmax(-1).reshape(n, 3, 4, factor, factor).swapaxes(2, 3).reshape(n, 3 * factor, 4 * factor)
    return grids(n, y, x, start)


def test_the_linear_dense_head_on_the_token_grid_is_the_probe_of_tokens() -> None:
    train, held = maps(40, 0), maps(10, 1, start=1000)
    train.y[np.random.default_rng(3).random(train.y.shape) < 0.1] = -1
    head = fit_linear_dense(train, held, 3, penalties=[0.01])
    flat = by_token(train)
    # Both standardise: the head by all tokens, the probe by the labelled ones; weighted here so that the two agree.
    probe = fit_path(flat.x, flat.y, 3, [0.01], flat.weight)[0]
    expected = probe.logits(held.x.reshape(-1, 5)).reshape((*held.y.shape, 3))
    found = head.logits(held.x)
    found, expected = (z - z.mean(-1, keepdims=True) for z in (found, expected))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.abs(expected).max())


def test_finer_labels_are_one_regression_for_each_place_in_a_token() -> None:
    train, held = maps(40, 0, factor=2), maps(10, 1, factor=2, start=1000)
    head = fit_linear_dense(train, held, 3, penalties=[0.01])
    found = head.logits(held.x)
    assert found.shape == (10, 6, 8, 3)
    for row in range(2):
        for col in range(2):
            y = train.y[:, row::2, col::2].reshape(-1)
            probe = fit_path(train.x.reshape(-1, 5), y, 3, [0.01])[0]
            expected = probe.logits(held.x.reshape(-1, 5)).reshape(10, 3, 4, 3)
            place = found[:, row::2, col::2]
            a, b = (z - z.mean(-1, keepdims=True) for z in (place, expected))
            np.testing.assert_allclose(a, b, atol=0.01 * np.abs(b).max())


def test_the_penalty_of_the_linear_dense_head_is_the_one_that_serves_validation() -> None:
    train, held = maps(12, 0), maps(40, 1, start=1000)
    lost = TrainingSet(
        held.x, np.random.default_rng(0).integers(0, 3, held.y.shape), held.groups, held.tile, held.weight
    )
    strong = fit_linear_dense(train, lost, 3, penalties=[1e-4, 10.0])
    weak = fit_linear_dense(train, held, 3, penalties=[1e-4, 10.0])
    assert np.abs(strong.logits(held.x)).std() < 0.1 * np.abs(weak.logits(held.x)).std()
    folded = fit_linear_dense(train, None, 3, penalties=[1e-4, 10.0])
    np.testing.assert_allclose(folded.logits(held.x), weak.logits(held.x), atol=0.05)


def left_neighbour(n: int, seed: int, start: int = 0) -> TrainingSet:
    """The class of a token is the sign of the first channel of the token to its left: no linear head can know it."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 4, 6, 3))
    y = np.zeros((n, 4, 6), np.int64)
    y[:, :, 1:] = x[:, :, :-1, 0] > 0
    y[:, :, 0] = -1
    return grids(n, y, x, start)


def test_the_convolution_learns_from_neighbours_what_a_linear_head_cannot() -> None:
    train, held = left_neighbour(150, 0), left_neighbour(40, 1, 1000)
    line = fit_linear_dense(train, held, 2)
    conv = fit_conv_dense(train, held, 2, start=line, schedule=Schedule(steps=150, batch=32, rate=5e-3))
    known = held.y >= 0
    assert (line.predict(held.x) == held.y)[known].mean() < 0.6
    assert (conv.predict(held.x) == held.y)[known].mean() > 0.85


def test_a_correction_that_does_not_help_on_validation_is_not_taken() -> None:
    train, held = maps(16, 0), maps(30, 1, start=1000)
    noise = TrainingSet(
        train.x,
        np.random.default_rng(0).integers(0, 3, train.y.shape),
        train.groups,
        train.tile,
        train.weight,
    )
    line = fit_linear_dense(train, held, 3)
    conv = fit_conv_dense(
        noise, held, 3, start=line, schedule=Schedule(steps=20, batch=8, rate=0.05, checks=1)
    )
    np.testing.assert_allclose(conv.logits(held.x), line.logits(held.x), atol=1e-5)
    with pytest.raises(InputError, match="another shape"):
        fit_conv_dense(maps(8, 0, factor=2), None, 3, start=line)


@pytest.mark.parametrize("fit", [fit_linear_dense, fit_conv_dense], ids=["linear", "conv"])
def test_nothing_is_learnt_where_nothing_was_measured(fit) -> None:  # type: ignore[no-untyped-def]
    """Other labels and other values in invalid tokens: the same head."""
    train = maps(12, 0, factor=2)
    valid = np.random.default_rng(5).random((12, 3, 4)) < 0.7
    spoilt_x, spoilt_y = train.x.copy(), train.y.copy()
    spoilt_x[~valid] = np.nan
    spoilt_y[~valid.repeat(2, 1).repeat(2, 2)] = 0
    options = {"penalties": [0.01]} if fit is fit_linear_dense else {"schedule": Schedule(steps=5, batch=4)}
    a, b = (
        fit(grids(12, y, x, valid=valid), None, 3, **options)
        for x, y in ((train.x, train.y), (spoilt_x, spoilt_y))
    )
    np.testing.assert_array_equal(a.logits(train.x, valid), b.logits(spoilt_x, valid))


def test_too_many_places_for_one_solution_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_linear, "_MOST_LOGITS", 100)
    with pytest.raises(LimitExceeded, match="fewer tiles or rates"):
        fit_linear_dense(maps(10, 0), maps(4, 1, start=1000), 3)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    line = nn.Linear(1, 1)
    with pytest.raises(InputError, match="not finite at step 0"):
        descend(
            line,
            [{"params": list(line.parameters())}],
            lambda i: line.weight.sum() * float("inf"),
            4,
            None,
            SHORT,
            seed=0,
        )


def test_invalid_tokens_are_filled_with_the_mean_of_the_valid_ones() -> None:
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 2, 2)
    valid = np.array([[[True, False], [True, False]]])
    got = filled(x, valid)
    assert got[0, :, 0].tolist() == [[0, 1], [4, 5]]
    assert got[0, 0, 1].tolist() == got[0, 1, 1].tolist() == [2, 3]
    assert not filled(x, np.zeros((1, 2, 2), bool)).any()


@functools.cache
def fitted(name: str):  # type: ignore[no-untyped-def]
    """A head of each kind, trained for a few steps only."""
    rng = np.random.default_rng(0)
    x, valid = rng.standard_normal((24, 3, 4, 5)), rng.random((24, 3, 4)) < 0.8
    valid[:, 0, 0] = True
    kind, brief = KINDS[name], Schedule(steps=8, batch=8)
    y = np.arange(24) % 3 if kind.target == "class" else rng.integers(0, 3, (24, 6, 8))
    if kind.target == "values":
        y = rng.standard_normal((24, 2)).astype(np.float32)
    train = grids(24, y, x, valid=valid)
    if name == "attention":
        return Fitted(kind, fit_attention(train, None, 3, schedule=brief))
    if name == "dense-conv":
        return Fitted(kind, fit_conv_dense(train, None, 3, schedule=brief))
    return fit_head(name, train, None, 3)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_no_head_sees_validity(name: str) -> None:
    require_blind(fitted(name).outputs, (3, 4, 5))


def planted_share(x: np.ndarray, validity: np.ndarray) -> np.ndarray:
    """A head whose features are the pooled tokens *and* the share of valid tokens."""
    return mean_and_spread(filled(x, validity), validity).sum(1) + 0.05 * validity.mean((1, 2))


def planted_zeros(x: np.ndarray, validity: np.ndarray) -> np.ndarray:
    """A head that pools zeros where tokens are invalid: their number moves its answer."""
    return (x * validity[..., None]).mean((1, 2))


def planted_reader(x: np.ndarray, validity: np.ndarray) -> np.ndarray:
    """A head that ignores the mask and reads what was not measured."""
    return x.mean((1, 2))


@pytest.mark.parametrize("planted", [planted_share, planted_zeros, planted_reader])
def test_a_head_that_sees_validity_is_caught(planted) -> None:  # type: ignore[no-untyped-def]
    assert validity_leak(planted, (3, 4, 5)) > 0.01
    with pytest.raises(InputError, match="sees validity"):
        require_blind(planted, (3, 4, 5))


def test_a_dense_head_on_zero_filled_tokens_is_caught() -> None:
    """The convolution draws the mask's outline; the same head on filled tokens does not."""
    head = copy.deepcopy(fitted("dense-conv").head)
    assert isinstance(head, DenseHead)
    with torch.no_grad():
        head.module.more.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    require_blind(head.logits, (3, 4, 5))
    with pytest.raises(InputError, match="sees validity"):
        require_blind(lambda x, validity: head.logits(x * validity[..., None]), (3, 4, 5))


def test_an_attention_head_without_its_mask_is_caught() -> None:
    head = fitted("attention").head
    assert isinstance(head, AttentionHead)
    with pytest.raises(InputError, match="sees validity"):
        require_blind(lambda x, validity: head.logits(x), (3, 4, 5))
