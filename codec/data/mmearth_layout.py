"""MMEarth's modalities as data: data sets of its HDF5 file, their bands, units and what means "no value".

Read in vishalned/MMEarth-data `utils/convert_to_h5.py` (commit 7890980: names, shapes, types, band order, fill values),
`ee_utils/ee_data.py` and `config/config_data.yaml` (37833a7: collections, classes, resampling), and in
vishalned/MMEarth-train `MODALITIES.py` (1f368b3: no-value list).

Where we read otherwise than its training code:
- `canopy_height_eth` is int8, so the fill 255 was saturated to 127 by HDF5; heights above 100 m are missing here.
- `esa_worldcover`: both 0 (training code) and 255 (data code) are missing, and *tree cover* (10 → class 0) is not.
- `sentinel2`: 0 is missing before any normalisation. B10 of L2A tiles was filled with 0 and is never read by default.
- `era5` is NaN where missing; `inf` (torchgeo) is taken as missing too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["image", "classes", "numbers", "one-hot"]
S2_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8A", "B8", "B9", "B10", "B11", "B12")
CANONICAL = {
    "B1": "coastal",
    "B2": "blue",
    "B3": "green",
    "B4": "red",
    "B5": "rededge071",
    "B6": "rededge075",
    "B7": "rededge078",
    "B8A": "nir08",
    "B8": "nir",
    "B9": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
_ERA5 = ("temperature mean", "temperature min", "temperature max", "precipitation sum")
DYNAMIC_WORLD = (
    "water",
    "trees",
    "grass",
    "flooded vegetation",
    "crops",
    "shrub and scrub",
    "built",
    "bare",
    "snow and ice",
)
WORLD_COVER = {
    10: "tree cover",
    20: "shrubland",
    30: "grassland",
    40: "cropland",
    50: "built-up",
    60: "bare / sparse vegetation",
    70: "snow and ice",
    80: "permanent water bodies",
    90: "herbaceous wetland",
    95: "mangroves",
    100: "moss and lichen",
}
MAX_CANOPY_M = 100


@dataclass(frozen=True, slots=True)
class Modality:
    """One data set of the file, N first."""

    kind: Kind
    bands: tuple[str, ...]  # axis 1 of an image or of numbers; of classes and one-hot: one
    unit: str
    scale: float = 1.0  # value = number · scale
    missing: tuple[float, ...] = ()  # numbers that mean "no value"; NaN and ±inf always do
    above: float | None = None  # numbers above it too
    classes: Mapping[int, int] | None = None  # number → class; any other number is no class
    names: tuple[str, ...] = ()  # of the classes


MODALITIES: Mapping[str, Modality] = {
    # Collections are the harmonised ones and scenes are of 2017–2020: reflectance = DN / 10,000 without offset.
    "sentinel2": Modality("image", tuple(CANONICAL[b] for b in S2_BANDS), "reflectance", 1e-4, (0,)),
    "sentinel1": Modality(
        "image", tuple(f"{o} {p}" for o in ("asc", "desc") for p in ("VV", "VH", "HH", "HV")), "dB"
    ),
    "aster": Modality("image", ("elevation", "slope"), "m, degrees"),
    "canopy_height_eth": Modality("image", ("height", "std"), "m", above=MAX_CANOPY_M, missing=(-1,)),
    "dynamic_world": Modality(
        "classes", ("label",), "class", classes={i + 1: i for i in range(9)}, names=DYNAMIC_WORLD
    ),
    "esa_worldcover": Modality(
        "classes",
        ("map",),
        "class",
        classes={number: i for i, number in enumerate(WORLD_COVER)},
        names=tuple(WORLD_COVER.values()),
    ),
    "era5": Modality(
        "numbers", tuple(f"{w} {v}" for w in ("previous month", "month", "year") for v in _ERA5), "K, m"
    ),
    "lat": Modality("numbers", ("sin", "cos"), "of the latitude"),
    "lon": Modality("numbers", ("sin", "cos"), "of the longitude"),
    "month": Modality("numbers", ("sin", "cos"), "of 2π · month / 12"),
    "biome": Modality("one-hot", ("biome",), "class (14)"),
    "eco_region": Modality("one-hot", ("eco_region",), "class (846)"),
    "sentinel2_cloudmask": Modality("image", ("QA60",), "bits", missing=(65535,)),
    "sentinel2_cloudprod": Modality("image", ("MSK_CLDPRB",), "percent", missing=(65535,)),
    "sentinel2_scl": Modality("image", ("SCL",), "class as delivered", missing=(255,)),
}
