"""Numbers of each EuroSAT tile to be predicted from its embedding: the enriched table of the collection.

Source: pappoja/eurosat, `google_earth_data.ipynb` (commit 0d0ae93) and `data/csv_data` (commit 1ff6797): Earth Engine
layers of 2016, sampled at the tile's centre at 500 m.

NaN rule. Missing: an empty field, `nan` in any case, an infinite number, and **the mean over all 27,000 tiles**, with
which that notebook filled what Earth Engine did not have (`fillna(mean)`; the means are those its output prints, to the
five digits of the table). In the 401 tiles of the collection these are 39 population densities, 37 of them of SeaLake, and
33 soil moistures: left in, a head would be praised for telling lakes apart. A field that is no number raises InputError.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec.data.splits import rows
from codec.errors import InputError

Numbers = npt.NDArray[np.float64]

# Column of the file → what the notebook made it from.
COLUMNS: Mapping[str, str] = {
    "elevation_m": "SRTM elevation, metres",
    "slope_deg": "slope of the SRTM elevation, degrees",
    "ndvi": "MODIS vegetation index, mean of 2016, −1 … 1",
    "temperature_c": "MODIS land surface temperature by day, mean of 2016, °C",
    "humidity_pct": "relative humidity from ERA5 air and dew point temperature, mean of 2016, percent",
    "soil_moisture": "SMAP soil moisture, mean of 2016, as SPL3SMP_E gives it",
    "night_lights": "VIIRS night-time radiance (avg_rad), mean of 2016, as VCMSLCFG gives it",
    "pop_density": "WorldPop people per cell of about 100 m, 2016",
}
# What a gap was filled with, as the table writes it; columns without gaps upstream have none.
FILLED: Mapping[str, float] = {
    "elevation_m": 242.62,
    "slope_deg": 2.3977,
    "ndvi": 0.48674,
    "temperature_c": 16.947,
    "soil_moisture": 0.24399,
    "pop_density": 5.4282,
}
# Span orders of magnitude with most tiles near 0: heads predict log(1 + x).
SKEWED = ("night_lights", "pop_density")


def _number(text: str, path: Path, tile: str, column: str) -> float:
    if text.strip().lower() in ("", "nan"):
        return math.nan
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(
            f"tile {tile} has no number in column {column}",
            path=path,
            found=text,
            fix="restore the file; a missing value is an empty field",
        ) from error
    return value if math.isfinite(value) and value != FILLED.get(column) else math.nan


def eurosat_table(root: Path, split: str, columns: Sequence[str] = tuple(COLUMNS)) -> dict[str, Numbers]:
    """Column → N float64 in the order of the split's tiles (as `readers.eurosat` gives them); NaN where missing.

    Raises InputError for a column that the file lacks, a tile without a row, a field that is no number, and a column
    without any number in this split.
    """
    path = Path(root) / "eurosat_ms" / "index.csv"
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or ()
            table = {row["name"]: row for row in reader}
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", path=path, fix="point --data at the collection"
        ) from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise InputError(f"the table has no column {missing[0]}", path=path, expected=", ".join(header))
    tiles = [row["name"] for row in rows(root, "eurosat_ms", split)]
    lost = [tile for tile in tiles if tile not in table]
    if lost:
        raise InputError(
            f"tile {lost[0]} has no row",
            path=path,
            fix="restore the collection (its check.py names the file)",
        )
    found = {
        column: np.array([_number(table[tile][column], path, tile, column) for tile in tiles], np.float64)
        for column in columns
    }
    for column, values in found.items():
        if np.isnan(values).all():
            raise InputError(f"column {column} has no number in split {split}", path=path)
    return found
