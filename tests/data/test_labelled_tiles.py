"""Token labels are majorities of pixels, and labelled tiles keep pixels, masks and places together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.data.labelled import TASKS, UNLABELLED, place_bands, token_labels
from codec.models.bands import S2_NANO_BANDS


def test_a_token_has_the_label_of_sixty_percent_of_its_pixels() -> None:
    mask = np.zeros((8, 24), np.int64)
    mask[:5, :8] = 1  # 40 of 64 pixels: 62.5 %
    mask[:4, 8:16] = 1  # 50 %: undecided
    mask[:, 16:] = UNLABELLED
    assert token_labels(mask).tolist() == [[1, UNLABELLED, UNLABELLED]]


def test_unlabelled_pixels_do_not_win_and_do_not_vote() -> None:
    mask = np.full((8, 8), UNLABELLED, np.int64)
    mask[:4] = 1
    assert token_labels(mask).tolist() == [[UNLABELLED]]
    mask[:5] = 1
    assert token_labels(mask).tolist() == [[1]]
    assert token_labels(np.full((8, 16), UNLABELLED, np.int64)).tolist() == [[UNLABELLED, UNLABELLED]]


def test_bands_are_placed_by_name() -> None:
    pixels = np.stack([np.full((2, 2), v, np.float32) for v in (3.0, 1.0)])
    placed, present = place_bands(pixels, ("red", "blue"), ("blue", "green", "red"))
    assert placed[:, 0, 0].tolist() == [1.0, 0.0, 3.0]
    assert present.tolist() == [True, False, True]


@pytest.mark.shared_data
@pytest.mark.parametrize("task", sorted(TASKS))
def test_every_task_has_labels_of_several_classes_and_matching_shapes(shared_data: Path, task: str) -> None:
    tiles = TASKS[task](shared_data, "train", S2_NANO_BANDS)
    n = len(tiles.pixels)
    assert tiles.pixels.shape == (n, 12, 64, 64)
    assert tiles.labels.shape in ((n,), (n, 8, 8))
    assert tiles.groups.shape == (n,)
    known = tiles.labels[tiles.labels != UNLABELLED]
    assert len(np.unique(known)) >= 2
    assert known.max() < len(tiles.classes)
    assert np.all(tiles.pixels[~tiles.present] == 0)


@pytest.mark.shared_data
def test_water_tokens_are_darker_in_the_near_infrared_than_dry_ones(shared_data: Path) -> None:
    tiles = TASKS["water"](shared_data, "train", S2_NANO_BANDS)
    nir = tiles.pixels[:, S2_NANO_BANDS.index("nir")].reshape(-1, 8, 8, 8, 8).mean((2, 4))
    assert np.median(nir[tiles.labels == 1]) < 0.5 * np.median(nir[tiles.labels == 0])
