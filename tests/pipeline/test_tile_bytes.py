"""Bytes of every tile against the payloads that were sent."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream import coefficients
from codec.bitstream.core import tile_costs
from codec.bitstream.reader import NecFile, read_bytes
from codec.package import Package, build
from codec.pipeline.tile_bytes import TileBytes, bytes_per_tile
from codec.transform.fit import fit_planes
from codec.transform.layout import PlaneLayout
from tests.package.small_package import BANDS, CORE
from tests.pipeline import small_scene
from tests.transform.synthetic_embeddings import embeddings, spectral

N = small_scene.GRID.n_tiles
# What a record's payload holds beyond its tiles' symbols: form, state (4), rounding of words (2), raw bits, masks.
# Costs are rounded up to 1/256 bit a symbol: up to 1 % too much where symbols cost little.
MOST_OF_NO_TILE = 12


def of(package: Package, data: bytes) -> tuple[NecFile, dict[str, TileBytes]]:
    file = read_bytes(data)
    return file, bytes_per_tile(package, file.header, [r.data for r in file.scan.records])


def check_against_payloads(file: NecFile, found: dict[str, TileBytes]) -> None:
    payload: dict[tuple[int, int], int] = defaultdict(int)
    records: dict[tuple[int, int], int] = defaultdict(int)
    for record in file.records:
        key = record.header.plane, record.header.layer
        payload[key] += record.header.payload_length
        records[key] += 1
    for plane, tiles in enumerate(found.values()):
        for layer in range(tiles.layers.shape[1]):
            total, sent = float(np.nansum(tiles.layers[:, layer])), payload[plane, layer]
            assert sent - MOST_OF_NO_TILE * records[plane, layer] <= total <= 1.01 * sent + 1


def test_tiles_sum_to_the_payload_of_every_layer(package: Package, nec: bytes) -> None:
    check_against_payloads(*of(package, nec))


def test_records_of_several_qualities_cost_what_each_of_them_costs(package: Package, given: list) -> None:  # type: ignore[type-arg]
    data = small_scene.encode_scene(package, given, bytes_per_tile=80.0)
    file, found = of(package, data)
    check_against_payloads(file, found)
    decoded = coefficients.decode(package.tables, file.header, file.records).planes
    finer = [r.header for r in file.records if r.header.ladder_offset]
    assert finer
    for head in finer:  # neighbouring tables cost nearly the same: only equality tells them apart
        tiles = slice(head.first_tile, head.first_tile + head.tile_count)
        index = file.header.ladder_index + head.ladder_offset
        values = np.ascontiguousarray(decoded[head.plane].values[tiles])
        costs = tile_costs(package.tables, head.plane, head.layer, index, values)
        mine = list(found.values())[head.plane].layers[tiles, head.layer]
        np.testing.assert_array_equal(mine, costs / 2048)


def test_tables_in_the_file_are_the_ones_that_count(package: Package, given: list) -> None:  # type: ignore[type-arg]
    plain = of(package, small_scene.encode_scene(package, given))[1]
    own = of(package, small_scene.encode_scene(package, given, embed_tables=True))[1]
    for name, tiles in plain.items():
        np.testing.assert_array_equal(tiles.layers, own[name].layers)


def test_what_did_not_arrive_is_no_number(package: Package, nec: bytes) -> None:
    file = read_bytes(nec)
    lost = next(r for r in file.records if (r.header.plane, r.header.layer) == (0, 0))
    kept = [r.data for r in file.scan.records if r is not lost]
    found = bytes_per_tile(package, file.header, kept)["tokens"]
    first, count = lost.header.first_tile, lost.header.tile_count
    gone = np.zeros(N, bool)
    gone[first : first + count] = True
    np.testing.assert_array_equal(found.has_data, ~gone)
    assert np.isnan(found.total[gone]).all()
    assert np.isfinite(found.total[~gone]).all()


@pytest.fixture(scope="module")
def refined(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A package whose tokens are refined by two further planes."""
    codec = fit_planes(
        {"tokens": embeddings(400), "spectral": spectral(400)},
        layouts={
            "tokens": PlaneLayout(n_layers=4, dc_shift=-4, refinements=2),
            "spectral": PlaneLayout(position_mean=False, n_layers=2, dc_shift=-4),
        },
        default_bytes=30.0,
        layer_bytes=60.0,
    )
    return build(
        tmp_path_factory.mktemp("refined") / "refined", name="refined", version="1.0", licence="Apache-2.0", bands=BANDS,
        preprocessing="reflectance-v0", tile={"core": CORE, "margin": 0, "patch": 4}, codec=codec, encoder_sha256="0" * 64,
    )  # fmt: skip


def test_planes_that_refine_others_are_counted_too(refined: Package, tmp_path: Path) -> None:
    given = small_scene.latents(refined, small_scene.planes(), small_scene.all_valid())
    file, found = of(refined, small_scene.encode_scene(refined, given))
    assert list(found) == ["tokens", "spectral", "tokens.digit1", "tokens.digit2"]
    check_against_payloads(file, found)
    assert np.nansum(found["tokens.digit2"].total) > 0
