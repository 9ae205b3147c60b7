"""Tiny files of the layouts of Burn Scars and MADOS, written by GDAL as the data card and the authors' reader describe.

In both, the class of a pixel is where a band beyond the visible is bright, so that something can be learned of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

# Central wavelengths of Sentinel-2A and 2B as MADOS' file names have them, by resolution in metres.
MADOS_2A = {10: (492, 560, 665, 833), 20: (704, 740, 783, 865, 1614, 2202), 60: (443,)}
MADOS_2B = {10: (492, 559, 665, 833), 20: (704, 739, 780, 864, 1610, 2186), 60: (442,)}


def tif(path: Path, array: np.ndarray, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = array if array.ndim == 3 else array[None]
    count, height, width = array.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype, **more
    ) as file:
        file.write(array)
    return path


def burn_scar_scene(folder: Path, name: str, side: int = 24, seed: int = 0) -> tuple[Path, Path]:
    """A scene whose burnt half is bright in its last band; the first row of the mask has no data."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.int16)
    mask[:, side // 2 :] = 1
    pixels = rng.uniform(0.05, 0.2, (6, side, side))
    pixels[5] += 0.4 * mask
    mask[0] = -1
    grid = {"crs": "EPSG:32610", "transform": from_origin(5e5 + 30_000 * seed, 4e6, 30, 30)}
    return (
        tif(folder / f"{name}_merged.tif", pixels, **grid),  # float64, as published
        tif(folder / f"{name}.mask.tif", mask, **grid),
    )


def burn_scar_files(root: Path, side: int = 24, scenes: int = 2) -> Path:
    """`scenes` of each part."""
    for part, folder in enumerate(("training", "validation")):
        for i in range(scenes):
            seed = scenes * part + i
            name = f"subsetted_512x512_HLS.S30.T10SE{'GHJK'[seed % 4]}.20182{seed:02d}.v1.4"
            burn_scar_scene(root / folder, name, side, seed)
        (root / folder / "index.csv").write_text("not an image\n")
    return root


def mados_crop(
    root: Path, scene: int, crop: int, side: int = 12, wavelengths: dict[int, tuple[int, ...]] | None = None
) -> None:
    """A crop whose water (class 7) is where 865 nm is dark and whose sargassum (2) where it is bright; one row is open."""
    rng = np.random.default_rng([scene, crop])
    label = np.full((side, side), 7, np.uint8)
    label[side // 2 :] = 2
    for gsd, names in (wavelengths or MADOS_2A).items():
        n = side * 10 // gsd
        for wavelength in names:
            band = rng.uniform(0.02, 0.06, (n, n)).astype(np.float32)
            if 860 < wavelength < 870:
                band[n // 2 :] += 0.3
            path = root / f"Scene_{scene}" / str(gsd) / f"Scene_{scene}_L2R_rhorc_{wavelength}_{crop}.tif"
            tif(path, band)
    label[0] = 0
    for kind in ("cl", "conf", "rep"):
        tif(root / f"Scene_{scene}" / "10" / f"Scene_{scene}_L2R_{kind}_{crop}.tif", label)


def mados_files(root: Path, side: int = 12) -> Path:
    """Two scenes in training, one in each other split; scene 1 is Sentinel-2B's."""
    splits = {"train": ((0, 1), (1, 1), (1, 12)), "val": ((2, 1),), "test": ((3, 1), (3, 2))}
    (root / "splits").mkdir(parents=True, exist_ok=True)
    for split, crops in splits.items():
        lines = []
        for scene, crop in crops:
            mados_crop(root, scene, crop, side, MADOS_2B if scene == 1 else MADOS_2A)
            lines.append(f"Scene_{scene}_{crop}\n")
        (root / "splits" / f"{split}_X.txt").write_text("".join(lines))
    return root
