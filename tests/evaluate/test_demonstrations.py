"""Demonstration tasks: their measures by hand, and the command from end to end on the collection."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.data.components import Box
from codec.errors import InputError
from codec.evaluate.__main__ import main
from codec.evaluate.demonstrations import multi_label
from codec.evaluate.demonstrations.boxes import average_precision, found_boxes, overlap
from codec.evaluate.demonstrations.change import mean_iou
from codec.evaluate.demonstrations.coded import MARK, cut
from codec.evaluate.demonstrations.series import _split, in_season
from codec.evaluate.rows import load


def box(row: int, col: int, height: int, width: int) -> Box:
    return Box(row, col, height, width, 1, height * width, False)


def test_overlap_of_boxes_by_hand() -> None:
    assert overlap(box(0, 0, 2, 4), box(0, 0, 2, 4)) == 1
    assert overlap(box(0, 0, 2, 4), box(1, 2, 2, 4)) == 2 / (8 + 8 - 2)  # one row, two columns in common
    assert overlap(box(0, 0, 2, 2), box(0, 2, 2, 2)) == 0  # side by side
    assert overlap(box(0, 0, 1, 1), box(5, 5, 1, 1)) == 0  # two negative lengths are no area


def test_average_precision_by_hand() -> None:
    truth = [box(0, 0, 4, 4), box(10, 10, 4, 4)]
    first, second, wrong = (0.9, truth[0]), (0.5, truth[1]), (0.7, box(30, 30, 4, 4))
    assert average_precision([first, second], truth) == 1
    assert average_precision([first], truth) == 0.5
    # Precisions down the list are 1, 1/2, 2/3; at the two recalls reached 1 and 2/3.
    assert average_precision([first, wrong, second], truth) == pytest.approx((1 + 2 / 3) / 2)
    # Found twice is found once: the second answer is wrong.
    assert average_precision([first, (0.8, truth[0]), second], truth) == pytest.approx((1 + 2 / 3) / 2)
    # Made falling: precisions 0, 1/2, 2/3 count as 2/3 at both recalls.
    assert average_precision([(0.95, wrong[1]), first, second], truth) == pytest.approx(2 / 3)
    assert average_precision([], truth) == 0
    with pytest.raises(InputError, match="no true box"):
        average_precision([first], [])


def test_boxes_of_a_map_are_in_pixels_with_their_mean_chance() -> None:
    chance = np.zeros((4, 6))
    chance[0, :2] = [0.8, 0.6]
    chance[2:4, 4] = [0.9, 0.9]
    chance[3, 0] = 0.7  # one cell
    found = found_boxes(chance, 4, min_cells=2)
    assert [(pytest.approx(score), b.row, b.col, b.height, b.width) for score, b in found] == [
        (0.7, 0, 0, 4, 8),
        (0.9, 8, 16, 8, 4),
    ]


def test_tiles_are_cut_row_by_row() -> None:
    x = np.arange(2 * 130 * 200).reshape(2, 130, 200)
    tiles = cut(x)
    assert tiles.shape == (2 * 3, 2, 64, 64)
    assert np.array_equal(tiles[4], x[:, 64:128, 64:128])
    assert np.array_equal(cut(x[0])[5], x[0, 64:128, 128:192])
    with pytest.raises(InputError, match="smaller than a tile"):
        cut(x[:, :63])


def test_ranked_precision_by_hand() -> None:
    held = np.array([1, 0, 1, 0])
    assert multi_label.ranked_precision(np.array([4.0, 3, 2, 1]), held) == pytest.approx((1 + 2 / 3) / 2)
    assert multi_label.ranked_precision(np.array([4.0, 1, 3, 2]), held) == 1
    assert multi_label.ranked_precision(np.zeros(4), held) == 0.5  # equal scores say nothing


def test_mean_iou_by_hand() -> None:
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert mean_iou(truth, np.eye(3)[said], np.arange(4), 3) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_token_of_a_series_knows_its_place_on_valid_dates_and_the_season() -> None:
    x = np.array([1.0, 3, 100], np.float32).reshape(1, 3, 1, 1, 1)
    valid = np.array([True, True, False]).reshape(1, 3, 1, 1)
    found = in_season(x, valid, np.array([0, 1, 2]))[0, :, 0, 0]
    assert np.allclose(found[:, 0], [1, 3, 100])
    assert np.allclose(found[:, 1], 2)
    assert np.allclose(found[0, 2:], [0, 1])
    assert np.allclose(np.square(found[:, 2:]).sum(1), 1)


def test_the_places_of_a_series_are_in_one_split_each_and_some_are_learnt_from() -> None:
    split = _split(np.indices((2, 3)).reshape(2, -1).T)
    assert sorted(set(split)) == ["test", "train", "val"]
    assert len(split) == 6


def test_the_command_shows_every_task_and_marks_every_row(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["demonstrate", "--data", str(shared_data), "--encoder", "pixel-statistics"]
    assert main([*asked, "--results", str(tmp_path / "shown.csv"), "--threads", "1"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("demonstration: too little data here for a claim")
    found = load(tmp_path / "shown.csv")
    assert all(MARK in row.unit and row.n for row in found)
    tasks = {"detection", "change", "multi-label", "seasonal series"}
    assert {row.case.split("/")[2] for row in found} == tasks
    for task in tasks:
        mine = [row for row in found if f"/{task}/" in row.case]
        scores = [row for row in mine if row.metric != "bytes"]
        assert {row.case.rsplit("/", 1)[1] for row in scores} == {"uncompressed", "base"}
        assert all(0 <= row.value <= 1 for row in scores)
        (size,) = (row.value for row in mine if row.metric == "bytes")
        assert 10 < size < 1000
    # The change map is a function of two bands whose statistics the tokens are: more than chance must come out.
    (score,) = (row.value for row in found if row.case.endswith("change/uncompressed"))
    assert score > 0.4


@pytest.mark.parametrize(
    ("more", "said"),
    [(["--task", "telepathy"], "no demonstration 'telepathy'"), (["--bytes", "0"], "takes some bytes")],
)
def test_bad_options_are_one_line_and_exit_3(
    more: list[str], said: str, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demonstrate", "--data", str(shared_data), "--encoder", "pixel-statistics", *more]) == 3
    error = capsys.readouterr().err.strip()
    assert said in error
    assert "\n" not in error
