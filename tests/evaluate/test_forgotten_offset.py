"""A forgotten +1000 of Sentinel-2 costs every encoder most of its accuracy; opening the scene must catch it.

Each way to forget it, on real pixels that carry the offset and on the same pixels without: the first is refused or
named in the notes, the second opens without a word.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from codec.errors import InputError
from codec.scene.names import bands_in_order
from codec.scene.scene import open_scene

ORDER = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
SUSPICION = r"\+1000|plus1000 instead"


@pytest.fixture(scope="module")
def dn(shared_data: Path) -> np.ndarray:
    """13×96×96 digital numbers of level 1C that carry +1000, by the collection's own measurement."""
    import rasterio

    with rasterio.open(shared_data / "terramind_pairs" / "433D_629L_3_1" / "S2L1C.jp2") as dataset:
        return np.asarray(dataset.read(window=((0, 96), (0, 96))))


def write(path: Path, values: np.ndarray, scale: float | None = None) -> Path:
    import rasterio

    where = rasterio.transform.from_origin(5e5, 5e6, 10, 10)
    with rasterio.open(
        path, "w", driver="GTiff", height=96, width=96, count=len(values), dtype=values.dtype, crs="EPSG:32630",
        transform=where,
    ) as dataset:  # fmt: skip
        dataset.write(values)
        if scale is not None:
            dataset.scales = [scale] * len(values)
    return path


def notes(path: Path, order: list[str], scaling: str | None = None) -> str:
    with open_scene([path], sensor="sentinel2-l1c", bands=bands_in_order(order), scaling=scaling) as scene:
        return " | ".join(scene.notes)


@pytest.mark.shared_data
@pytest.mark.parametrize("order", [ORDER, ["B02", "B03", "B04", "B08", "B11", "B12"]], ids=["all", "six"])
def test_no_way_of_forgetting_the_offset_passes_in_silence(
    dn: np.ndarray, tmp_path: Path, order: list[str]
) -> None:
    import re

    raw = dn[[ORDER.index(name) for name in order]]
    numbers = write(tmp_path / "numbers.tif", raw)
    fractions = write(tmp_path / "fractions.tif", (raw / 1e4).astype(np.float32))
    tagged = write(tmp_path / "tagged.tif", raw, 1e-4)
    assert "plus1000, judged by the pixels" in notes(numbers, order)  # nobody told: taken off
    assert re.search(SUSPICION, notes(numbers, order, "no-offset"))  # told wrongly: named
    with pytest.raises(InputError, match=r"\+1000"):  # converted without taking it off: refused,
        notes(fractions, order)
    assert re.search(SUSPICION, notes(fractions, order, "reflectance"))  # or named where it was asked for
    assert re.search(SUSPICION, notes(tagged, order))  # a scale without its offset in the file: named


@pytest.mark.shared_data
def test_numbers_without_the_offset_raise_no_suspicion(dn: np.ndarray, tmp_path: Path) -> None:
    import re

    raw = (dn.astype(np.int32) - 1000).clip(1, None).astype(np.uint16)
    for path, scaling in (
        (write(tmp_path / "numbers.tif", raw), None),
        (write(tmp_path / "fractions.tif", (raw / 1e4).astype(np.float32)), None),
        (write(tmp_path / "tagged.tif", raw, 1e-4), None),
    ):
        assert not re.search(SUSPICION, notes(path, ORDER, scaling))
