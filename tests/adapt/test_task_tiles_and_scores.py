"""Pictures become tiles and tiles pictures; the published metrics by hand and by the harness's statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from codec.adapt.tasks.recipe import PaperTask, load_task, task_names
from codec.adapt.tasks.scoring import confusion, f1_of, iou_of, score_of, scored
from codec.adapt.tasks.tiling import cut, joined, starts, token_classes, training_tiles
from codec.adapt.training import NO_CLASS
from codec.data.raster import Raster
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError
from codec.evaluate.intervals import confusion_sums, macro_f1_of, mean_iou_of
from codec.scene.sensors import CANONICAL_BANDS


def task(labels: str = "pixel", **changes: Any) -> PaperTask:
    of_pixels = {"metric": "mean IoU", "layout": "mados"}
    of_pictures = {"metric": "macro F1", "layout": "geobench", "folder": "m-so2sat"}
    values = {"name": "t", "bands": ("red", "nir"), "size": 20, "gsd_m": 10, "classes": 3, "labels": labels}
    return PaperTask.model_validate(
        {**values, **(of_pixels if labels == "pixel" else of_pictures), **changes}
    )


def sample(size: int = 20, seed: int = 0, target: Any = None) -> Sample:
    """Bands of the file in another order than the task's, one pixel not measured."""
    rng = np.random.default_rng(seed)
    native = rng.uniform(0, 1, (3, size, size)).astype(np.float32)
    valid = np.ones((size, size), np.bool_)
    valid[3, 2] = False
    if target is None:
        target = rng.integers(-1, 3, (size, size))
    return Sample(
        Raster("t", f"p{seed}", ("nir", "green", "red"), native, 2.0, 0.0, valid),
        np.asarray(target, np.int64),
        "p",
    )


def set_of(samples: list[Sample]) -> SampleSet:
    names = tuple(f"p{i}" for i in range(len(samples)))
    kind = "mask" if samples[0].target.ndim else "class"
    return SampleSet("t", kind, ("a", "b", "c"), names, lambda i: samples[i])  # type: ignore[arg-type]


@pytest.mark.parametrize("length", range(1, 40))
def test_tiles_cover_a_side_and_stay_inside(length: int) -> None:
    found = starts(length, 8)
    assert set().union(*(range(at, at + 8) for at in found)) >= set(range(length))
    assert found[-1] + 8 <= max(length, 8)
    assert len(found) == max(1, -(-length // 8))  # not one more than needed


@pytest.mark.parametrize("size", [5, 8, 16, 20])
def test_a_picture_that_was_cut_is_joined_again(size: int) -> None:
    one = sample(size)
    tiles = cut(one, task(size=max(size, 8)), 8)
    red_nir = one.image.native[[2, 0]] * 2.0
    whole = joined(tiles.pixels.transpose(0, 2, 3, 1), tiles.corners, size, size)
    assert np.allclose(whole, red_nir.transpose(1, 2, 0))
    valid = joined(tiles.validity[..., None].astype(np.float32), tiles.corners, size, size)[..., 0]
    assert np.array_equal(valid > 0.5, one.image.validity)
    labels = joined(tiles.labels[..., None].astype(np.float32), tiles.corners, size, size)[..., 0]
    assert np.array_equal(labels, one.target)


def test_what_lies_beyond_a_small_picture_is_invalid_and_has_no_class() -> None:
    tiles = cut(sample(5), task(), 8)
    assert len(tiles.corners) == 1
    assert not tiles.validity[0, 5:].any()
    assert not tiles.validity[0, :, 5:].any()
    assert (tiles.labels[0, 5:] == NO_CLASS).all()
    assert (tiles.pixels[0, :, 5:] == 0).all()


def test_zoom_repeats_pixels() -> None:
    one = sample(4, target=2)
    tiles = cut(one, task("picture", size=8, zoom=2), 8)
    assert np.array_equal(tiles.pixels[0, 0, ::2, ::2], tiles.pixels[0, 0, 1::2, 1::2])
    assert np.allclose(tiles.pixels[0, 0, ::2, ::2], one.image.native[2] * 2.0)
    assert tiles.labels.tolist() == [2]
    assert (~tiles.validity).sum() == 4


def test_a_token_has_the_class_most_of_its_labelled_pixels_agree_on() -> None:
    labels = np.full((1, 8, 8), NO_CLASS)
    labels[0, 0, :3] = (2, 2, 1)  # token (0, 0): two thirds say 2, however few are labelled
    labels[0, 0, 4:6] = (0, 1)  # token (0, 1): no agreement
    labels[0, 4, 0] = 1  # token (1, 0): its only label was not measured
    validity = np.ones((1, 8, 8), np.bool_)
    validity[0, 4, 0] = False
    assert token_classes(labels, validity, 4, 3, 0.6).tolist() == [[[2, -1], [-1, -1]]]
    assert token_classes(labels, validity, 4, 3, 0.7).tolist() == [[[-1, -1], [-1, -1]]]
    assert token_classes(labels, validity, 4, 3, 0.5).tolist() == [[[2, 0], [-1, -1]]]


def test_training_takes_at_most_so_many_tiles_spread_over_the_pictures() -> None:
    pictures = [sample(20, seed, target=seed % 3) for seed in range(6)]  # 9 tiles of 8 pixels each
    for limit, expected in ((100, 54), (54, 54), (30, 30), (12, 12), (4, 4)):
        found = training_tiles(set_of(pictures), task("picture", tiles=limit), 8, 4)
        assert len(found) == expected
        per_class = np.bincount(found.labels, minlength=3)
        assert limit < 6 or (per_class == expected // 3).all()
    again = training_tiles(set_of(pictures), task("picture", tiles=4), 8, 4)
    assert np.array_equal(found.pixels, again.pixels)


def test_tiles_without_labels_teach_nothing() -> None:
    target = np.full((20, 20), NO_CLASS)
    target[:8, :8] = 1
    found = training_tiles(set_of([sample(20, 0, target)]), task(), 8, 4)
    assert len(found) == 1
    assert (found.labels == 1).all()
    with pytest.raises(InputError, match="no tile of t has a label"):
        training_tiles(set_of([sample(20, 0, np.full((20, 20), NO_CLASS))]), task(), 8, 4)


def test_scores_by_hand() -> None:
    truth = np.array([0, 0, 0, 1, 1, 2, -1, -1])
    found = np.array([0, 0, 1, 1, 0, 2, 2, 0])
    matrix = confusion(truth, found, 4)
    assert matrix.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert iou_of(matrix)[:3] == pytest.approx([2 / 4, 1 / 3, 1.0])
    assert f1_of(matrix)[:3] == pytest.approx([4 / 6, 2 / 4, 1.0])
    assert np.isnan(iou_of(matrix)[3])  # a class that does not occur is not scored
    value, of_classes = score_of(matrix, task(classes=4))
    assert value == pytest.approx(100 * (2 / 4 + 1 / 3 + 1) / 3)
    assert of_classes[2] == pytest.approx(100)
    value, _ = score_of(matrix, task(classes=4, metric="IoU", scored_class=1))
    assert value == pytest.approx(100 / 3)
    with pytest.raises(InputError, match="no label of the test split can be scored"):
        score_of(matrix, task(classes=4, metric="IoU", scored_class=3))


def test_scores_are_those_of_the_harness() -> None:
    rng = np.random.default_rng(1)
    truth, found = rng.integers(0, 5, 300), rng.integers(0, 6, 300)
    matrix = confusion(truth, found, 6)
    sums = confusion_sums(truth, found, np.zeros(300, np.int64), 6)[0, 0]
    value, _ = score_of(matrix, task(classes=6))
    assert value == pytest.approx(100 * float(mean_iou_of(sums)))
    value, _ = score_of(matrix, task("picture", classes=6))
    assert value == pytest.approx(100 * float(macro_f1_of(sums)))


class _Level:
    """An adapter and head in one: the class of a token is the level of its first band, rounded."""

    def logits(self, pixels: np.ndarray, patch: int) -> np.ndarray:
        n, _, side, _ = pixels.shape
        level = pixels[:, 0].reshape(n, side // patch, patch, side // patch, patch).mean((2, 4))
        return -np.abs(level[..., None] - np.arange(3)).astype(np.float32)


def test_pixels_of_a_picture_larger_than_a_tile_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture whose classes are whole patches: all right inside them, and every labelled pixel counts once."""
    target = np.zeros((24, 24), np.int64)
    target[:, 16:] = 2
    native = np.stack([target, target, target / 2]).astype(np.float32)  # red · 2 is the class
    target[:4] = NO_CLASS
    picture = Sample(
        Raster("t", "p", ("nir", "green", "red"), native, 2.0, 0.0, np.ones((24, 24), np.bool_)), target, "p"
    )
    monkeypatch.setattr(
        "codec.adapt.tasks.scoring.logits", lambda adapted, head, data: _Level().logits(data.pixels, 4)
    )
    matrix = scored(None, None, set_of([picture, picture]), task(size=24), 16)  # type: ignore[arg-type]
    assert matrix.sum() == 2 * 20 * 24
    # Interpolated logits: of the two classes' border, at most half a patch on each side is open.
    assert matrix[0, 0] >= 2 * 20 * 14
    assert matrix[2, 2] >= 2 * 20 * 6
    assert np.diag(matrix).sum() >= 0.9 * matrix.sum()


def test_a_picture_has_the_class_of_the_largest_mean_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    """One tile that is all but certain of another class does not outvote three."""
    answers = np.log(np.array([[0.7, 0.3, 1e-9]] * 3 + [[1e-6, 1, 1e-9]], np.float32))
    monkeypatch.setattr("codec.adapt.tasks.scoring.logits", lambda adapted, head, data: answers)
    matrix = scored(None, None, set_of([sample(16, 0, 0)]), task("picture", size=16), 8)  # type: ignore[arg-type]
    assert matrix[0, 0] == 1


# Band sets, sizes and metrics of the paper's benchmark: research note, section 3.
PAPER = {
    "so2sat": (10, 32, 17, "macro F1"),
    "brick-kiln": (10, 64, 2, "macro F1"),  # 13 names in the files, three of them a picture
    "forestnet": (6, 332, 12, "macro F1"),
    "burn-scars": (6, 512, 2, "IoU"),
    "mados": (11, 240, 15, "mean IoU"),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_shipped_recipes_are_the_papers_tasks(name: str) -> None:
    found = load_task(name)
    assert (len(found.bands), found.size, found.classes, found.metric) == PAPER[name]
    assert found.name == name
    assert set(found.bands) <= set(CANONICAL_BANDS)
    assert task_names() == tuple(sorted(PAPER))
    assert load_task(name, fast=True).training.steps < found.training.steps
    assert load_task(name, ("training.steps=7",), fast=True).training.steps == 7
    assert found.learned("full", 3).rate < found.learned("deflect", 3).rate
    assert found.learned("deflect", 3).seed == 3
