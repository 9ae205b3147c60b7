"""Products as ESA ships them, made here from the metadata of a real one and small rasters."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.safe import read_safe
from codec.scene.scene import open_scene

SIDE_M = 1200
DN = {"B02": 1500, "B03": 1600, "B04": 1700, "B08": 3500, "B8A": 3600, "B11": 2900, "B12": 2800, "B01": 1400}
RESOLUTION = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B8A": 20, "B11": 20, "B12": 20, "B01": 60}

MakeSafe = Callable[..., Path]


@pytest.fixture
def make_safe(shared_data: Path, tmp_path: Path) -> MakeSafe:
    """make_safe(edit=…, suffix=…) → the .SAFE folder; `edit` changes the text of the real metadata."""

    def make(edit: Callable[[str], str] = lambda text: text, suffix: str = "jp2") -> Path:
        import rasterio
        from rasterio.transform import Affine

        with zipfile.ZipFile(shared_data / "s2_safe_skeleton.zip") as archive:
            archive.extractall(tmp_path)
        safe = next(tmp_path.glob("*.SAFE"))
        metadata = safe / "MTD_MSIL2A.xml"
        metadata.write_text(edit(metadata.read_text()))
        images = next((safe / "GRANULE").iterdir()) / "IMG_DATA"
        for native, dn in DN.items():
            for metres in (10, 20, 60):
                if metres < RESOLUTION[native]:
                    continue
                side = SIDE_M // metres
                data = np.full((side, side), dn, np.uint16)
                data[: side // 4] = 0  # the north quarter was not measured
                path = images / f"R{metres}m" / f"T22HBD_20210122T133229_{native}_{metres}m.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                options: dict[str, Any] = {"quality": 100, "reversible": "yes"} if suffix == "jp2" else {}
                with rasterio.open(
                    path, "w", driver="JP2OpenJPEG" if suffix == "jp2" else "GTiff", count=1, height=side,
                    width=side, dtype="uint16", crs="EPSG:32722",
                    transform=Affine(metres, 0, 199980, 0, -metres, 5900020), **options,
                ) as dataset:  # fmt: skip
                    dataset.write(data, 1)
        tci = np.full((3, 120, 120), 90, np.uint8)
        with rasterio.open(images / "R10m" / "T22HBD_20210122T133229_TCI_10m.tif", "w", driver="GTiff", count=3,
                           height=120, width=120, dtype="uint8", photometric="RGB",
                           transform=Affine(10, 0, 199980, 0, -10, 5900020)) as dataset:  # fmt: skip
            dataset.write(tci)
        return safe

    return make


def with_offsets(text: str) -> str:
    """As baseline 04.00 writes it (Sentinel-2 products specification document 14.9): one element per band id."""
    values = "".join(f'<BOA_ADD_OFFSET band_id="{i}">-1000</BOA_ADD_OFFSET>' for i in range(13))
    text = text.replace("<PROCESSING_BASELINE>02.14<", "<PROCESSING_BASELINE>04.00<")
    return text.replace(
        "</QUANTIFICATION_VALUES_LIST>",
        f"</QUANTIFICATION_VALUES_LIST><BOA_ADD_OFFSET_VALUES_LIST>{values}</BOA_ADD_OFFSET_VALUES_LIST>",
    )


def check(scene: Any, offset: float) -> None:
    assert scene.sensor.name == "sentinel2-l2a"
    assert scene.bands == ("coastal", "blue", "green", "red", "nir", "nir08", "swir16", "swir22")
    assert (scene.height, scene.width) == (120, 120)
    assert scene.georeference.epsg == 32722
    assert scene.time == datetime(2021, 1, 22, 13, 32, 29, 24000, tzinfo=timezone.utc)
    pixels, validity = scene.read((0, 0, 120, 120), scene.bands)
    assert not validity[:30].any()
    assert validity[30:].all()
    expected = [(DN[scene.sensor.band(name).native] + offset) / 1e4 for name in scene.bands]
    np.testing.assert_allclose(
        pixels[:, 30:].reshape(8, -1), np.array(expected)[:, None] * np.ones(90 * 120), atol=1e-6
    )


@pytest.mark.parametrize("suffix", ["jp2", "tif"])
def test_a_safe_folder_opens_at_10_m_with_all_its_bands(make_safe: MakeSafe, suffix: str) -> None:
    with open_scene([make_safe(suffix=suffix)]) as scene:
        check(scene, 0.0)
        assert any("baseline 02.14" in note for note in scene.notes)


def test_the_folder_above_and_the_zip_open_alike(make_safe: MakeSafe, tmp_path: Path) -> None:
    safe = make_safe(suffix="tif")
    with open_scene([safe.parent]) as scene:
        check(scene, 0.0)
    with zipfile.ZipFile(tmp_path / "product.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(safe.rglob("*")):
            archive.write(file, file.relative_to(safe.parent))
    with open_scene([tmp_path / "product.zip"]) as scene:
        check(scene, 0.0)


def test_listed_offsets_are_applied(make_safe: MakeSafe) -> None:
    with open_scene([make_safe(with_offsets, suffix="tif")]) as scene:
        check(scene, -1000.0)
        assert any("additive offsets (-1000)" in note for note in scene.notes)


def test_a_baseline_from_04_00_on_means_the_offset_though_none_is_listed(make_safe: MakeSafe) -> None:
    newer = make_safe(lambda text: text.replace(">02.14<", ">05.09<"), suffix="tif")
    with open_scene([newer]) as scene:
        check(scene, -1000.0)


def test_the_finest_image_of_each_band_is_taken(make_safe: MakeSafe) -> None:
    images = read_safe(make_safe(suffix="tif")).images
    assert {native: int(re.search(r"_(\d+)m\.", place)[1]) for native, place in images.items()} == RESOLUTION


def test_another_sensor_than_the_products_is_refused(make_safe: MakeSafe) -> None:
    with pytest.raises(InputError, match="the product is sentinel2-l2a, not sentinel2-l1c"):
        open_scene([make_safe(suffix="tif")], sensor="sentinel2-l1c")


def test_a_product_without_images_is_refused(shared_data: Path) -> None:
    with pytest.raises(InputError, match="metadata but no image files; fetch the whole product"):
        open_scene([shared_data / "s2_safe_skeleton.zip"])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text[:2000], "not well-formed"),
        (lambda text: text.replace(">10000<", "><"), "no usable reflectance scale"),
        (lambda text: text.replace(">10000<", ">0<"), "no usable reflectance scale"),
        (lambda text: text.replace(">02.14<", ">?<"), "neither offsets nor the processing baseline"),
        (lambda text: text.replace("?>", '?><!DOCTYPE x [<!ENTITY a "b">]>', 1), "document type"),
    ],
)
def test_damaged_metadata_is_refused(make_safe: MakeSafe, edit: Callable[[str], str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_scene([make_safe(edit, suffix="tif")])


def test_a_safe_folder_without_metadata_is_refused(tmp_path: Path) -> None:
    (tmp_path / "S2A_MSIL2A.SAFE").mkdir()
    with pytest.raises(InputError, match="no MTD_MSIL1C"):
        open_scene([tmp_path / "S2A_MSIL2A.SAFE"])
