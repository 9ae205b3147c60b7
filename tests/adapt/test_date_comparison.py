"""A series answered as one and date by date: what is there, what is averaged, and who learns from whom."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import adapter_tasks
from benchmarks.adapter_dates import (
    ARMS,
    DatedArm,
    PlaceTask,
    answer_dates,
    date_rows,
    main,
    mean_of_dates,
)
from benchmarks.adapter_tasks import Answered, Arm, Folders
from benchmarks.dated_series import CLOUD, Series, coast_series, corners, stable_classes
from codec.adapt.training import NO_CLASS, Labelled, TaskRecipe
from codec.data.raster import Raster
from codec.errors import InputError
from codec.models.bands import S2_NANO_BANDS
from codec.models.vit import Encoder, EncoderConfig
from codec.models.weights import save_encoder

BANDS = ("blue", "green", "red", "nir")
SMALL = {"layers": "all", "uatt__rank": 4}
SINGLE = DatedArm("averaged", Arm("deflect", "deflect", "tiny", SMALL), "alone", averaged=True)
ONE = replace(SINGLE, name="one", averaged=False)
WHOLE = DatedArm("whole", SINGLE.arm, "all")
RECIPE = TaskRecipe(steps=3, batch=4)


@pytest.fixture
def where(tmp_path: Path) -> Folders:
    """A tiny encoder that sees red, green and blue."""
    config = EncoderConfig(bands=BANDS[:3], tile=16, patch=8, width=16, depth=2, heads=2)
    (tmp_path / "tiny").mkdir()
    save_encoder(Encoder(config), tmp_path / "tiny" / "encoder.safetensors")
    return Folders(tmp_path, tmp_path)


def series(n: int = 12, dates: int = 3, seed: int = 0) -> Series:
    """Two tiles a place; every date of every tile is there."""
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(0.02, 0.5, (n, dates, len(BANDS), 16, 16)).astype(np.float32)
    present, validity = np.ones((n, dates), np.bool_), np.ones((n, dates, 16, 16), np.bool_)
    labels = rng.integers(0, 2, (n, 2, 2))
    return Series("made", BANDS, pixels, present, validity, labels, ("land", "water"), np.arange(n) // 2)


@pytest.mark.parametrize("arm", [SINGLE, ONE, WHOLE], ids=lambda arm: arm.name)
def test_what_stands_on_an_absent_date_changes_nothing(arm: DatedArm, where: Folders, tmp_path: Path) -> None:
    of = series()
    of.present[::3, 1] = False
    answers = []
    for number, value in enumerate((np.float32("nan"), np.float32(0.3))):
        pixels, validity = of.pixels.copy(), of.validity.copy()
        pixels[::3, 1], validity[::3, 1] = value, number == 1
        other = replace(of, pixels=pixels, validity=validity)
        answers.append(answer_dates(arm, other, RECIPE, where, tmp_path / str(number)).answers)
    assert np.array_equal(*answers)
    if arm is ONE:
        assert (answers[0][::3, 1] == NO_CLASS).all()
        assert (answers[0] != NO_CLASS).sum() == 4 * of.present.sum()
    else:
        assert answers[0].shape == (12, 1, 2, 2)
        assert set(np.unique(answers[0])) <= {0, 1}


def test_dates_of_a_tile_are_bands_and_a_pixel_is_valid_where_all_that_are_there_are() -> None:
    of = series()
    of.validity[0, 1, 3, 4] = of.validity[0, 2, 5, 6] = False
    of.present[0, 2] = False
    data, names = of.until(3)
    assert names == (*BANDS, *(f"{band}@1" for band in BANDS), *(f"{band}@2" for band in BANDS))
    assert data.present[0].tolist() == [True] * 8 + [False] * 4
    assert np.argwhere(~data.validity[0]).tolist() == [[3, 4]]
    assert np.array_equal(data.pixels[5, names.index("nir@2")], of.pixels[5, 2, 3])
    first, names = of.until(1)
    assert names == BANDS
    assert np.array_equal(first.pixels, of.pixels[:, 0])
    assert first.validity.all()
    single, tile, date = of.alone()
    assert len(single) == 12 * 3 - 1
    assert (0, 2) not in zip(tile.tolist(), date.tolist(), strict=True)
    assert np.array_equal(single.validity[1], of.validity[0, 1])


def test_an_average_is_of_the_probabilities_of_the_dates_that_are_there() -> None:
    logits = np.array([[[[0.0, 9.0]]], [[[1.0, 0.0]]], [[[1.0, 0.0]]], [[[3.0, 2.0]]]], np.float32)
    found = mean_of_dates(logits, np.array([0, 0, 0, 1]))
    sure, half = 1 / (1 + np.exp(-9)), 1 / (1 + np.exp(1))
    assert found.shape == (2, 1, 1, 2)
    assert found[0, 0, 0, 1] == pytest.approx((sure + 2 * half) / 3, abs=1e-6)
    assert found[1, 0, 0, 1] == pytest.approx(half, abs=1e-6)
    assert found[1].sum() == pytest.approx(1)


def test_a_tile_counts_as_much_as_any_other_whatever_the_number_of_its_dates() -> None:
    of = series(4, 2)
    of.labels[:] = 1
    of.labels[3, 0] = NO_CLASS
    answers = np.ones((1, 4, 2, 2, 2), np.int64)
    answers[0, 0, 1] = 0  # one date of two is wrong
    answers[0, 2, 1] = NO_CLASS  # the other is right
    found = PlaceTask("made", of.until(2)[0], of.groups).sums(answers)
    assert found.tolist() == [[[0, 0, 2, 6], [0, 0, 0, 6]]]  # 2 places × (truth, answer)


@pytest.mark.parametrize("arm", [SINGLE, WHOLE], ids=lambda arm: arm.name)
def test_no_place_is_learned_from_and_answered(
    arm: DatedArm, where: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = series()
    of.present[:, 0] = False
    of.present[::2, 0] = True
    of.pixels[:, :, 3] = (of.groups / 100)[:, None, None, None]
    learned: list[set[int]] = []
    asked: list[set[int]] = []

    def places(data: Labelled) -> set[int]:
        """Nir of a date that every tile has."""
        return set(np.round(data.pixels[:, -1, 0, 0] * 100).astype(int).tolist())

    def train(adapted: Any, data: Labelled, recipe: TaskRecipe) -> None:
        learned.append(places(data))

    def logits(adapted: Any, head: None, data: Labelled) -> Any:
        asked.append(places(data))
        return np.zeros((*data.labels.shape, 2), np.float32)

    monkeypatch.setattr(adapter_tasks, "train", train)
    monkeypatch.setattr(adapter_tasks, "logits", logits)
    answer_dates(arm, of, RECIPE, where, tmp_path / "kept")
    assert len(asked) == adapter_tasks.FOLDS
    assert set().union(*asked) == set(range(6))
    assert sum(map(len, asked)) == 6
    for held, other in zip(asked, learned, strict=True):
        assert held | other == set(range(6))
        assert not held & other


def test_what_only_a_pair_of_dates_shows_is_learned_from_all_dates_and_not_by_averaging(
    where: Folders, tmp_path: Path
) -> None:
    """Nir rises or falls: of single dates both classes look the same."""
    of = series(24, 2)
    rng = np.random.default_rng(1)
    base = rng.uniform(0.1, 0.3, of.labels.shape)
    rises = of.labels == 1
    nir = np.stack([np.where(rises, base, base + 0.2), np.where(rises, base + 0.2, base)], axis=1)
    of.pixels[:, :, 3] = nir.repeat(8, axis=2).repeat(8, axis=3)
    recipe = TaskRecipe(steps=60, batch=16, rate=0.02, head_rate=0.02)
    right = {
        arm.name: float(
            (answer_dates(arm, of, recipe, where, tmp_path / "kept").answers[:, 0] == of.labels).mean()
        )
        for arm in (SINGLE, WHOLE)
    }
    assert right["whole"] > 0.9
    assert right["averaged"] < 0.65


def test_answers_are_kept_by_what_decides_them(where: Folders, tmp_path: Path) -> None:
    of, kept = series(), tmp_path / "kept"
    answer_dates(SINGLE, of, RECIPE, where, kept)
    (file,) = (kept / "alone").iterdir()
    with np.load(file) as found:
        np.savez(
            file, logits=np.stack([np.full(found["logits"].shape[:-1], 3.0), found["logits"][..., 0] * 0], -1)
        )
    # One model answers single dates, averaged or not; nothing would learn to say one class everywhere.
    for arm in (SINGLE, ONE):
        assert (answer_dates(arm, of, RECIPE, where, kept).answers == 0).all()
    of.validity[0, 0, 0, 0] = False
    answer_dates(SINGLE, of, RECIPE, where, kept)
    assert len(list((kept / "alone").iterdir())) == 2


def test_rows_hold_every_arm_against_averaged_dates() -> None:
    of = series(40)
    right = {"deflect, dates averaged": 0.7, "deflect, all dates": 0.9}
    rng = np.random.default_rng(2)
    found = {
        arm.name: [
            Answered(
                np.where(rng.random(of.labels.shape) < right.get(arm.name, 0.6), of.labels, 1 - of.labels)[
                    :, None
                ],
                10,
                1000,
            )
            for _ in range(3)
        ]
        for arm in ARMS
    }
    made = date_rows(of, found)
    assert len({row.key for row in made}) == len(made)
    further = next(row for row in made if row.rival == "deflect, first date")
    assert further.case == "dates/made/deflect, all dates"
    assert further.lo is not None and further.lo > 0  # noqa: PT018
    rows = {(row.case, row.metric): row for row in made if row.rival != "deflect, first date"}
    assert not [case for case, _ in rows if "average/" in case]
    assert {row.suite for row in rows.values()} == {"adapters"}
    best = rows["dates/made/deflect, all dates", "mean IoU, difference"]
    assert best.rival == "deflect, dates averaged"
    assert best.lo is not None and best.lo > 0  # noqa: PT018
    assert best.n == 20
    assert rows["dates/made/deflect, one date", "mean IoU, difference"].value < 0
    assert ("dates/made/deflect, dates averaged", "mean IoU, difference") not in rows
    assert len([metric for _, metric in rows if metric == "mean IoU"]) == len(ARMS)


def raster(name: str, value: int, bands: tuple[str, ...] = S2_NANO_BANDS) -> Raster:
    native = np.full((len(bands), 150, 200), value, np.uint16)
    return Raster("made", name, bands, native, 1e-4, 0.0, np.ones((150, 200), np.bool_))


def test_a_scene_becomes_tiles_on_dates_in_order_and_cloud_takes_dates_away() -> None:
    clear, half, cloudy = (np.zeros((150, 200), np.int64) for _ in range(3))
    clear[:, :40] = half[:, :40] = 1
    half[:, 150:] = CLOUD
    cloudy[:] = CLOUD
    dates = [
        (raster("2017-10-18", 9000), cloudy),
        (raster("2017-09-18", 1000), clear),
        (raster("2017-09-21", 2000), half),
    ]
    found = coast_series(dates)
    assert found.pixels.shape == (24, 3, 12, 64, 64)
    assert found.pixels[0, :, 0, 0, 0] == pytest.approx([0.1, 0.2, 0.9])
    assert not found.present[:, 2].any()
    assert found.present[:, 0].all()
    # Of the third column of places, which begins at 133, from 150 on.
    assert found.present[found.groups % 3 == 2, 1].tolist() == [False] * 8
    assert found.present[found.groups % 3 != 2, 1].all()
    left = found.labels[found.groups == 0]
    assert left[0].tolist() == [[1] * 5 + [0] * 3] * 8
    with pytest.raises(InputError, match="a tile has no date"):
        coast_series(dates[:1])
    with pytest.raises(InputError, match="lacks a band"):
        coast_series([(raster("2017-09-18", 1000, S2_NANO_BANDS[1:]), clear)])


def test_a_pixel_has_a_class_where_its_clear_dates_agree() -> None:
    # Two clear dates, and one of which three quarters of what is measured is cloud.
    masks = np.array([[[0, 1, 0, -1, 0, -1]], [[0, 1, 1, 1, CLOUD, -1]], [[1, CLOUD, CLOUD, -1, -1, CLOUD]]])
    assert stable_classes(masks).tolist() == [[0, 1, -1, 1, 0, -1]]


def test_places_share_no_pixel_and_their_tiles_reach_their_ends() -> None:
    cuts, places = corners(158, 214)
    seen = np.full((158, 214), -1)
    for (row, col), place in zip(cuts, places, strict=True):
        assert (row.stop - row.start, col.stop - col.start) == (64, 64)
        assert set(np.unique(seen[row, col])) <= {-1, place}
        seen[row, col] = place
    assert (seen >= 0).all()
    assert np.bincount(places).tolist() == [4] * 6
    assert len(corners(128, 192)[0]) == 6  # where a place is one tile
    with pytest.raises(InputError, match="smaller than a tile"):
        corners(127, 192)


def test_data_that_are_not_there_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path / "none"), "--results", str(tmp_path)]) == InputError.exit_code
    assert "cannot be read" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.csv"))
