"""Whole cells go to one split, the same for every order of the samples; what cannot be split is refused."""

from __future__ import annotations

import csv
import math
import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.data.blocked_splits import (
    Assigned,
    by_degrees,
    by_pixels,
    check,
    read_splits,
    write_splits,
)
from codec.data.splits import Window, windows
from codec.errors import InputError


def grid(n: int) -> tuple[list[str], list[float], list[float]]:
    places = [(r + 0.25 * k, c + 0.5) for r in range(n) for c in range(n) for k in (1, 2)]
    return [f"s{i}" for i in range(len(places))], [p[0] for p in places], [p[1] for p in places]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(3, 7))
def test_no_cell_is_torn_and_order_does_not_matter(seed: int, n: int) -> None:
    names, lat, lon = grid(n)
    found = by_degrees(names, lat, lon, cell_deg=1.0, seed=seed)
    of_cell = {(math.floor(a), math.floor(b)): s.split for s, a, b in zip(found, lat, lon, strict=True)}
    assert all(of_cell[s.cell[1:]] == s.split for s in found)
    order = list(range(len(names)))
    random.Random(seed).shuffle(order)
    shuffled = by_degrees(
        [names[i] for i in order], [lat[i] for i in order], [lon[i] for i in order], cell_deg=1.0, seed=seed
    )
    assert {s.name: s.split for s in shuffled} == {s.name: s.split for s in found}


def test_shares_are_met_within_a_cell_and_seeds_differ() -> None:
    names, lat, lon = grid(10)  # 100 cells of two samples
    found = by_degrees(names, lat, lon, cell_deg=1.0, seed=1)
    counts = Counter(s.split for s in found)
    assert abs(counts["train"] - 140) <= 2
    assert abs(counts["val"] - 30) <= 2
    assert abs(counts["test"] - 30) <= 2
    other = by_degrees(names, lat, lon, cell_deg=1.0, seed=2)
    assert [s.split for s in other] != [s.split for s in found]


def test_every_class_is_learnt_even_from_its_only_cell() -> None:
    names, lat, lon = grid(6)
    for rare in range(0, 72, 5):
        labels = ["rare" if i == rare else "usual" for i in range(72)]
        found = by_degrees(names, lat, lon, cell_deg=1.0, seed=rare, labels=labels)
        assert next(s for s in found if s.label == "rare").split == "train"


def test_longitudes_that_mean_one_place_fall_into_one_cell() -> None:
    names, lat, lon = grid(3)
    lat, lon = [*lat, 50.5, 50.5], [*lon, 359.5, -0.5]
    found = by_degrees([*names, "a", "b"], lat, lon, cell_deg=1.0, seed=0)
    assert found[-1].cell == found[-2].cell == ("", 50, -1)


@pytest.mark.parametrize(
    ("lat", "cell", "match"),
    [
        ([math.nan, 1, 2], 1.0, "nowhere on Earth"),
        ([91.0, 1, 2], 1.0, "nowhere on Earth"),
        ([0.0, 1, 2], 0.0, "between 0 and 90"),
        ([0.0, 0.1, 0.2], 1.0, "1 cells cannot fill three splits; choose smaller"),
    ],
)
def test_places_that_cannot_be_split_are_refused(lat: list[float], cell: float, match: str) -> None:
    with pytest.raises(InputError, match=match):
        by_degrees(["a", "b", "c"], lat, [0.0] * 3, cell_deg=cell, seed=0)


def test_windows_of_a_cell_stay_together_and_those_across_a_border_are_left_out() -> None:
    all_windows = [Window("a.tif", r, c, 64, 64) for r in range(0, 512, 32) for c in range(0, 512, 64)]
    found, out = by_pixels(all_windows, cell_px=128, seed=3)
    assert len(found) + len(out) == len(all_windows)
    assert all(w.row % 128 > 64 for w in out)  # a window of 64 fits when it starts in the first 64 rows
    for s in found:
        assert s.window is not None
        assert s.cell == ("a.tif", s.window.row // 128, s.window.col // 128)
    with pytest.raises(InputError, match="every window crosses"):
        by_pixels(all_windows, cell_px=16, seed=0)


def test_a_table_reads_back_and_the_collections_own_reader_takes_it(tmp_path: Path) -> None:
    found, _ = by_pixels(
        [Window("a", r, c, 32, 32) for r in range(0, 256, 32) for c in (0, 32, 64)], cell_px=64, seed=5
    )
    (tmp_path / "splits").mkdir()
    path = tmp_path / "splits" / "windows.csv"
    write_splits(path, found, "mine")
    assert read_splits(path) == found
    assert windows(tmp_path, "mine", "val") == [s.window for s in found if s.split == "val"]
    names, lat, lon = grid(4)
    points = by_degrees(names, lat, lon, cell_deg=1.0, seed=0, labels=[str(i % 2) for i in range(32)])
    write_splits(tmp_path / "points.csv", points)
    assert read_splits(tmp_path / "points.csv") == points


def test_an_empty_split_a_class_absent_from_train_and_a_torn_cell_are_refused(tmp_path: Path) -> None:
    def sample(i: int, split: str, label: str = "a", cell: int | None = None) -> Assigned:
        return Assigned(f"s{i}", split, ("", 0, i if cell is None else cell), label)

    good = [sample(0, "train"), sample(1, "val"), sample(2, "test")]
    check(good)
    with pytest.raises(InputError, match=r"split val is empty.*; choose"):
        check([good[0], good[2]])
    with pytest.raises(InputError, match=r"class 'b' is absent from train.*; choose"):
        check([*good, sample(3, "test", "b")])
    with pytest.raises(InputError, match="cell lies in two splits"):
        check([*good, sample(3, "test", cell=0)])
    with pytest.raises(InputError, match="no split dev"):
        check([*good, sample(3, "dev")])
    with pytest.raises(InputError, match="empty"):
        write_splits(tmp_path / "x.csv", good[:2])
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a,b\n1,2\n",
        "split,name,cell_row,cell_col,label\n",
        "split,name,cell_row,cell_col,label\ntrain,a,x,0,\n",
    ],
)
def test_tables_that_are_none_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(InputError, match="table"):
        read_splits(tmp_path / "x.csv")


@pytest.mark.shared_data
def test_the_collections_tiles_split_by_degree_cells(shared_data: Path) -> None:
    with open(shared_data / "eurosat_ms" / "index.csv", newline="") as file:
        table = list(csv.DictReader(file))
    found = by_degrees(
        [row["name"] for row in table],
        [float(row["lat"]) for row in table],
        [float(row["lon"]) for row in table],
        cell_deg=1.0,
        seed=0,
        labels=[row["class"] for row in table],
    )
    assert {s.label for s in found if s.split == "train"} == {row["class"] for row in table}
    assert 0.6 < sum(s.split == "train" for s in found) / 401 < 0.8
