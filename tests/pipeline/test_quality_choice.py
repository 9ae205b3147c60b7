"""Costs against real bytes, budgets, and the scene's mean vector."""

from __future__ import annotations

import numpy as np
import pytest

from codec.bitstream import core
from codec.bitstream.reader import read_bytes
from codec.errors import InputError
from codec.package import Package
from codec.pipeline import decode
from codec.transform.rate import COST_UNITS_PER_BYTE
from codec.types import Latent, TileGrid
from tests.pipeline.small_scene import all_valid, encode_scene, latents, planes

BIG = TileGrid(320, 640, 32, 32)  # 200 tiles, none doubled


@pytest.fixture(scope="module")
def big(package: Package) -> list[Latent]:
    return latents(package, planes(BIG.n_tiles, seed=21), all_valid(BIG.n_tiles))


def record_bytes(data: bytes) -> int:
    return sum(len(r.data) for r in read_bytes(data).scan.records if r.header.is_coefficients)


def test_real_bytes_are_within_one_percent_of_the_integer_costs(package: Package, big: list[Latent]) -> None:
    for index in (package.ladder_indices.start, package.default_ladder_index):
        file = read_bytes(encode_scene(package, big, grid=BIG, ladder_index=index, file_mean=False))
        payload = sum(len(r.data) - 12 for r in file.records)
        cost = 0
        for latent in big:
            symbols = package.maps(latent.plane, index).quantise(latent.values)
            for layer in range(package.plane_specs[latent.plane].n_layers):
                cost += int(core.tile_costs(package.tables, latent.plane, layer, index, symbols).sum())
        # The estimate's 2 bytes of state per record are part of the rule (bitstream §10.3).
        assert payload == pytest.approx(cost / COST_UNITS_PER_BYTE + 2 * len(file.records), rel=0.01)


def test_records_fill_their_target(package: Package, big: list[Latent]) -> None:
    file = read_bytes(
        encode_scene(package, big, grid=BIG, ladder_index=package.ladder_indices.start + 8, file_mean=False)
    )
    sizes = [len(record.data) for record in file.records]
    assert max(sizes) <= 960
    assert np.mean(sizes) > 0.75 * 960


@pytest.mark.parametrize("budget", [25.0, 60.0, 300.0])
def test_a_budget_is_met_by_the_finest_quality_that_can(
    package: Package, big: list[Latent], budget: float
) -> None:
    data = encode_scene(package, big, grid=BIG, bytes_per_tile=budget)
    index = read_bytes(data).header.ladder_index
    assert record_bytes(data) / BIG.n_tiles <= budget * 1.01
    finer = encode_scene(package, big, grid=BIG, ladder_index=index - 1)
    assert record_bytes(finer) / BIG.n_tiles > budget * 0.99


def test_an_impossible_budget_is_refused_with_the_least_there_is(package: Package, big: list[Latent]) -> None:
    with pytest.raises(
        InputError, match=r"budget of 0\.5 bytes a tile cannot be met: layer 0 at the coarsest quality takes"
    ):
        encode_scene(package, big, grid=BIG, bytes_per_tile=0.5)
    with pytest.raises(InputError, match="not both"):
        encode_scene(package, big, grid=BIG, bytes_per_tile=50, ladder_index=20)


def shifted_scene(package: Package) -> tuple[dict[str, np.ndarray], list[Latent]]:
    """All tiles share an offset, as the tiles of one scene do."""
    arrays = planes(BIG.n_tiles, seed=22)
    offset = np.random.default_rng(5).standard_normal(24).astype(np.float32) * 2
    arrays["tokens"] = arrays["tokens"] + offset
    return arrays, latents(package, arrays, all_valid(BIG.n_tiles))


def test_the_scene_mean_is_sent_when_it_saves_bytes_and_only_then(
    package: Package, big: list[Latent]
) -> None:
    _, shifted = shifted_scene(package)
    chosen = encode_scene(package, shifted, grid=BIG)
    assert 0 in read_bytes(chosen).header.mean_vector_payloads
    assert len(chosen) < len(encode_scene(package, shifted, grid=BIG, file_mean=False))
    # One tile has no mean worth sending.
    single = [Latent(latent.plane, latent.values[:1], latent.token_validity[:1]) for latent in shifted]
    one = encode_scene(package, single, grid=TileGrid(32, 32, 32, 32))
    assert len(one) <= len(encode_scene(package, single, grid=TileGrid(32, 32, 32, 32), file_mean=True))


def test_with_the_scene_mean_embeddings_are_as_near(package: Package) -> None:
    arrays, shifted = shifted_scene(package)
    errors = []
    for file_mean in (False, True):
        file = read_bytes(encode_scene(package, shifted, grid=BIG, file_mean=file_mean))
        decoded = decode(package, file.header, [record.data for record in file.records])
        errors.append(float(((decoded.embeddings["tokens"].values - arrays["tokens"]) ** 2).mean()))
    assert errors[1] == pytest.approx(errors[0], rel=0.05)
