"""MADOS, Marine Debris and Oil Spill: crops of 240×240 pixels of 174 Sentinel-2 scenes, sparsely labelled in 15 classes.

Layout, read in its authors' own reader, gkakogeorgiou/mados `utils/dataset.py`, `utils/stack_patches.py` and
`utils/assets.py` (commit 158c672):
- `Scene_<n>/<10|20|60>/Scene_<n>_L2R_rhorc_<wavelength>_<crop>.tif`: one band each at its own resolution in metres, as
  Rayleigh-corrected reflectance; the wavelength is the satellite's (Sentinel-2A or 2B), so names differ by scene.
- `Scene_<n>/10/Scene_<n>_L2R_cl_<crop>.tif`: 0 no label, 1 … 15 the classes; `…_conf_…` and `…_rep_…` are not read.
- `splits/<train|val|test>_X.txt`: a crop on each line, `Scene_<n>_<crop>`.

Coarser bands are brought to 10 m by nearest neighbour, as published. B9 and B10 are not in the set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from codec.data.mask_folder import class_numbers
from codec.data.picture_files import PictureRule, read_indices, read_picture
from codec.data.raster import Raster
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError
from codec.scene.sensors import sensor

NAME = "mados"
GSD_M = 10.0
CLASSES = (
    "marine debris",
    "dense sargassum",
    "sparse floating algae",
    "natural organic material",
    "ship",
    "oil spill",
    "marine water",
    "sediment-laden water",
    "foam",
    "turbid water",
    "shallow water",
    "waves and wakes",
    "oil platform",
    "jellyfish",
    "sea snot",
)
BANDS: Mapping[str, float] = {  # canonical name → centre of Sentinel-2B, nm
    band.name: band.wavelength_nm
    for band in sensor("sentinel2-l1c").bands
    if band.name not in ("nir09", "cirrus")
}
SPLITS = ("train", "val", "test")
RESOLUTIONS_M = (10, 20, 60)
_NO_LABEL = 0
_NEAR = 0.02  # of the wavelength: Sentinel-2A and 2B differ by at most 0.8 %, neighbouring bands by 3.6 %
_CROP = re.compile(r"(Scene_\d+)_(\d+)")
_FILE = re.compile(r"(Scene_\d+)_L2R_(?:rhorc_(\d+)|(cl))_(\d+)\.tiff?")


@dataclass(slots=True)
class _Crop:
    bands: dict[str, tuple[Path, int]] = field(default_factory=dict)  # band → file and resolution, m
    label: Path | None = None


def _names(root: Path, split: str) -> tuple[str, ...]:
    path = root / "splits" / f"{split}_X.txt"
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"the split cannot be read: {getattr(error, 'strerror', None) or 'no text'}",
            path=path,
            fix="name the folder that holds splits/ and Scene_0/, Scene_1/, …",
        ) from error
    if not lines:
        raise InputError("the split is empty", path=path, fix="unpack the archive anew")
    for name in lines:
        if not _CROP.fullmatch(name):
            raise InputError("not a crop", path=path, expected="a name such as Scene_12_3", found=name)
    return tuple(lines)


def band_at(wavelength_nm: float, path: Path) -> str:
    """The band of a file's wavelength; one of no band raises InputError."""
    name = min(BANDS, key=lambda band: abs(BANDS[band] - wavelength_nm))
    if abs(BANDS[name] - wavelength_nm) > _NEAR * BANDS[name]:
        raise InputError(
            "no band of Sentinel-2 lies there",
            path=path,
            expected="443 … 2202 nm",
            found=f"{wavelength_nm} nm",
        )
    return name


def _crops(folder: Path) -> dict[str, _Crop]:
    """Crop number → files of a scene."""
    found: dict[str, _Crop] = {}
    for gsd in RESOLUTIONS_M:
        for path in sorted((folder / str(gsd)).glob("*.tif*")):
            name = _FILE.fullmatch(path.name)
            if name is None:  # confidence, report, colour preview
                continue
            if name[1] != folder.name:
                raise InputError("the file is of another scene", path=path, expected=folder.name)
            crop = found.setdefault(name[4], _Crop())
            if name[3]:
                crop.label = path
                continue
            band = band_at(float(name[2]), path)
            if band in crop.bands:
                raise InputError(
                    f"the crop has two files of band {band}", path=path, found=crop.bands[band][0].name
                )
            crop.bands[band] = (path, gsd)
    return found


def _checked(root: Path, names: tuple[str, ...]) -> dict[str, tuple[Path, dict[str, tuple[Path, int]]]]:
    """Crop → label and band files. Also crops of the same scenes that no split names must be whole."""
    scenes: dict[str, dict[str, _Crop]] = {}
    for name in names:
        match = _CROP.fullmatch(name)
        assert match is not None  # `_names` checked it
        scene = match[1]
        crops = scenes.setdefault(scene, {} if scene in scenes else _crops(root / scene))
        if match[2] not in crops:
            raise InputError(
                f"crop {name} is missing", path=root / scene, fix="unpack the archive anew, or mend the split"
            )
    whole = {}
    for scene, crops in scenes.items():
        for number, crop in crops.items():
            if crop.label is None:
                lone = next(iter(crop.bands.values()))[0]
                label = f"{scene}_L2R_cl_{number}.tif"
                raise InputError(f"the crop has no label {label}", path=lone, fix="restore it in folder 10")
            lacks = [band for band in BANDS if band not in crop.bands]
            if lacks:
                raise InputError(
                    f"the crop of this label lacks band {lacks[0]}",
                    path=crop.label,
                    expected=f"{len(BANDS)} bands",
                    found=len(crop.bands),
                    fix=f"restore its file of about {BANDS[lacks[0]]:.0f} nm",
                )
            whole[f"{scene}_{number}"] = (crop.label, crop.bands)
    return whole


def _image(files: dict[str, tuple[Path, int]], name: str, shape: tuple[int, ...], label: Path) -> Raster:
    native = np.empty((len(BANDS), *shape), np.float32)
    valid = np.ones(shape, np.bool_)
    for i, band in enumerate(BANDS):
        path, gsd = files[band]
        one = read_picture(path, NAME, name, PictureRule(bands=(band,), scaling=(1.0, 0.0)))
        if one.native.dtype.kind != "f":
            raise InputError(
                "the band holds whole numbers, not reflectance", path=path, found=one.native.dtype,
                fix="use the files as published",
            )  # fmt: skip
        times = gsd // RESOLUTIONS_M[0]
        if tuple(times * n for n in one.validity.shape) != shape:
            raise InputError(
                f"the band at {gsd} m does not cover its label {label.name}",
                path=path,
                expected=tuple(n / times for n in shape),
                found=one.validity.shape,
            )
        native[i] = one.native[0].repeat(times, 0).repeat(times, 1)
        valid &= one.validity.repeat(times, 0).repeat(times, 1)
    return Raster(NAME, name, tuple(BANDS), native, 1.0, 0.0, valid)


def mados(root: Path, split: Literal["train", "val", "test"]) -> SampleSet:
    """Crops of a split in its order, read one at a time; the place of a crop is its scene.

    Raises InputError for splits that are missing, empty or overlap, for a crop without its label or a label without its
    bands, and, when a crop is read, for a damaged file, a size that does not fit, and a number of no class.
    """
    root = Path(root)
    names = {part: _names(root, part) for part in SPLITS}
    for part in SPLITS:
        both = sorted(set(names[split]) & set(names[part]))
        if part != split and both:
            raise InputError(f"a crop lies in {split} and {part}", path=root / "splits", found=both[0])
    files = _checked(root, names[split])
    numbers: dict[int, int | None] = {_NO_LABEL: None, **{i + 1: i for i in range(len(CLASSES))}}

    def read(index: int) -> Sample:
        name = names[split][index]
        label, bands = files[name]
        target = class_numbers(read_indices(label), label, len(CLASSES), numbers)
        return Sample(_image(bands, name, target.shape, label), target, name.rpartition("_")[0])

    return SampleSet(NAME, "mask", CLASSES, names[split], read)
