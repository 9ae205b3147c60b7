"""What heads see, against hand calculations."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.rate.features import gathered, pooled
from codec.evaluate.rate.targets import Target, samples
from codec.evaluate.rate.types import TileSet


def tiles(n: int, scene: list[int]) -> TileSet:
    return TileSet(
        "made",
        ("red",),
        np.zeros((n, 1, 16, 16), np.float32),
        np.ones((n, 1), bool),
        np.ones((n, 16, 16), bool),
        np.array(scene),
        np.zeros((n, 2), int),
        np.arange(n),
    )


def test_pooling_leaves_out_invalid_tokens_by_hand() -> None:
    tokens = np.array([[[[1.0], [3.0]], [[5.0], [100.0]]]], np.float32)
    valid = np.array([[[True, True], [True, False]]])
    mean, std, highest = pooled(tokens, valid, "mean-std-max")[0]
    assert mean == pytest.approx(3.0)
    assert std == pytest.approx((8 / 3) ** 0.5)
    assert highest == 5.0


def test_a_tile_without_a_valid_token_gives_zeros() -> None:
    tokens = np.full((1, 2, 2, 3), 7, np.float32)
    assert (pooled(tokens, np.zeros((1, 2, 2), bool), "mean-std-max") == 0).all()


def test_token_features_are_the_planes_side_by_side_of_labelled_tokens_only() -> None:
    planes = {
        "tokens": np.arange(2 * 4, dtype=np.float32).reshape(2, 2, 2, 1),
        "spectral": -np.arange(2 * 4, dtype=np.float32).reshape(2, 2, 2, 1),
    }
    labels = np.array([[[0, -1], [-1, 1]], [[-1, -1], [1, -1]]])
    target = Target("t", "token", labels, ("a", "b"))
    x = gathered(planes, ("tokens", "spectral"), np.ones((2, 2, 2), bool), tiles(2, [0, 1]), target)
    assert x.tolist() == [[0, 0], [3, -3], [6, -6]]
    s = samples(target, tiles(2, [0, 1]))
    assert s.y.tolist() == [0, 1, 1]
    assert s.tile.tolist() == [0, 0, 1]


def test_validity_never_reaches_a_token_feature() -> None:
    """The same tokens under two masks give the same features: a head cannot tell what was measured."""
    rng = np.random.default_rng(0)
    planes = {"tokens": rng.standard_normal((3, 2, 2, 4)).astype(np.float32)}
    target = Target("t", "token", np.zeros((3, 2, 2), int), ("a", "b"))
    masks = (np.ones((3, 2, 2), bool), rng.random((3, 2, 2)) < 0.5)
    seen = [gathered(planes, ("tokens",), m, tiles(3, [0, 1, 2]), target) for m in masks]
    assert np.array_equal(*seen)


def test_a_scenes_answer_pools_all_its_tiles_and_counts_once() -> None:
    planes = {
        "tokens": np.array([1.0, 3.0, 10.0], np.float32)[:, None, None, None]
        * np.ones((1, 2, 2, 1), np.float32)
    }
    target = Target("t", "scene", np.array([0, 0, 1]), ("a", "b"))
    of = tiles(3, [0, 0, 1])
    x = gathered(planes, ("tokens",), np.ones((3, 2, 2), bool), of, target)
    assert x.ravel().tolist() == [2.0, 10.0]
    assert samples(target, of).y.tolist() == [0, 1]


def test_labels_beyond_the_classes_and_of_another_level_are_refused() -> None:
    with pytest.raises(InputError, match="outside its classes"):
        Target("t", "tile", np.array([0, 2]), ("a", "b"))
    with pytest.raises(InputError, match="do not fit its level"):
        Target("t", "token", np.array([0, 1]), ("a", "b"))


def test_a_regression_leaves_out_missing_numbers() -> None:
    target = Target("elevation", "tile", np.array([1.0, np.nan, 3.0]))
    assert samples(target, tiles(3, [0, 1, 2])).y.tolist() == [1.0, 3.0]
