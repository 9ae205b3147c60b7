"""Targets of the demonstration tasks follow from masks and dates by the stated rules."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from codec.data.components import Box, boxes, components
from codec.data.derived_targets import (
    Series,
    change_pair,
    lahinch_series,
    multi_label,
    multi_label_set,
    naip_pairs,
    series_tiles,
    vegetation_index,
)
from codec.data.raster import Raster
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError

MASK = """
#..##
#...#
.#...
....#
#####
"""


def drawn(text: str) -> np.ndarray:
    return np.array([[c == "#" for c in line] for line in text.split()])


def test_objects_are_numbered_by_their_first_pixel() -> None:
    eight, n = components(drawn(MASK), 8)
    assert n == 3
    assert eight.tolist() == [[1, 0, 0, 2, 2], [1, 0, 0, 0, 2], [0, 1, 0, 0, 0], [0, 0, 0, 0, 3], [3] * 5]
    assert components(drawn(MASK), 4)[1] == 4  # the corner of the first object is an object of its own


@settings(max_examples=80, deadline=None)
@given(mask=arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))), eight=st.booleans())
def test_components_are_those_of_scipy(mask: np.ndarray, eight: bool) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    expected, n = ndimage.label(mask, structure=np.ones((3, 3)) if eight else None)
    found, count = components(mask, 8 if eight else 4)
    assert count == n
    assert (found == expected).all()
    expected_boxes = [
        (s[0].start, s[1].start, s[0].stop - s[0].start, s[1].stop - s[1].start)
        for s in ndimage.find_objects(expected)
    ]
    own = boxes(mask.astype(np.int64), [1], neighbours=8 if eight else 4)
    assert [(b.row, b.col, b.height, b.width) for b in own] == expected_boxes
    assert sum(b.pixels for b in own) == mask.sum()


def test_a_spiral_is_one_object() -> None:
    """Long winding objects need many rounds of merging."""
    mask = np.zeros((99, 99), np.bool_)
    top, left, bottom, right = 0, 0, 98, 98
    row, col = 0, -2
    mask[0, 0] = True
    row, col = 0, 0
    while right - left > 2 and bottom - top > 2:
        for r, c in ((row, right), (bottom, right), (bottom, left), (top + 2, left)):
            mask[min(row, r) : max(row, r) + 1, min(col, c) : max(col, c) + 1] = True
            row, col = r, c
        top, right, bottom, left = top + 2, right - 2, bottom - 2, left + 2
        mask[row, col : left + 1] = True
        col = left
    assert components(mask, 4)[1] == 1


def test_boxes_carry_class_size_and_whether_the_border_cuts_them() -> None:
    mask = np.full((10, 12), -1)
    mask[2:5, 3:9] = 4
    mask[3, 4] = 0
    mask[7:, 0:2] = 4
    assert boxes(mask, [4, 0]) == [
        Box(2, 3, 3, 6, 4, 17, False),
        Box(7, 0, 3, 2, 4, 6, True),
        Box(3, 4, 1, 1, 0, 1, False),
    ]
    assert boxes(mask, [4, 0], min_pixels=7) == [Box(2, 3, 3, 6, 4, 17, False)]
    assert boxes(mask, [3]) == []
    for wrong in (lambda: boxes(mask, [4], min_pixels=0), lambda: components(mask[0] > 0)):
        with pytest.raises(InputError):
            wrong()


def test_a_class_is_present_from_a_share_of_the_labelled_pixels_on() -> None:
    mask = np.full((10, 10), -1)
    mask[:4] = 0
    mask[0, :2] = 2  # 2 of 40: exactly 5 %
    mask[0, 2] = 1  # 1 of 40
    assert multi_label(mask, 4).tolist() == [1, 0, 1, 0]
    assert multi_label(np.full((2, 2), -1), 3).tolist() == [-1, -1, -1]
    with pytest.raises(InputError, match="outside the classes"):
        multi_label(np.full((2, 2), 3), 3)


def raster(
    values: np.ndarray, bands: tuple[str, ...] = ("red", "nir"), valid: np.ndarray | None = None
) -> Raster:
    valid = np.ones(values.shape[1:], np.bool_) if valid is None else valid
    return Raster("s", "n", bands, values.astype(np.float32), 1.0, 0.0, valid)


def test_a_set_of_masks_becomes_a_set_of_label_vectors() -> None:
    mask = np.zeros((4, 4), np.int64)
    mask[0, 0] = 1
    valid = np.ones((4, 4), np.bool_)
    valid[0, 0] = False
    sample = Sample(raster(np.ones((2, 4, 4)), valid=valid), mask, "p")
    masks = SampleSet("x", "mask", ("a", "b"), ("p",), lambda i: sample)
    found = multi_label_set(masks)
    assert (found.task, found[0].target.tolist()) == ("labels", [1, 0])  # the only b is not measured
    with pytest.raises(InputError, match="has no masks"):
        multi_label_set(found)


def test_change_is_what_changed_more_than_everything_did() -> None:
    """NDVI 0.5 everywhere, then 0.6 (season), but 0 in one corner and 0.9 in another; one pixel is not measured."""

    def image(ndvi: np.ndarray, valid: np.ndarray | None = None) -> Raster:
        return raster(np.stack([(1 - ndvi) / 2, (1 + ndvi) / 2]), valid=valid)

    later = np.full((8, 8), 0.6)
    later[:2, :2], later[6:, 6:] = 0.0, 0.9
    valid = np.ones((8, 8), np.bool_)
    valid[4, 4] = False
    days = date(2012, 7, 31), date(2015, 9, 26)
    pair = change_pair(image(np.full((8, 8), 0.5)), image(later, valid), days, 0.2)
    expected = np.zeros((8, 8), int)
    expected[:2, :2], expected[6:, 6:], expected[4, 4] = 1, 2, -1
    assert (pair.target == expected).all()
    assert pair.change[0, 0] == pytest.approx(-0.6, abs=1e-5)
    with pytest.raises(InputError, match="not in order"):
        change_pair(pair.before, pair.after, days[::-1])
    with pytest.raises(InputError, match="differ in size or bands"):
        change_pair(pair.before, raster(np.ones((2, 4, 4))), days)
    with pytest.raises(InputError, match="needs red and nir"):
        vegetation_index(raster(np.ones((1, 4, 4)), ("red",)))
    assert np.isnan(vegetation_index(raster(np.zeros((2, 2, 2))))).all()


def test_a_series_keeps_its_dates_in_order_and_its_tiles_aligned() -> None:
    images = tuple(raster(np.full((2, 16, 24), float(i + 1))) for i in range(3))
    masks = np.zeros((3, 16, 24), np.int64)
    masks[1, :8, :5] = 2  # 62.5 % of the first tile
    masks[2, :8, 8:12] = 1  # half of the second: no majority
    days = (date(2017, 1, 1), date(2017, 2, 1), date(2017, 12, 31))
    series = Series(days, images, masks, ("land", "water", "cloud"))
    tiles = series_tiles(series, ("nir", "blue"), 8)
    assert tiles.pixels.shape == (6, 3, 2, 8, 8)
    assert tiles.pixels[5, :, 0, 0, 0].tolist() == [1, 2, 3]
    assert tiles.present.tolist() == [True, False]
    assert tiles.day_of_year.tolist() == [1, 32, 365]
    assert tiles.labels[:2].tolist() == [[0, 2, 0], [0, 0, -1]]
    assert tiles.place.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    with pytest.raises(InputError, match="not in order"):
        Series(days[::-1], images, masks, series.classes)
    with pytest.raises(InputError, match="smaller than a tile"):
        series_tiles(series, ("nir",), 64)
    with pytest.raises(InputError, match="none of these bands"):
        series_tiles(series, ("swir16",), 8)


@pytest.mark.shared_data
def test_the_collections_dates_and_masks_give_demonstration_targets(shared_data: Path) -> None:
    pairs = naip_pairs(shared_data, "val")
    assert [tuple(d.year for d in p.dates) for p in pairs] == [(2012, 2015), (2012, 2019), (2015, 2019)]
    for pair in pairs:
        assert pair.target.shape == (723, 140)
        assert abs(float(np.nanmedian(pair.change))) < 1e-6
        assert 0.01 < (pair.target > 0).mean() < 0.35
    series = lahinch_series(shared_data)
    assert [d.isoformat() for d in series.dates] == [
        "2017-09-18",
        "2017-09-21",
        "2017-09-26",
        "2017-10-08",
        "2017-10-18",
    ]
    cloudy = [(mask[mask >= 0] == 2).mean() for mask in series.masks]
    assert cloudy[4] > 0.99  # the collection's README: 10-18 is entirely cloud, 10-08 half
    assert 0.3 < cloudy[3] < 0.7
    tiles = series_tiles(series, ("red", "nir"), 64)
    assert tiles.labels.shape == (6, 5)
    assert (tiles.labels[:, 4] == 2).all()


@pytest.mark.shared_data
def test_boxes_of_drawn_buildings_are_the_bounds_of_their_polygons(shared_data: Path) -> None:
    """Atlanta's 43 footprints, rasterised by GDAL: boxes of lone objects are the polygons' own bounds to a pixel."""
    import rasterio
    from rasterio.features import rasterize

    with rasterio.open(shared_data / "spacenet" / "atlanta_pan.jp2") as source:
        transform, shape = source.transform, source.shape
    features = json.loads((shared_data / "spacenet" / "atlanta_buildings.geojson").read_text())["features"]
    assert len(features) == 43
    mask = rasterize([(f["geometry"], 1) for f in features], shape, transform=transform, all_touched=False)
    found = boxes(mask.astype(np.int64), [1], min_pixels=20)
    assert 30 <= len(found) <= 43  # touching houses are one
    bounds = []
    for f in features:
        ring = np.array(f["geometry"]["coordinates"][0], float)[:, :2]
        cols, rows = (ring[:, 0] - transform.c) / transform.a, (ring[:, 1] - transform.f) / transform.e
        bounds.append((rows.min(), cols.min(), rows.max(), cols.max()))
    near = sum(
        any(
            np.abs(np.array(b) - (x.row, x.col, x.row + x.height, x.col + x.width)).max() <= 1 for b in bounds
        )
        for x in found
        if not x.cut
    )
    assert near >= 0.7 * sum(not x.cut for x in found)
