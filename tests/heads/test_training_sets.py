"""One set for all rates: no tile counts more than another, few labels are nested, and bad input has its own error."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from codec.errors import InputError
from codec.heads.kinds import KINDS, fit_head
from codec.heads.label_shares import (
    SHARES,
    nested_counts,
    nested_shares,
    strata_of_maps,
    strata_of_values,
)
from codec.heads.regimes import MIXED, REGIMES, UNCOMPRESSED, head_for, rates_to_mix, training_sets
from codec.heads.training_set import TrainingSet, by_token, pooled, require_apart


def vectors(n: int = 30, width: int = 4, n_classes: int = 3, seed: int = 0) -> TrainingSet:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    x = rng.standard_normal((n, width)).astype(np.float32)
    x[:, 0] += 2 * y
    return TrainingSet(x, y, np.arange(n) // 3, np.arange(n), np.ones(n))


def settings(n: int = 6) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {name: rng.standard_normal((n, 2, 2, 3)).astype(np.float32) for name in (UNCOMPRESSED, "q4", "q8")}


def test_each_regime_trains_on_the_rates_of_its_name() -> None:
    features, y, groups = settings(), np.arange(6) % 2, np.arange(6)
    one = training_sets("one", features, y, groups)
    mixed = training_sets("mixed", features, y, groups)
    each = training_sets("per-rate", features, y, groups)
    assert np.array_equal(one[head_for("one", "q8")].x, features[UNCOMPRESSED])
    assert np.array_equal(mixed[head_for("mixed", "q8")].x, np.concatenate(list(features.values())))
    assert list(mixed) == [MIXED]
    assert set(each) == set(features)
    for name, x in features.items():
        assert np.array_equal(each[head_for("per-rate", name)].x, x)
    assert np.array_equal(mixed[MIXED].y, np.tile(y, 3))


@pytest.mark.parametrize("regime", REGIMES)
def test_every_tile_weighs_the_same_however_many_rates_it_arrived_at(regime: str) -> None:
    """Tile 2 has no valid token at q4, tile 5 none at q4 and q8: they are left out there and weigh as much as others."""
    features, y, groups = settings(), np.arange(6) % 2, np.arange(6)
    masks = {name: np.ones((6, 2, 2), bool) for name in features}
    masks["q4"][[2, 5]] = False
    masks["q8"][5] = False
    for of in training_sets(regime, features, y, groups, validity=masks).values():
        assert of.validity is not None
        assert of.validity.any((1, 2)).all()
        total = np.bincount(of.tile, of.weight, minlength=6)
        assert total[np.unique(of.tile)] == pytest.approx(1)
        assert np.array_equal(of.y, y[of.tile])
    if regime == "mixed":
        assert np.bincount(of.tile).tolist() == [3, 3, 2, 3, 3, 1]


def test_rates_to_mix_are_the_ends_and_evenly_between_them_in_log_bytes() -> None:
    ladder = {f"q{i}": 1024.0 / 2**i for i in range(9)} | {UNCOMPRESSED: float("inf")}
    assert rates_to_mix(ladder, most=3) == ("q0", "q4", "q8")
    assert rates_to_mix(ladder, most=5) == ("q0", "q2", "q4", "q6", "q8")
    assert len(rates_to_mix(ladder)) == 8
    assert rates_to_mix({"int8": 100.0, UNCOMPRESSED: float("inf")}) == ("int8",)


def test_a_regime_without_what_it_needs_is_refused() -> None:
    features, y, groups = settings(), np.arange(6) % 2, np.arange(6)
    with pytest.raises(InputError, match="no such regime"):
        training_sets("two", features, y, groups)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs the uncompressed"):
        training_sets("mixed", {"q4": features["q4"]}, y, groups)
    with pytest.raises(InputError, match="differ in shape"):
        training_sets("mixed", features | {"q4": features["q4"][:5]}, y, groups)
    with pytest.raises(InputError, match="one label"):
        training_sets("one", features, y[:5], groups)
    with pytest.raises(InputError, match="no validity"):
        training_sets("mixed", features, y, groups, validity={UNCOMPRESSED: np.ones((6, 2, 2), bool)})


def test_tokens_carry_their_tile_s_weight_and_invalid_or_unlabelled_ones_are_left_out() -> None:
    x = np.arange(2 * 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 2, 3)
    y = np.array([[[0, -1], [1, 1]], [[0, 0], [1, 0]]])
    valid = np.ones((2, 2, 2), bool)
    valid[1, 1, 1] = False
    flat = by_token(TrainingSet(x, y, np.array([5, 6]), np.arange(2), np.array([0.5, 1.0]), valid))
    assert flat.y.tolist() == [0, 1, 1, 0, 0, 1]
    assert flat.weight.tolist() == [0.5, 0.5, 0.5, 1, 1, 1]
    assert flat.groups.tolist() == [5, 5, 5, 6, 6, 6]
    assert np.array_equal(flat.x[3], x[1, 0, 0])


def test_what_stands_in_invalid_tokens_does_not_matter_not_even_nan() -> None:
    x = np.random.default_rng(0).standard_normal((2, 2, 2, 3)).astype(np.float32)
    valid = np.ones((2, 2, 2), bool)
    valid[0, 0, 1] = False
    spoilt = x.copy()
    spoilt[0, 0, 1] = np.nan
    make = [TrainingSet(v, np.arange(2), np.arange(2), np.arange(2), np.ones(2), valid) for v in (x, spoilt)]
    assert np.array_equal(pooled(make[0]).x, pooled(make[1]).x)
    known = x[0][valid[0]]
    assert pooled(make[1]).x[0] == pytest.approx(np.concatenate([known.mean(0), known.std(0)]), rel=1e-5)


def test_an_empty_split_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        vectors().only(np.zeros(30, bool))


def test_features_that_are_not_finite_are_refused_with_their_sample() -> None:
    s = vectors()
    s.x[7, 1] = np.inf
    with pytest.raises(InputError, match="sample 7"):
        s.only(np.ones(30, bool))


def test_targets_and_weights_that_are_not_finite_are_refused() -> None:
    s = vectors()
    with pytest.raises(InputError, match="target"):
        TrainingSet(s.x, np.where(s.y == 1, np.nan, 1.0), s.groups, s.tile, s.weight)
    with pytest.raises(InputError, match="weight"):
        TrainingSet(s.x, s.y, s.groups, s.tile, s.weight - 1)
    with pytest.raises(InputError, match="differ in length"):
        TrainingSet(s.x, s.y[:-1], s.groups, s.tile, s.weight)


def test_a_group_on_both_sides_is_refused() -> None:
    s = vectors()
    with pytest.raises(InputError, match="both training and validation"):
        require_apart(s.only(s.tile < 16), s.only(s.tile >= 16))  # group 5 holds tiles 15, 16, 17
    require_apart(s.only(s.groups < 5), s.only(s.groups >= 5))


@pytest.mark.parametrize("name", sorted(name for name, kind in KINDS.items() if kind.target == "class"))
def test_one_class_only_and_labels_outside_the_classes_are_refused_by_every_classifier(name: str) -> None:
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((6, 2, 2, 3)).astype(np.float32)

    def samples(y: list[int]) -> TrainingSet:
        return TrainingSet(grid, np.array(y), np.arange(6), np.arange(6), np.ones(6))

    with pytest.raises(InputError, match="at least two classes"):
        fit_head(name, samples([1] * 6), None, 3)
    with pytest.raises(InputError, match="outside the classes"):
        fit_head(name, samples([0, 1, 2, 3, 0, 1]), None, 3)
    with pytest.raises(InputError, match="outside the classes"):
        fit_head(name, samples([0, 1, 2, -1, 0, 1]), None, 3)


@pytest.mark.parametrize("name", ["dense-linear", "dense-conv"])
def test_dense_heads_refuse_one_class_other_labels_and_other_grids(name: str) -> None:
    rng = np.random.default_rng(0)
    grid = rng.standard_normal((4, 2, 2, 3)).astype(np.float32)

    def samples(y: np.ndarray) -> TrainingSet:
        return TrainingSet(grid, y, np.arange(4), np.arange(4), np.ones(4))

    with pytest.raises(InputError, match="at least two classes"):
        fit_head(name, samples(np.where(np.arange(64).reshape(4, 4, 4) % 3, -1, 1)), None, 2)
    with pytest.raises(InputError, match="outside the classes"):
        fit_head(name, samples(np.full((4, 2, 2), 2)), None, 2)
    with pytest.raises(InputError, match="whole multiple"):
        fit_head(name, samples(np.zeros((4, 3, 3), np.int64)), None, 2)
    with pytest.raises(InputError, match="no such head"):
        fit_head("tree", samples(np.zeros((4, 2, 2), np.int64)), None, 2)


def test_a_smaller_share_of_the_labels_lies_within_a_larger_one() -> None:
    y = np.repeat(np.arange(4), [300, 100, 20, 2])
    masks = nested_shares(y, seed=3)
    for less, more in itertools.pairwise(SHARES):
        assert not (masks[less] & ~masks[more]).any()
    counts = {share: np.bincount(y[mask], minlength=4).tolist() for share, mask in masks.items()}
    assert counts == {0.01: [3, 1, 1, 1], 0.05: [15, 5, 1, 1], 0.1: [30, 10, 2, 1], 1.0: [300, 100, 20, 2]}


def test_shares_depend_on_the_seed_and_on_nothing_else() -> None:
    y = np.random.default_rng(0).integers(0, 3, 200)
    assert np.array_equal(nested_shares(y, seed=1)[0.1], nested_shares(y, (0.1, 0.5), seed=1)[0.1])
    assert not np.array_equal(nested_shares(y, seed=1)[0.1], nested_shares(y, seed=2)[0.1])
    more = np.concatenate([y, np.full(50, 2)])  # another class grew: classes 0 and 1 keep their draws
    small = y != 2
    assert np.array_equal(nested_shares(more, seed=1)[0.1][:200][small], nested_shares(y, seed=1)[0.1][small])


def test_k_labels_a_class_are_nested_and_unlabelled_tiles_are_never_drawn() -> None:
    y = np.concatenate([np.arange(60) % 3, np.full(10, -1)])
    masks = nested_counts(y, (1, 5, 20), seed=4)
    for k, mask in masks.items():
        assert np.bincount(y[mask], minlength=3).tolist() == [k, k, k]
        assert not mask[60:].any()
    assert not (masks[1] & ~masks[5]).any()
    assert not (masks[5] & ~masks[20]).any()


def test_a_class_with_one_sample_is_refused_by_name_unless_it_is_asked_for() -> None:
    y = np.array([0, 0, 0, 1, 2, 2])
    with pytest.raises(InputError, match=r"class 1 has 1 tiles.*leave the class out"):
        nested_shares(y)
    assert nested_shares(y, fewest=1)[0.01][3]
    with pytest.raises(InputError, match="class 1 has 1 tiles"):
        nested_counts(y, (1, 2))
    with pytest.raises(InputError, match="no labelled tile"):
        nested_shares(np.full(4, -1))
    with pytest.raises(InputError, match="shares"):
        nested_shares(y, (0.0, 1.0))


def test_maps_and_values_have_strata() -> None:
    maps = np.array([[[0, 0], [1, -1]], [[-1, -1], [-1, -1]], [[2, 1], [2, -1]]])
    assert strata_of_maps(maps, 3).tolist() == [0, -1, 2]
    assert np.bincount(strata_of_values(np.arange(100.0))).tolist() == [20] * 5
