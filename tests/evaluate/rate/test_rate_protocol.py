"""Folds and resamples never put one place on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.__main__ import main
from codec.evaluate.rate.protocol import codec_training, folds, is_folded, resamples
from codec.evaluate.rate.report import scored_rows
from codec.evaluate.rate.run import Setting
from codec.evaluate.rate.targets import Evidence, Target
from codec.evaluate.rate.types import TileSet


def evidence(scene, place, groups, split, name="made") -> Evidence:
    n = len(scene)
    tiles = TileSet(
        name,
        ("red",),
        np.zeros((n, 1, 8, 8), np.float32),
        np.ones((n, 1), bool),
        np.ones((n, 8, 8), bool),
        np.asarray(scene),
        np.asarray(place),
        np.asarray(groups),
    )
    return Evidence(tiles, (Target("t", "tile", np.arange(n) % 2, ("a", "b")),), np.asarray(split))


def one_scene(rows: int, cols: int, n_train: int | None = None) -> Evidence:
    """One scene whose first `n_train` columns (None: all) are of the training part."""
    place = np.stack(np.mgrid[0:rows, 0:cols], axis=-1).reshape(-1, 2)
    train = place[:, 1] < (cols if n_train is None else n_train)
    split = np.where(train, "train", "val")
    return evidence(np.zeros(rows * cols, int), place, np.arange(rows * cols), split)


def test_a_scene_is_folded_by_blocks_of_columns_and_with_all_places_every_tile_is_scored_once() -> None:
    found = folds(one_scene(4, 8), "val", all_places=True)
    assert len(found) == 4
    held = np.stack([fold.held for fold in found])
    assert (held.sum(0) == 1).all()
    columns = one_scene(4, 8).tiles.place[:, 1]
    assert [sorted(set(columns[h].tolist())) for h in held] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_of_a_folded_scene_only_columns_outside_the_training_part_are_scored() -> None:
    of = one_scene(4, 8, n_train=5)
    found = folds(of, "val")
    columns = of.tiles.place[:, 1]
    # Blocks of two columns: 0–3 are all training, of the third only column 5 is not.
    assert [sorted(set(columns[f.held].tolist())) for f in found] == [[5], [6, 7]]
    # Heads may learn from every column of the other blocks, those of the training part among them.
    assert [sorted(set(columns[f.fit].tolist())) for f in found] == [[0, 1, 2, 3, 6, 7], [0, 1, 2, 3, 4, 5]]


@pytest.mark.parametrize("split", ["val", "test", "unseen"])
def test_a_folded_scene_that_is_all_training_is_refused_with_the_remedy(split: str) -> None:
    with pytest.raises(InputError, match=r"nothing is left to score.*score all places"):
        folds(one_scene(4, 8), split)


def test_lone_tiles_are_scored_alike_with_and_without_all_places() -> None:
    n = 30
    e = evidence(np.arange(n), np.zeros((n, 2), int), np.arange(n), ["train"] * 20 + ["val"] * 10)
    for blocked in (0, 5):
        pairs = zip(
            folds(e, "val", blocked=blocked), folds(e, "val", blocked=blocked, all_places=True), strict=True
        )
        for one, other in pairs:
            assert np.array_equal(one.fit, other.fit)
            assert np.array_equal(one.held, other.held)


def test_rows_say_how_many_tiles_and_places_of_how_many_are_scored() -> None:
    of = one_scene(4, 8, n_train=5)
    for all_places, n in ((False, 12), (True, 32)):
        rows = {row.metric: row for row in scored_rows("made", of, Setting(all_places=all_places), "rate")}
        assert (rows["tiles scored"].value, rows["tiles scored"].n) == (n, 32)
        assert (rows["places scored"].value, rows["places scored"].n) == (n, 32)
        assert {row.case for row in rows.values()} == {"made/made"}


def test_lone_tiles_keep_the_collections_split() -> None:
    n = 30
    e = evidence(
        np.arange(n), np.zeros((n, 2), int), np.arange(n), ["train"] * 20 + ["val"] * 6 + ["test"] * 4
    )
    assert not is_folded(e)
    (fold,) = folds(e, "val")
    assert fold.fit.sum() == 20
    assert fold.held.sum() == 6
    assert not fold.held[26:].any()
    (fold,) = folds(e, "unseen")
    assert fold.held.sum() == 10


def test_a_place_on_both_sides_is_refused() -> None:
    n = 30
    groups = np.arange(n)
    groups[25] = groups[3]  # a validation tile of a training place
    e = evidence(np.arange(n), np.zeros((n, 2), int), groups, ["train"] * 20 + ["val"] * 10)
    with pytest.raises(InputError, match="place is on both sides"):
        folds(e, "val")


def test_an_empty_held_out_part_is_refused_with_a_remedy() -> None:
    n = 12
    e = evidence(np.arange(n), np.zeros((n, 2), int), np.arange(n), ["train"] * n)
    with pytest.raises(InputError, match="nothing to score"):
        folds(e, "test")


def test_blocked_folds_of_lone_tiles_score_every_tile_once_and_split_no_group() -> None:
    n = 40
    groups = np.arange(n) // 3
    e = evidence(np.arange(n), np.zeros((n, 2), int), groups, ["train"] * n)
    held = np.stack([fold.held for fold in folds(e, "val", blocked=5)])
    assert (held.sum(0) == 1).all()
    for h in held:
        assert not set(groups[h].tolist()) & set(groups[~h].tolist())


def test_resamples_hold_four_fifths_of_the_groups_whole() -> None:
    groups = np.repeat(np.arange(10), 3)
    drawn = list(resamples(groups))
    assert len(drawn) == 5
    for kept in drawn:
        per_group = kept.reshape(10, 3)
        assert (per_group.all(1) | ~per_group.any(1)).all()
        assert per_group.any(1).sum() == 8
    assert len({kept.tobytes() for kept in drawn}) > 1


def test_codecs_for_a_folded_set_are_fitted_on_the_training_tiles_of_other_sets_only() -> None:
    n = 30
    lone = evidence(np.arange(n), np.zeros((n, 2), int), np.arange(n), ["train"] * 20 + ["val"] * 10)
    sets = {"scene": one_scene(4, 8), "lone": lone}
    assert set(codec_training("scene", sets)) == {"lone"}
    allowed = codec_training("lone", sets)
    assert set(allowed) == {"scene", "lone"}
    assert allowed["lone"].sum() == 20
    assert set(codec_training("scene", {**sets, "apart": lone}, ["apart"])) == {"lone"}
    assert set(codec_training("apart", {**sets, "apart": lone}, ["apart"])) == {"scene", "lone", "apart"}


def test_where_blocked_folds_score_every_tile_no_codec_is_fitted_on_the_set_itself() -> None:
    n = 30
    lone = evidence(np.arange(n), np.zeros((n, 2), int), np.arange(n), ["train"] * 20 + ["val"] * 10)
    sets = {"lone": lone, "other": lone}
    assert np.stack([fold.held for fold in folds(lone, "val", blocked=5)]).any(0).all()
    assert set(codec_training("lone", sets, blocked=5)) == {"other"}
    with pytest.raises(InputError, match="no other set"):
        codec_training("lone", {"lone": lone}, blocked=5)


@pytest.mark.parametrize("option", ["--processes=0", "--blocked=-1", "--seed=-1"])
def test_numbers_out_of_range_are_refused_before_anything_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rate", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), option]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: --processes is at least 1")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
