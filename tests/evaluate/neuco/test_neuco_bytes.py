"""The byte axis: sizes by hand, decoded vectors from bytes, nothing fitted on what it codes; and the kernel entry."""

from __future__ import annotations

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.neuco.byte_axis import (
    Codec,
    Int8,
    Sent,
    Shortened,
    as_planes,
    halves_of,
    methods_for,
    sent,
)
from codec.evaluate.neuco.kernels import (
    gaussian_kernels,
    patch_kernels,
    pooled_responses,
    principal,
    random_kernel_vectors,
)
from codec.evaluate.rate.types import Coded, Method, Planes


def correlated(n: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(width, width)) * (0.7 ** np.arange(width))[:, None]
    return (rng.normal(size=(n, width)) @ mix + 5).astype(np.float32)


def by_name(found: list[Sent]) -> dict[str, Sent]:
    return {way.name: way for way in found}


def test_sizes_of_plain_types_are_those_of_their_numbers() -> None:
    x = correlated(50, 12)
    ways = by_name(list(sent(x, methods_for(12, ()))))
    assert {name: way.bytes_per_item for name, way in ways.items()} == {
        "float32": 48,
        "float16": 24,
        "int8": 12,
    }
    np.testing.assert_array_equal(ways["float32"].vectors, x)
    np.testing.assert_array_equal(ways["float16"].vectors, x.astype(np.float16).astype(np.float32))
    assert (ways["float32"].shared_bytes, ways["int8"].shared_bytes) == (0, 2 * 4 * 12)


def test_int8_is_within_half_a_step_and_saturates_beyond_what_was_fitted() -> None:
    train = np.array([[0.0, -1.0], [255.0, 1.0]], np.float32)
    coder = Int8().fit(as_planes(train))
    given = np.array([[0.4, 0.005], [300.0, -3.0]], np.float32)
    found = coder.code(as_planes(given), "int8").planes["tokens"][:, 0, 0]
    np.testing.assert_allclose(found, [[0, 1 / 255], [255, -1]], atol=1e-6)


def test_the_codec_keeps_its_budget_in_real_bytes_and_more_bytes_are_nearer() -> None:
    x = correlated(400, 24)
    budgets = (18, 12, 8)  # the finest steps there are take 19 bytes of 24 channels
    ways = by_name(list(sent(x, [Codec(budgets)])))
    errors = []
    for budget in budgets:
        way = ways[f"swathpack {budget} B"]
        assert way.bytes_per_item <= budget
        assert way.bytes_per_item > 0.6 * budget
        errors.append(float(((way.vectors - x) ** 2).mean()))
    assert errors[0] < errors[1] < errors[2] < x.var()


def test_at_equal_bytes_the_codec_is_nearer_than_int8_on_correlated_vectors() -> None:
    x = correlated(400, 24)
    ways = by_name(list(sent(x, [Int8(), Codec((24,))])))
    ours, rival = ways["swathpack 24 B"], ways["int8"]
    assert ours.bytes_per_item <= rival.bytes_per_item == 24
    assert ((ours.vectors - x) ** 2).mean() < ((rival.vectors - x) ** 2).mean()


def test_a_budget_that_cannot_be_met_is_left_out_and_said() -> None:
    said: list[str] = []
    # Twelve vectors a half share the 12 bytes around a record: more than one byte each.
    ways = list(sent(correlated(24, 48), [Codec((40, 1))], skipped=said.append))
    assert [way.name for way in ways] == ["swathpack 40 B"]
    assert len(said) == 1
    assert "1 B" in said[0]
    assert "cannot be met" in said[0]


def test_float16_refuses_what_it_cannot_hold() -> None:
    method = Shortened("float16")
    with pytest.raises(InputError, match="exceed the range of float16"):
        method.fit(as_planes(np.ones((1, 1), np.float32))).code(
            as_planes(np.full((1, 2), 1e5, np.float32)), "float16"
        )


class Spy:
    """Records what it was fitted on and what it coded."""

    about = Method("spy", "embedding", "-")

    def __init__(self) -> None:
        self.pairs: list[tuple[set[float], set[float]]] = []

    def fit(self, train: Planes) -> object:
        outer, seen = self, set(train.values["tokens"][:, 0, 0, 0].tolist())

        class Coder:
            settings = ("only",)

            def code(self, planes: Planes, setting: str) -> Coded:
                outer.pairs.append((seen, set(planes.values["tokens"][:, 0, 0, 0].tolist())))
                return Coded(setting, np.full(len(planes), 3.0), dict(planes.values))

        return Coder()


def test_no_vector_is_coded_by_what_was_fitted_on_it() -> None:
    x, spy = np.arange(40, dtype=np.float32)[:, None], Spy()
    groups = np.arange(40) // 4
    (way,) = sent(x, [spy], groups)  # type: ignore[list-item]
    assert len(spy.pairs) == 2
    for fitted, coded in spy.pairs:
        assert not fitted & coded
        assert not {int(v) // 4 for v in fitted} & {int(v) // 4 for v in coded}
    assert set.union(*(coded for _, coded in spy.pairs)) == set(range(40))
    assert (way.bytes_per_item, way.shared_bytes) == (3, None)
    np.testing.assert_array_equal(way.vectors, x)


def test_one_group_cannot_be_halved() -> None:
    with pytest.raises(InputError, match="halved"):
        halves_of(10, np.zeros(10, np.int64))


def test_pooled_responses_by_hand() -> None:
    picture = np.zeros((1, 1, 3, 4), np.float32)
    picture[0, 0, 1] = [0, 4, 1, 0]
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = 1
    # The responses at the two inner places are 4 − 1 = 3 and 1 − 1 = 0; with a kernel of −1: −5 and −2.
    np.testing.assert_allclose(pooled_responses(picture, kernel), [[1.5, 0]])
    np.testing.assert_allclose(pooled_responses(picture, -kernel), [[0, 3.5]])


def test_dates_are_averaged() -> None:
    pictures = np.random.default_rng(0).normal(size=(2, 3, 4, 8, 8)).astype(np.float32)
    kernels = gaussian_kernels(4, 5, 0)
    each = np.stack([pooled_responses(pictures[:, t], kernels) for t in range(3)])
    np.testing.assert_allclose(pooled_responses(pictures, kernels), each.mean(0), rtol=1e-5, atol=1e-6)


def test_patch_kernels_are_patches_multiplied_by_their_inverse_covariance() -> None:
    pictures = np.random.default_rng(0).normal(size=(6, 2, 10, 10)).astype(np.float32)
    kernels = patch_kernels(pictures, 400, seed=1).reshape(400, -1).astype(np.float64)
    rng = np.random.default_rng(1)
    picks = rng.integers(6, size=400), rng.integers(8, size=400), rng.integers(8, size=400)
    patches = np.stack([pictures[i, :, r : r + 3, c : c + 3].ravel() for i, r, c in zip(*picks, strict=True)])
    patches = patches - patches.mean(1, keepdims=True)
    patches /= np.linalg.norm(patches, axis=1, keepdims=True)
    expected = patches @ np.linalg.inv(patches.T @ patches / 400 + 1e-3 * np.eye(18))
    np.testing.assert_allclose(kernels, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("shape", [(30, 8), (12, 40)])
def test_principal_components_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32) * np.arange(1, shape[1] + 1)
    u, s, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    found = principal(x, 5)
    np.testing.assert_allclose(np.abs(found), np.abs(u[:, :5] * s[:5]), rtol=1e-3, atol=1e-2)


def test_kernel_vectors_keep_the_cap_and_the_seed() -> None:
    pictures = np.random.default_rng(0).normal(size=(9, 3, 12, 12)).astype(np.float32)
    for kind in ("patches", "gaussian"):
        first, again, other = (
            random_kernel_vectors(pictures, features=32, kind=kind, seed=s)
            for s in (0, 0, 1)  # type: ignore[arg-type]
        )
        assert first.shape == (9, 8)  # nine pictures have eight components
        np.testing.assert_array_equal(first, again)
        assert not np.allclose(first, other)
    with pytest.raises(InputError, match="pairs"):
        random_kernel_vectors(pictures, features=31)
