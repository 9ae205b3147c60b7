"""Choosing among candidates: test files stay closed, scores are those of the plain protocol, rows are complete."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.data import readers, splits
from codec.errors import InputError
from codec.evaluate import scenes as sets
from codec.evaluate import select, ucmerced
from codec.evaluate.features import (
    in_encoder_order,
    pixel_statistics,
    random_convolutions,
    random_twin,
    tokens,
)
from codec.evaluate.select import TileScores, compare, score, select_rows
from codec.evaluate.ucmerced import ucmerced_rows
from codec.heads.linear import LinearHead
from codec.models.vit import Encoder, EncoderConfig

TINY = EncoderConfig(width=16, depth=1, heads=2)


@pytest.fixture
def fresh_reads() -> Iterator[None]:
    """No tile set that another test has read."""
    every = (sets._eurosat_split, sets._ucmerced_split, select._statistics, ucmerced._statistics)
    for cached in every:
        cached.cache_clear()
    yield
    for cached in every:  # what stood in for a fit must not outlive the test
        cached.cache_clear()


@pytest.fixture
def closed_test(monkeypatch: pytest.MonkeyPatch, fresh_reads: None) -> set[str]:
    """Splits that were asked for; opening a table or a picture of `test` fails the test."""
    asked: set[str] = set()
    plain_rows, plain_open = splits.rows, readers.read_array

    def rows(root: Path, table: str, split: str) -> list[dict[str, str]]:
        asked.add(split)
        assert split != "test", f"{table}: a choice opened the test split"
        return plain_rows(root, table, split)

    def read_array(path: Path, *args: object) -> object:
        assert "test" not in Path(path).name, f"a choice opened {path}"
        return plain_open(path, *args)  # type: ignore[arg-type]

    for module in ("codec.data.splits", "codec.data.readers", "codec.data.labelled", "codec.evaluate.scenes"):
        monkeypatch.setattr(f"{module}.rows", rows)
    monkeypatch.setattr("codec.data.readers.read_array", read_array)
    return asked


@pytest.mark.shared_data
def test_choosing_never_opens_a_test_file(
    shared_data: Path, closed_test: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are real; the fits, which are tested elsewhere, are stood in for."""
    encoder = random_twin(TINY, 0)
    monkeypatch.setattr(
        select, "quick_held_out_logits", lambda x, y, g, k, seed: np.eye(k, dtype="f4")[y * 0]
    )
    monkeypatch.setattr(select, "held_out_neighbours", lambda x, y, g, seed: (y == 0) * 1.0)
    monkeypatch.setattr(
        ucmerced,
        "fit_probe",
        lambda x, y, g, k: LinearHead(np.zeros((x.shape[1], k), "f4"), np.eye(k, dtype="f4")[0]),
    )
    for module in (select, ucmerced):
        monkeypatch.setattr(module, "pixel_statistics", lambda tiles: np.zeros((len(tiles.labels), 1), "f4"))
    rows = select_rows(encoder, shared_data, "tiny/seed-0") + ucmerced_rows(
        encoder, shared_data, "tiny/seed-0"
    )
    assert closed_test == {"train", "val"}
    assert {row.case for row in rows} == {
        f"tiny/seed-0/{case}" for case in ("12-bands", "4-bands", "3-bands", "ucmerced-val")
    }
    for row in rows:
        assert row.suite == "candidates"
        assert row.lo is not None
        assert row.hi is not None
        assert row.lo <= row.value <= row.hi
        assert row.n == (105 if "ucmerced" in row.case else 74 if "on-val" in row.metric else 332)


@pytest.mark.shared_data
def test_groups_are_the_one_degree_cells_of_the_index_and_lie_in_one_split(shared_data: Path) -> None:
    tiles = sets.eurosat(shared_data, ("train", "val", "test"))
    with open(shared_data / "eurosat_ms" / "index.csv", newline="") as file:
        index = {row["name"]: row for row in csv.DictReader(file)}
    names = [
        row["name"] for s in ("train", "val", "test") for row in splits.rows(shared_data, "eurosat_ms", s)
    ]
    assert len(names) == len(tiles.groups) == 401
    cells = [(int(np.floor(float(index[n]["lat"]))), int(np.floor(float(index[n]["lon"])))) for n in names]
    pairs = set(zip(cells, tiles.groups.tolist(), strict=True))
    assert len(pairs) == len(set(cells)) == len(set(tiles.groups.tolist()))


def test_separable_classes_are_found_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    labels, groups = np.arange(300) % 10, np.arange(300) // 5
    blank = sets.LabelledTiles(
        np.zeros((300, 1, 1, 1), np.float32),
        np.ones((300, 1), np.bool_),
        np.ones((300, 1, 1), np.bool_),
        labels,
        groups,
        tuple("abcdefghij"),
    )
    tiles = sets.Scenes(blank, ("red",), np.repeat("val", 300))
    planted = score((np.eye(10)[labels] + 0.05 * rng.standard_normal((300, 10))).astype(np.float32), tiles)
    noise = score(rng.standard_normal((300, 10)).astype(np.float32), tiles)
    assert planted.values["accuracy"].mean() > 0.99
    assert planted.values["knn10"].mean() > 0.99
    assert noise.values["accuracy"].mean() < 0.25
    assert noise.values["log-loss"].mean() == pytest.approx(np.log(10), abs=0.15)  # knows nothing, says so


def test_a_candidate_equals_itself_in_every_draw_and_a_better_one_is_better_by_as_much() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(60) // 4
    low = TileScores({"accuracy": (rng.random(60) < 0.5) * 1.0}, groups, groups > 7)
    high = TileScores({"accuracy": low.values["accuracy"] + 0.25}, groups, groups > 7)
    same = compare([{"12-bands": low}], [{"12-bands": low}], "12-bands", "accuracy")
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = compare([{"12-bands": high}], [{"12-bands": low}] * 3, "12-bands", "accuracy")
    assert (better.value, better.low, better.high) == pytest.approx((25.0, 25.0, 25.0))


def some_scenes(size: int = 64, n: int = 3) -> sets.Scenes:
    rng = np.random.default_rng(5)
    pixels = rng.random((n, 3, size, size), dtype=np.float32) * 0.3
    tiles = sets.LabelledTiles(
        pixels,
        np.ones((n, 3), np.bool_),
        np.ones((n, size, size), np.bool_),
        np.zeros(n, np.int64),
        np.arange(n),
        ("one",),
    )
    return sets.Scenes(tiles, ("blue", "green", "red"), np.repeat("val", n))


def test_a_larger_tile_is_its_four_quarters() -> None:
    encoder, whole = random_twin(TINY, 0), some_scenes(128)
    found = tokens(encoder, whole)
    assert found.shape == (3, 16, 16, 16)
    for row in (0, 1):
        for col in (0, 1):
            cut = whole.tiles.pixels[:, :, 64 * row : 64 * row + 64, 64 * col : 64 * col + 64]
            part = dataclasses.replace(
                whole,
                tiles=dataclasses.replace(whole.tiles, pixels=cut, validity=np.ones((3, 64, 64), np.bool_)),
            )
            quarter = found[:, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
            np.testing.assert_allclose(tokens(encoder, part), quarter, atol=1e-5)


def test_the_twin_depends_on_its_seed_alone_and_leaves_the_generator() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    a, b, c = (random_twin(TINY, seed).stem.weight for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(before, torch.get_rng_state())


def test_bands_are_placed_by_name() -> None:
    encoder = Encoder(dataclasses.replace(TINY, bands=("red", "blue")))
    pixels, present = in_encoder_order(some_scenes(), encoder.config.bands)
    assert np.array_equal(pixels[:, 0], some_scenes().tiles.pixels[:, 2])
    assert np.array_equal(pixels[:, 1], some_scenes().tiles.pixels[:, 0])
    assert present.all()
    with pytest.raises(InputError, match="none of the encoder's bands"):
        in_encoder_order(some_scenes(), ("nir",))


def test_pixel_statistics_of_a_flat_tile_are_its_value() -> None:
    flat = some_scenes(n=1)
    flat.tiles.pixels[:] = 0.25
    found = pixel_statistics(flat)[0]
    assert found[:3] == pytest.approx(np.log(0.25))
    assert found[3:6] == pytest.approx(np.log(1e-4))
    assert found[6:] == pytest.approx(0.25)


def test_random_convolutions_are_seeded_and_blind_to_absent_bands() -> None:
    whole = some_scenes()
    a = random_convolutions(whole, 0)
    assert a.shape == (3, 512)
    assert np.array_equal(a, random_convolutions(whole, 0))
    assert not np.array_equal(a, random_convolutions(whole, 1))
    some = whole.with_bands(("green",))
    spoilt = dataclasses.replace(some, tiles=dataclasses.replace(some.tiles, pixels=some.tiles.pixels.copy()))
    spoilt.tiles.pixels[:, 0] = 9.0
    assert np.array_equal(random_convolutions(some, 0), random_convolutions(spoilt, 0))
