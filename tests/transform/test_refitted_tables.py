"""Tables made anew from symbols alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codec.bitstream.core import TableSet, tile_costs
from codec.errors import InputError
from codec.transform import refit as refitting
from codec.transform.maps import quant_maps
from codec.transform.refit import LEAST_TILES, PlaneSymbolSet, refit
from codec.transform.tables import Tables
from tests.package.small_package import small_codec
from tests.transform.synthetic_embeddings import embeddings, spectral

INDEX = 24
PLANES = ("tokens", "spectral")
LAYERS = {"tokens": 4, "spectral": 2}


def latents(scale: float, n: int, seed: int) -> dict[str, np.ndarray]:
    given = {"tokens": embeddings(n, seed=seed), "spectral": spectral(n, seed=seed)}
    return {name: small_codec().transforms[name].analyse(x) * np.float32(scale) for name, x in given.items()}


def sets(values: dict[str, np.ndarray], index: int = INDEX, layers: int = 0b1111) -> list[PlaneSymbolSet]:
    tables = small_codec().tables
    return [
        PlaneSymbolSet(
            number, index, quant_maps(tables, number, index).quantise(values[name]),
            np.full(len(values[name]), layers & (1 << LAYERS[name]) - 1, np.uint16),
            np.zeros((len(values[name]), LAYERS[name]), np.int8),
        )
        for number, name in enumerate(PLANES)
    ]  # fmt: skip


def rate_and_error(tables: Tables, values: dict[str, np.ndarray], index: int = INDEX) -> tuple[float, float]:
    """Bytes by the compiled core's costs, and summed squared error."""
    compiled, bits, error = TableSet(tables.encode()), 0, 0.0
    for number, name in enumerate(PLANES):
        maps = quant_maps(tables, number, index)
        symbols = maps.quantise(values[name])
        bits += sum(
            int(tile_costs(compiled, number, layer, index, symbols).sum()) for layer in range(LAYERS[name])
        )
        error += float(np.square(maps.reconstruct(symbols) - values[name], dtype=np.float64).sum())
    return bits / 2048, error


@pytest.mark.parametrize("scale", [0.6, 1.6, 3.0])
def test_bytes_fall_on_unseen_data_that_drifted_the_same_way(scale: float) -> None:
    old = small_codec().tables
    new = refit(old, sets(latents(scale, 256, seed=31))).tables
    unseen = latents(scale, 256, seed=32)
    before, after = rate_and_error(old, unseen), rate_and_error(new, unseen)
    assert after[0] < 0.98 * before[0]
    assert after[1] < 1.02 * before[1]  # and not by throwing coefficients away


def test_other_qualities_gain_too() -> None:
    old = small_codec().tables
    new = refit(old, sets(latents(2.0, 256, seed=31))).tables
    unseen = latents(2.0, 256, seed=32)
    for index in (INDEX - 6, INDEX + 6):
        assert rate_and_error(new, unseen, index)[0] < rate_and_error(old, unseen, index)[0]


def test_coefficients_that_came_alive_are_sent_and_pay_for_themselves() -> None:
    """Scaled with their mean, embeddings get a pattern over positions in coefficients that were never coded before.

    At one ladder index more bytes are sent then, for a far smaller error; at equal error, fewer.
    """
    codec = small_codec()

    def scaled(seed: int) -> dict[str, np.ndarray]:
        given = {"tokens": embeddings(300, seed=seed), "spectral": spectral(300, seed=seed)}
        return {name: codec.transforms[name].analyse(x * np.float32(1.7)) for name, x in given.items()}

    new = refit(codec.tables, sets(scaled(31), codec.default_ladder_index)).tables
    unseen, index = scaled(32), INDEX + 6
    before = rate_and_error(codec.tables, unseen, index)
    assert rate_and_error(new, unseen, index)[1] < 0.2 * before[1]
    coarser = [rate_and_error(new, unseen, i) for i in range(index, index + 12)]
    assert min(size for size, error in coarser if error <= before[1]) < 0.7 * before[0]


def test_twice_the_scale_is_four_quarter_octaves() -> None:
    found = refit(small_codec().tables, sets(latents(2.0, 400, seed=31)))
    assert found.moved == pytest.approx((4, 4), abs=1)


def test_data_that_did_not_drift_cost_the_same() -> None:
    old = small_codec().tables
    new = refit(old, sets(latents(1.0, 256, seed=31))).tables
    unseen = latents(1.0, 256, seed=32)
    before, after = rate_and_error(old, unseen), rate_and_error(new, unseen)
    assert after[0] == pytest.approx(before[0], rel=0.02)
    assert after[1] == pytest.approx(before[1], rel=0.02)


def test_ladder_bands_layers_and_shifts_stay() -> None:
    old = small_codec().tables
    new = refit(old, sets(latents(2.0, 200, seed=31))).tables
    np.testing.assert_array_equal(new.ladder, old.ladder)
    assert len(new.levels) == len(old.levels)
    for a, b in zip(new.planes, old.planes, strict=True):
        assert (a.layer_shift, a.kind) == (b.layer_shift, b.kind)
        np.testing.assert_array_equal(a.bands, b.bands)
        np.testing.assert_array_equal(a.layer_map, b.layer_map)


def test_what_no_symbol_came_of_moves_with_its_plane() -> None:
    old = small_codec().tables
    found = refit(old, sets(latents(2.0, 200, seed=31), layers=0b0001))
    moved = found.tables.planes[0].class_map.astype(int) - old.planes[0].class_map.astype(int)
    unseen = old.planes[0].layer_map > 0
    legal = old.planes[0].class_map[unseen].astype(int) + round(found.moved[0]) <= 255
    assert (moved[unseen][legal] == round(found.moved[0])).all()
    assert found.moved[0] == pytest.approx(4, abs=1)


@pytest.mark.parametrize("n", [0, 1, LEAST_TILES - 1])
def test_too_few_tiles_are_refused_with_the_number_that_is_needed(n: int) -> None:
    values = {name: x[:n] for name, x in latents(1.0, LEAST_TILES, seed=31).items()}
    with pytest.raises(InputError, match=f"at least {LEAST_TILES}, found {n}"):
        refit(small_codec().tables, sets(values))


def test_a_plane_that_did_not_come_is_too_few() -> None:
    with pytest.raises(InputError, match=r"plane 1.*at least 128, found 0"):
        refit(small_codec().tables, sets(latents(1.0, 200, seed=31))[:1])


def test_escapes_count_as_what_they_are() -> None:
    # 40 times the scale: many magnitudes lie beyond the last threshold of their tables.
    old = small_codec().tables
    values = latents(40.0, 200, seed=31)
    maps = quant_maps(old, 0, INDEX)
    symbols = maps.quantise(values["tokens"])
    limits = np.array([len(level.thresholds) for level in old.levels])[maps.level]
    assert (np.abs(symbols.astype(int)) >= limits)[:, maps.coded].mean() > 0.01
    found = refit(old, sets(values))
    assert found.bytes_after < 0.95 * found.bytes_before
    assert rate_and_error(found.tables, values)[0] < 0.95 * rate_and_error(old, values)[0]


def test_the_order_of_files_does_not_matter() -> None:
    parts = [sets(latents(1.5, 100, seed=s)) for s in (41, 42, 43)]
    forward = refit(small_codec().tables, [one for part in parts for one in part])
    backward = refit(small_codec().tables, [one for part in reversed(parts) for one in part])
    assert forward.tables.encode() == backward.tables.encode()


@pytest.mark.parametrize("ratio", [0.02, 0.3, 0.7, 0.98])
def test_the_centroid_of_an_exponential_bin_is_its_mean(ratio: float) -> None:
    x = (np.arange(200_000) + 0.5) / 200_000
    density = ratio**x
    assert refitting._centroid(ratio) == pytest.approx(float((x * density).sum() / density.sum()), abs=1e-6)


def test_points_follow_a_heavier_tail() -> None:
    # Scales as the tables have them, but Student's t of three degrees instead of the fields that they were fitted to.
    rng = np.random.default_rng(5)
    old = small_codec().tables
    maps = quant_maps(old, 0, INDEX)
    unit = rng.standard_t(3, (600, *maps.layer.shape)) / np.sqrt(3)
    values = (unit * maps.step * 2.0 ** ((maps.level - 16) / 4)).astype(np.float32)
    new = refit(old, sets({"tokens": values, "spectral": latents(1.0, 600, seed=31)["spectral"]})).tables
    symbols = quant_maps(new, 0, INDEX).quantise(values)
    levels = tuple(replace(a, r1=b.r1, r2=b.r2) for a, b in zip(new.levels, old.levels, strict=True))
    errors = [
        np.square(quant_maps(tables, 0, INDEX).reconstruct(symbols) - values, dtype=np.float64).sum()
        for tables in (new, Tables(new.ladder, levels, new.planes))
    ]
    assert errors[0] < 0.999 * errors[1]
