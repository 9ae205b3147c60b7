"""The table's numbers come in the order of the split's tiles, with missing ones as NaN."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from codec.data.eurosat_table import COLUMNS, eurosat_table
from codec.data.readers import eurosat
from codec.errors import InputError


@pytest.mark.shared_data
def test_numbers_stand_in_the_order_of_the_tiles(shared_data: Path) -> None:
    with open(shared_data / "eurosat_ms" / "index.csv", newline="") as file:
        by_name = {row["name"]: row for row in csv.DictReader(file)}
    found = eurosat_table(shared_data, "val")
    tiles = eurosat(shared_data, "val")
    assert tuple(found) == tuple(COLUMNS)
    for column, values in found.items():
        assert values.shape == (74,)
        own = np.array([float(by_name[tile.name][column]) for tile in tiles])
        known = np.isfinite(values)
        assert (values[known] == own[known]).all()
        assert known.sum() > 55


@pytest.mark.shared_data
def test_gaps_that_were_filled_with_a_mean_are_missing(shared_data: Path) -> None:
    """Counted with grep in index.csv: 39 fields 5.4282, 33 fields 0.24399, 11 each of 242.62 and 2.3977, 9 fields 16.947 and
    2 fields 0.48674."""
    found = [eurosat_table(shared_data, split) for split in ("train", "val", "test")]
    missing = {name: sum(int(np.isnan(part[name]).sum()) for part in found) for name in found[0]}
    assert missing == {
        "elevation_m": 11,
        "slope_deg": 11,
        "ndvi": 2,
        "temperature_c": 9,
        "humidity_pct": 0,
        "soil_moisture": 33,
        "night_lights": 0,
        "pop_density": 39,
    }


@pytest.mark.shared_data
def test_the_vegetation_index_of_the_table_follows_the_pixels(shared_data: Path) -> None:
    """An oracle from outside the table: (B08 − B04) / (B08 + B04) of the tiles themselves, in the same order. The table's
    index is of other dates, so it is correlated, not equal; shuffled rows would not be."""
    for split in ("train", "val", "test"):
        table = eurosat_table(shared_data, split, ("ndvi",))["ndvi"]
        own = []
        for tile in eurosat(shared_data, split):
            pixels = tile.reflectance(0, 0, 64, 64).mean((1, 2))
            red, nir = pixels[tile.bands.index("red")], pixels[tile.bands.index("nir")]
            own.append((nir - red) / (nir + red))
        known = np.isfinite(table)
        assert np.corrcoef(table[known], np.array(own)[known])[0, 1] > 0.7


def collection(root: Path, fields: list[str]) -> Path:
    (root / "splits").mkdir()
    (root / "eurosat_ms").mkdir()
    (root / "splits" / "eurosat_ms.csv").write_text(
        "split,name\n" + "".join(f"train,t{i}\n" for i in reversed(range(len(fields))))
    )
    (root / "eurosat_ms" / "index.csv").write_text(
        "name,ndvi\n" + "".join(f"t{i},{f}\n" for i, f in enumerate(fields))
    )
    return root


def test_empty_nan_and_infinite_fields_are_missing(tmp_path: Path) -> None:
    found = eurosat_table(collection(tmp_path, ["0.5", "", "NaN", "inf", "-1e3"]), "train", ("ndvi",))["ndvi"]
    assert found[0] == -1000
    assert found[4] == 0.5
    assert [math.isnan(v) for v in found] == [False, True, True, True, False]


@pytest.mark.parametrize(
    ("fields", "columns", "match"),
    [
        (["x"], ("ndvi",), "tile t0 has no number in column ndvi"),
        (["", "nan"], ("ndvi",), "no number in split train"),
        (["1"], ("elevation_m",), "no column elevation_m"),
    ],
)
def test_what_is_no_number_is_refused(
    tmp_path: Path, fields: list[str], columns: tuple[str, ...], match: str
) -> None:
    with pytest.raises(InputError, match=match):
        eurosat_table(collection(tmp_path, fields), "train", columns)


def test_a_tile_without_a_row_is_refused(tmp_path: Path) -> None:
    collection(tmp_path, ["1", "2"])
    (tmp_path / "eurosat_ms" / "index.csv").write_text("name,ndvi\nt0,1\n")
    with pytest.raises(InputError, match="tile t1 has no row"):
        eurosat_table(tmp_path, "train", ("ndvi",))
