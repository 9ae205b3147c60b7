"""Means foretold from tiles beside save bits where scenes are smooth, and a scene's own mean where scenes differ."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.open_questions.code_length import Symbols, counted, level_costs
from benchmarks.open_questions.neighbour_means import MeanCoder, before, beside, fit_gain
from codec.transform.fit import fit_planes
from codec.types import FloatArray


def scene_means(rng: np.random.Generator, smooth: float, offset: float) -> FloatArray:
    """12×12 tiles of 6 channels: a field that each tile shares with those on its left and above, about the scene's mean."""
    field = rng.normal(size=(12, 12, 6))
    for r in range(12):
        for c in range(12):
            around = [field[r, c - 1]] * (c > 0) + [field[r - 1, c]] * (r > 0)
            if around:
                field[r, c] = smooth * np.mean(around, axis=0) + np.sqrt(1 - smooth**2) * field[r, c]
    return (field.reshape(144, 6) + offset * rng.normal(size=6)).astype(np.float32)


@pytest.mark.parametrize("smooth", [0.95, 0.0])
def test_tiles_beside_save_what_the_variance_that_they_take_is_worth(smooth: float) -> None:
    rng = np.random.default_rng(0)
    place = np.stack(np.divmod(np.arange(144), 12), axis=1)
    scenes = [scene_means(rng, smooth, 0.0) for _ in range(8)]
    tokens = np.concatenate(scenes)[:, None, None] + 0.3 * rng.normal(size=(8 * 144, 2, 2, 6))
    codec = fit_planes({"tokens": tokens.astype(np.float32)})
    latents = codec.transforms["tokens"].analyse(tokens.astype(np.float32))
    index = codec.default_ladder_index
    symbols = Symbols.of(codec, latents, index)
    coder = MeanCoder(codec, index, level_costs(counted(symbols.levels, symbols.bins, symbols.n_levels)))
    means = [latents[k * 144 : (k + 1) * 144, :, 0] for k in range(8)]
    neighbours = before(np.zeros(144, np.int64), place, np.ones(144, bool))
    gain, moved = fit_gain([(one, neighbours) for one in means[:6]])
    static = sum(coder.bits(one).sum() for one in means[6:])
    saved = static - sum(coder.foretold(one, neighbours, gain, moved).sum() for one in means[6:])
    # At fine steps a coefficient takes half a bit less for every halving of its variance.
    guess = [beside(one, neighbours) for one in means[6:]]
    rest = np.concatenate([(one - gain * g)[known] for one, (g, known) in zip(means[6:], guess, strict=True)])
    whole = np.concatenate([one[known] for one, (_, known) in zip(means[6:], guess, strict=True)])
    worth = -0.5 * np.log2((rest**2).mean(axis=0) / (whole**2).mean(axis=0)).sum() * len(rest)
    assert abs(saved - worth) < 0.02 * static
    assert (saved > 0.05 * static) == (smooth > 0)


def test_the_mean_of_a_scene_saves_where_scenes_differ_and_is_paid_for() -> None:
    rng = np.random.default_rng(1)
    tokens = np.concatenate([scene_means(rng, 0.0, 4.0) for _ in range(8)])[:, None, None]
    tokens = (tokens + 0.3 * rng.normal(size=(8 * 144, 2, 2, 6))).astype(np.float32)
    codec = fit_planes({"tokens": tokens})
    means = codec.transforms["tokens"].analyse(tokens)[:, :, 0]
    index = codec.default_ladder_index
    symbols = Symbols.of(codec, codec.transforms["tokens"].analyse(tokens), index)
    coder = MeanCoder(codec, index, level_costs(counted(symbols.levels, symbols.bins, symbols.n_levels)))
    scene = np.repeat(np.arange(8), 144)
    about, plain = coder.about_scene(means, scene), coder.bits(means)
    assert about.sum() < plain.sum()
    alone = coder.about_scene(means[:1], np.zeros(1, np.int64))  # a scene of one tile pays for the whole mean
    assert alone[0] > coder.bits(coder.decoded(means[:1]))[0]
