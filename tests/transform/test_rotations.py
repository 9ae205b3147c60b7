"""Channels are independent at every frequency after the rotations, errors keep their size, and what is none is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codec.errors import InputError
from codec.transform import dct
from codec.transform.fit import fit_planes
from codec.transform.klt import fit_transform
from codec.transform.layout import PlaneLayout
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.rate import symbol_costs
from codec.transform.rotations import Rotations, fit_rotations, group_of_frequency

ROWS, COLS, CHANNELS = 4, 4, 6


def tokens(n: int = 400, seed: int = 0) -> np.ndarray:
    """Means and detail of tiles mix their channels in two different ways."""
    rng = np.random.default_rng(seed)
    scale = 4.0 * 0.5 ** np.arange(CHANNELS)
    mixes = [np.linalg.qr(np.random.default_rng(k).standard_normal((CHANNELS, CHANNELS)))[0] for k in (1, 2)]
    mean = (rng.standard_normal((n, 1, 1, CHANNELS)) * scale) @ mixes[0]
    detail = (rng.standard_normal((n, ROWS, COLS, CHANNELS)) * scale) @ mixes[1]
    detail -= detail.mean((1, 2), keepdims=True)
    return (mean + detail).astype(np.float32)


def turned(seed: int = 0) -> PlaneTransform:
    rng = np.random.default_rng(seed)
    group = group_of_frequency(ROWS, COLS)
    shape = (int(group.max()) + 1, CHANNELS, CHANNELS)
    matrices = np.linalg.qr(rng.standard_normal(shape))[0].astype(np.float32)
    basis = np.linalg.qr(rng.standard_normal((CHANNELS, CHANNELS)))[0].astype(np.float32)
    mean = rng.standard_normal((ROWS, COLS, CHANNELS)).astype(np.float32)
    return PlaneTransform(mean, np.ascontiguousarray(basis), "dct", Rotations(matrices, group))


def test_frequencies_share_a_rotation_by_the_sum_of_their_numbers() -> None:
    group = group_of_frequency(8, 8).reshape(8, 8)
    sums = np.add.outer(np.arange(8), np.arange(8))
    for number, expected in enumerate(({0}, {1}, {2}, {3, 4}, {5, 6, 7}, set(range(8, 15)))):
        assert set(sums[group == number].tolist()) == expected
    assert group_of_frequency(1, 1).tolist() == [0]
    assert group_of_frequency(1, 3).tolist() == [0, 1, 2]


def test_a_rotation_is_the_formula_of_the_format() -> None:
    """bitstream §8.3, coefficient by coefficient: Y[c][f] = Σ_d R[g][d][c] Y'[d][f]."""
    transform = turned()
    assert transform.rotations is not None
    coded = np.random.default_rng(3).standard_normal((2, CHANNELS, ROWS * COLS)).astype(np.float32)
    found = transform.rotations.back(coded)
    r, of = transform.rotations.matrices, transform.rotations.group
    for n, c, f in ((0, 0, 0), (1, 5, 15), (0, 3, 7), (1, 2, 4)):
        expected = sum(float(r[of[f], d, c]) * float(coded[n, d, f]) for d in range(CHANNELS))
        assert found[n, c, f] == pytest.approx(expected, abs=1e-5)


def test_synthesis_undoes_analysis_and_errors_keep_their_size() -> None:
    transform, x = turned(), tokens(8)
    latents = transform.analyse(x)
    np.testing.assert_allclose(transform.synthesise(latents), x, atol=1e-5 * np.abs(x).max())
    moved = latents + 0.1 * np.random.default_rng(6).standard_normal(latents.shape).astype(np.float32)
    in_embedding = ((transform.synthesise(moved) - transform.synthesise(latents)) ** 2).sum()
    assert in_embedding == pytest.approx(((moved - latents) ** 2).sum(), rel=1e-4)


def test_the_first_channels_alone_are_the_others_at_zero() -> None:
    transform = turned()
    latents = np.random.default_rng(4).standard_normal((3, CHANNELS, ROWS * COLS)).astype(np.float32)
    latents[:, 4:] = 0
    np.testing.assert_allclose(transform.synthesise(latents[:, :4]), transform.synthesise(latents), atol=1e-5)


def test_a_fill_is_as_smooth_with_rotations_as_without() -> None:
    """Filling is the same for every channel, so it does not matter in which basis it happens."""
    transform, x = turned(), tokens(6)
    known = np.random.default_rng(5).random((6, ROWS, COLS)) > 0.3
    known[0] = True
    plain = replace(transform, rotations=None)
    assert transform.rotations is not None
    np.testing.assert_allclose(
        transform.analyse(x, known), transform.rotations.forward(plain.analyse(x, known)), atol=1e-4
    )
    latents = transform.analyse(x)
    expected = plain.refill(plain.analyse(x), known)
    np.testing.assert_allclose(
        transform.rotations.back(transform.refill(latents, known)), expected, atol=1e-4
    )


def test_fitted_channels_are_independent_at_every_group_of_frequencies() -> None:
    x = tokens()
    transform, _ = fit_transform(x, np.ones(x.shape[:3], bool), position_mean=False, rotations=True)
    assert transform.rotations is not None
    latents = transform.analyse(x).astype(np.float64)
    for number in np.unique(transform.rotations.group):
        rows = latents[:, :, transform.rotations.group == number].transpose(0, 2, 1).reshape(-1, CHANNELS)
        covariance = rows.T @ rows / len(rows)
        off = covariance - np.diag(np.diag(covariance))
        assert np.abs(off).max() < 1e-3 * covariance.max()
        assert (np.diff(np.diag(covariance)) <= 1e-6 * covariance.max()).all()  # largest first


def test_they_save_bytes_where_means_and_detail_mix_channels_differently() -> None:
    """Equal steps, hence nearly equal errors: what differs is what the tile's mean costs."""
    train, test = tokens(1500), tokens(300, seed=9)
    cost, error = [], []
    for rotations in (True, False):
        layout = PlaneLayout(rotations=rotations, dc_shift=0)
        codec = fit_planes({"tokens": train}, layouts={"tokens": layout}, default_bytes=16)
        transform, index = codec.transforms["tokens"], codec.default_ladder_index
        maps = quant_maps(codec.tables, 0, index)
        symbols = maps.quantise(transform.analyse(test))
        cost.append(float(symbol_costs(codec.tables, 0, index, symbols)[:, :, 0].sum()))
        error.append(float(((transform.synthesise(maps.reconstruct(symbols)) - test) ** 2).mean()))
    assert cost[0] < 0.95 * cost[1]
    assert error[0] < 1.1 * error[1]


def test_equal_embeddings_give_equal_rotations() -> None:
    first, second = (
        fit_rotations(dct.forward(np.moveaxis(tokens(100), 3, 1)), ROWS, COLS).matrices.tobytes()
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("matrices", "group", "said"),
    [
        (np.full((1, 3, 3), 0.5), [0, 0], "not orthonormal"),
        (np.full((1, 3, 3), np.nan), [0, 0], "not finite"),
        (np.eye(3)[None], [0, 1], "every rotation"),
        (np.stack([np.eye(3)] * 2), [0, 0], "every rotation"),
        (np.stack([np.eye(2)] * 17), list(range(17)), "1 to 16"),
        (np.eye(3), [0], "1 to 16"),
    ],
)
def test_what_is_no_rotation_is_refused(matrices: np.ndarray, group: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Rotations(matrices.astype(np.float32), np.array(group, np.uint8))


def test_rotations_of_another_plane_are_refused() -> None:
    mean, basis = np.zeros((2, 2, 3), np.float32), np.eye(3, dtype=np.float32)
    fitting = Rotations(np.eye(3, dtype=np.float32)[None], np.zeros(4, np.uint8))
    PlaneTransform(mean, basis, "dct", fitting)
    for tokens_, rotations in (
        ("none", fitting),
        ("dct", Rotations(np.eye(3, dtype=np.float32)[None], np.zeros(5, np.uint8))),
        ("dct", Rotations(np.eye(2, dtype=np.float32)[None], np.zeros(4, np.uint8))),
    ):
        with pytest.raises(InputError, match="belong to the frequencies"):
            PlaneTransform(mean, basis, tokens_, rotations)  # type: ignore[arg-type]
