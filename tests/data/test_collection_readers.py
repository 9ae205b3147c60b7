"""Readers give reflectance under canonical names, from the right split, with each file's own offset."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import rasterio

from codec.data.raster import Raster
from codec.data.readers import SOURCES, read_source
from codec.data.splits import rows, windows
from codec.errors import InputError

# Clear-sky reflectance of land and water lies well inside these bounds; a forgotten offset or scale does not.
PLAUSIBLE_MEDIAN = (0.005, 0.5)


def test_reflectance_is_scale_times_number_plus_offset() -> None:
    raster = Raster(
        "s", "n", ("red",), np.full((1, 4, 4), 2000, np.uint16), 1e-4, -0.1, np.ones((4, 4), np.bool_)
    )
    assert raster.reflectance(1, 1, 2, 3).shape == (1, 2, 3)
    assert raster.reflectance(0, 0, 4, 4) == pytest.approx(0.1)
    with pytest.raises(InputError, match="leaves the image"):
        raster.reflectance(1, 0, 4, 4)


def test_band_names_and_bands_must_match_in_number() -> None:
    with pytest.raises(InputError, match="one band name per band"):
        Raster("s", "n", ("red", "nir"), np.zeros((1, 4, 4), np.uint8), 1.0, 0.0, np.ones((4, 4), np.bool_))


@pytest.mark.shared_data
@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_source_reads_as_plausible_reflectance(shared_data: Path, name: str) -> None:
    images = read_source(name, shared_data)
    for image in images[:3] + images[-1:]:
        assert len(set(image.bands)) == len(image.bands)
        assert "cirrus" not in image.bands
        pixels = image.reflectance(0, 0, image.height, image.width)[:, image.validity]
        cloudy = name == "cloud38"  # two of its four training patches are cloud almost everywhere
        assert (
            PLAUSIBLE_MEDIAN[0]
            < np.median(pixels[image.bands.index("red")])
            < (1.2 if cloudy else PLAUSIBLE_MEDIAN[1])
        )


@pytest.mark.shared_data
def test_the_offset_of_each_file_brings_its_empty_band_to_zero(shared_data: Path) -> None:
    """B10 sees next to nothing on a clear day, so its minimum is the offset: an oracle inside the files."""
    for split in ("train", "val", "test"):
        for image in read_source("terramind", shared_data, split):
            place, product = image.name.split("/")
            if product == "S2L1C":
                with rasterio.open(shared_data / "terramind_pairs" / place / "S2L1C.jp2") as file:
                    cirrus = file.read(11)
                assert abs(cirrus.min() * 1e-4 + image.offset) < 0.01, image.name


@pytest.mark.shared_data
def test_band_order_of_eurosat_follows_its_index_values(shared_data: Path) -> None:
    """The NDVI in the index was computed by others: the band we call nir must reproduce its ranking, B8A's place not."""
    with open(shared_data / "eurosat_ms" / "index.csv", newline="") as file:
        ndvi = {row["name"]: float(row["ndvi"]) for row in csv.DictReader(file) if row["ndvi"]}
    images = [image for image in read_source("eurosat", shared_data) if image.name in ndvi]
    ours = []
    for image in images:
        mean = image.reflectance(0, 0, 64, 64).mean((1, 2))
        red, nir, nir08 = (mean[image.bands.index(b)] for b in ("red", "nir", "nir08"))
        ours.append((nir - red) / (nir + red))
        assert (
            0.7 < nir08 / nir < 1.6
        )  # neighbours in the spectrum; any other band in their place breaks this
    assert np.corrcoef(ours, [ndvi[image.name] for image in images])[0, 1] > 0.3


@pytest.mark.shared_data
def test_splits_share_no_image(shared_data: Path) -> None:
    for name in ("eurosat", "terramind", "sen1floods11", "lahinch", "cloud38", "naip", "ucmerced", "dubai"):
        seen: set[str] = set()
        for split in ("train", "val", "test"):
            names = {image.name for image in read_source(name, shared_data, split)}
            assert not names & seen, name
            seen |= names


@pytest.mark.shared_data
def test_column_windows_of_one_file_do_not_overlap(shared_data: Path) -> None:
    for name in ("sen1floods11_spain", "naip_prairie"):
        taken: dict[str, list[tuple[int, int]]] = {}
        for split in ("train", "val", "test"):
            for window in windows(shared_data, name, split):
                for start, stop in taken.get(window.file, []):
                    assert window.col >= stop or window.col + window.width <= start
                taken.setdefault(window.file, []).append((window.col, window.col + window.width))


@pytest.mark.shared_data
def test_unknown_names_are_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match="no data source"):
        read_source("imagenet", shared_data)
    with pytest.raises(InputError, match="no split"):
        rows(shared_data, "eurosat_ms", "dev")
    with pytest.raises(InputError, match="training only"):
        read_source("beaufort", shared_data, "test")


def test_a_missing_collection_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="point --data"):
        rows(tmp_path, "eurosat_ms", "train")
    with pytest.raises(InputError, match="not a readable raster"):
        read_source("beaufort", tmp_path)
