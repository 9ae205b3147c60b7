"""HLS Burn Scars: 804 scenes of 512×512 pixels at 30 m over the United States, with a mask of what burnt.

Layout, as the data card of `ibm-nasa-geospatial/hls_burn_scars` states it; names as yurujaja/pangaea-bench
`pangaea/datasets/hlsburnscars.py` (commit 2021933) reads them:
- `training/` and `validation/` (two thirds and one third, drawn by scene); there is no third part, and the published
  figures score on `validation/`.
- `<scene>_merged.tif`: six bands as reflectance in floating point: Sentinel-2 B02, B03, B04, B8A, B11, B12, harmonised.
- `<scene>.mask.tif`: 1 burnt, 0 not, −1 no data.

Fill values are −9999 in HLS; 9999 occurs in the published scenes as well. Neither is a measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from codec.data.mask_folder import class_numbers, same_grid
from codec.data.picture_files import PictureRule, not_read, read_indices, read_picture
from codec.data.raster import Raster
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError

NAME = "hls-burn-scars"
GSD_M = 30.0
BANDS = ("blue", "green", "red", "nir08", "swir16", "swir22")
CLASSES = ("not burnt", "burnt")
FOLDERS: Mapping[str, str] = {"train": "training", "test": "validation"}
FILL = (-9999.0, 9999.0)
_SCENE, _MASK = "_merged.tif", ".mask.tif"


def _pairs(folder: Path) -> tuple[dict[str, tuple[Path, Path]], list[Path]]:
    """Scene name → picture and mask, by name; and files that are neither."""
    if not folder.is_dir():
        raise InputError(
            f"the folder {folder.name} is missing",
            path=folder,
            expected="training and validation",
            fix="unpack the whole archive, and name the folder that holds both",
        )
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    scenes = {p.name.removesuffix(_SCENE): p for p in files if p.name.endswith(_SCENE)}
    masks = {p.name.removesuffix(_MASK): p for p in files if p.name.endswith(_MASK)}
    if not scenes and not masks:
        raise InputError("the folder holds no scene", path=folder, fix=f"unpack the files called …{_SCENE}")
    for name in sorted(scenes.keys() ^ masks.keys()):
        alone, lacks = (
            (scenes[name], f"mask {name}{_MASK}")
            if name in scenes
            else (masks[name], f"scene {name}{_SCENE}")
        )
        raise InputError(
            f"the file has no {lacks}", path=alone, fix="restore the other file, or remove this one"
        )
    known = {*scenes.values(), *masks.values()}
    return {name: (scenes[name], masks[name]) for name in scenes}, [p for p in files if p not in known]


def _scene(path: Path, name: str) -> Raster:
    image = read_picture(path, NAME, name, PictureRule(bands=BANDS, scaling=(1.0, 0.0)))
    if image.native.dtype.kind != "f":
        raise InputError(
            "the scene holds whole numbers, not reflectance",
            path=path,
            expected="floating point",
            found=image.native.dtype,
            fix="use the scenes as published, or multiply by their scale",
        )
    valid = image.validity & ~np.isin(image.native, FILL).any(axis=0)
    return replace(image, native=image.native.astype(np.float32), validity=valid)  # published as float64


def burn_scars(root: Path, split: Literal["train", "test"]) -> SampleSet:
    """Scenes of a part, read one at a time; each is a place of its own.

    Raises InputError for a missing or empty part (of both, whichever is asked for), a scene in both parts, a scene without
    its mask or the reverse; and, when a pair is read, for a damaged file, another number of bands, numbers that are no
    reflectance, a mask of another size or place, and a number of no class.
    """
    root = Path(root)
    parts = {part: _pairs(root / folder) for part, folder in FOLDERS.items()}
    both = sorted(parts["train"][0].keys() & parts["test"][0].keys())
    if both:
        raise InputError(
            "the scene lies in training and validation",
            path=parts["test"][0][both[0]][0],
            fix="unpack the archive anew",
        )
    found, strange = parts[split]
    names = tuple(found)

    def read(index: int) -> Sample:
        picture, mask = found[names[index]]
        image = _scene(picture, names[index])
        target = class_numbers(read_indices(mask), mask, len(CLASSES), None)
        sample = Sample(image, target, names[index])
        same_grid(picture, mask)
        return sample

    return SampleSet(NAME, "mask", CLASSES, names, read, notes=not_read(strange))
