"""Numbers of each EuroSAT tile to be predicted from its embedding: the enriched table of the collection.

The columns come from `data/csv_data` of pappoja/eurosat (commit 1ff6797), joined by the collection's README; they describe
the tile's centre or surroundings and were made by its author from Earth Engine layers. The README states names, not
products; units are those of the column names, and where a name has none the unit is not stated (night lights, population
density, soil moisture).

NaN rule: an empty field, `nan` in any case, and an infinite number are NaN, which a head must leave out. Nothing else is
read as missing: no number is a fill value in this table. A field that is no number raises InputError.
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

# Column of the file → what it is. NDVI follows from the pixels; the others do not.
COLUMNS: Mapping[str, str] = {
    "elevation_m": "elevation, metres",
    "slope_deg": "slope, degrees",
    "ndvi": "vegetation index, −1 … 1",
    "temperature_c": "air temperature, °C",
    "humidity_pct": "relative humidity, percent",
    "soil_moisture": "soil moisture, unit not stated",
    "night_lights": "night-time radiance, unit not stated",
    "pop_density": "population density, unit not stated",
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
    return value if math.isfinite(value) else math.nan


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
