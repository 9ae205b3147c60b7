"""Tiny files of the layouts of the published experiments, written by GDAL: names, sizes and legends as distributed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio

from codec.data.ucmerced_folder import CLASSES

# The contest's legend (microsoft/torchgeo torchgeo/datasets/potsdam.py, 0798ea8).
LEGEND = ((255, 255, 255), (0, 0, 255), (0, 255, 255), (0, 255, 0), (255, 255, 0), (255, 0, 0))
SIDE = 128  # of a Potsdam picture here; 6000 in truth


def picture(path: Path, values: np.ndarray, driver: str = "GTiff") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"compress": "deflate"} if driver == "GTiff" else {}
    with rasterio.open(
        path, "w", driver=driver, count=len(values), height=values.shape[1], width=values.shape[2],
        dtype="uint8", photometric="RGB", **options,
    ) as file:  # fmt: skip
        file.write(values.astype(np.uint8))
    return path


def smooth(rng: np.random.Generator, bands: int, height: int, width: int, level: float = 0.0) -> np.ndarray:
    """Bytes B×H×W of blocks of 8 pixels."""
    coarse = rng.uniform(20, 200, (bands, -(-height // 8), -(-width // 8))) + level
    return coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width].clip(0, 255)


def millionaid(root: Path, n: int = 36) -> Path:
    """Pictures of several sizes: most without class, some three folders deep in theirs."""
    rng = np.random.default_rng(1)
    for i in range(n):
        height, width = (int(side) for side in rng.integers(70, 150, 2))
        below = Path("test") if i % 3 else Path("train/agriculture land/arable land/dry field")
        driver, suffix = (("JPEG", "jpg"), ("PNG", "png"))[i % 2]
        picture(root / below / f"P{i:07}.{suffix}", smooth(rng, 3, height, width), driver)
    return root


def ucmerced(root: Path, numbers: Sequence[int] = (0, 1, 2, 3, 63, 64, 81, 82)) -> Path:
    """`Images/<class>/<class>NN.tif`, 256×256; the mean level tells classes apart."""
    rng = np.random.default_rng(2)
    for index, name in enumerate(CLASSES):
        for number in numbers:
            values = smooth(rng, 3, 256, 256, level=4.0 * index)
            picture(root / "Images" / name / f"{name}{number:02}.tif", values)
    return root


def potsdam(root: Path, tiles: Sequence[str] = ("2_10", "3_11", "6_7", "2_13")) -> Path:
    """`top_potsdam_R_C_RGBIR.tif` and `label_noBoundary/`; a class shines in its own way."""
    rng = np.random.default_rng(3)
    for tile in tiles:
        classes = rng.integers(0, len(LEGEND), (SIDE // 16, SIDE // 16)).repeat(16, 0).repeat(16, 1)
        values = np.stack([30 + 30 * classes, 200 - 25 * classes, 90 + 0 * classes, 40 + 20 * classes])
        picture(
            root / "4_Ortho_RGBIR" / f"top_potsdam_{tile}_RGBIR.tif",
            values + rng.integers(0, 9, values.shape),
        )
        colours = np.array(LEGEND)[classes].transpose(2, 0, 1).copy()
        colours[:, ::16] = 0  # borders of objects, black
        picture(root / "label_noBoundary" / f"top_potsdam_{tile}_label_noBoundary.tif", colours)
    return root
