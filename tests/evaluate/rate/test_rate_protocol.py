"""Folds and resamples never put one place on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.evaluate.__main__ import main
from codec.evaluate.rate.protocol import codec_training, folds, is_folded, resamples
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


def one_scene(rows: int, cols: int) -> Evidence:
    place = np.stack(np.mgrid[0:rows, 0:cols], axis=-1).reshape(-1, 2)
    return evidence(np.zeros(rows * cols, int), place, np.arange(rows * cols), ["train"] * (rows * cols))


def test_a_scene_is_folded_by_blocks_of_columns_and_every_tile_is_scored_once() -> None:
    found = folds(one_scene(4, 8), "val")
    assert len(found) == 4
    held = np.stack([fold.held for fold in found])
    assert (held.sum(0) == 1).all()
    columns = one_scene(4, 8).tiles.place[:, 1]
    assert [sorted(set(columns[h].tolist())) for h in held] == [[0, 1], [2, 3], [4, 5], [6, 7]]


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


@pytest.mark.parametrize("option", ["--threads=0", "--blocked=-1", "--seed=-1"])
def test_numbers_out_of_range_are_refused_before_anything_is_read(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rate", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), option]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: --threads is at least 1")
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()
