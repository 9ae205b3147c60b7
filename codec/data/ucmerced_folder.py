"""UC Merced as its authors distribute it: `Images/<class>/<class>00.tif` … `99.tif`, 21 classes.

Read in the data set's readme.txt (a copy: ymhzyj/Remote-Sensing-Image-Scene-Classification-with-Noisy-Label-Distillation-NLD
`data/UCMerced_LandUse/readme.txt`, commit 67e1a03: 21 classes of 100 pictures, 256×256, 1 foot) and in microsoft/torchgeo
`torchgeo/datasets/ucmerced.py` (06cab16: folders, class names, lists of splits). Some pictures are a few pixels smaller or
larger than 256; they are read as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codec.data.image_folder import class_folders
from codec.data.picture_files import PictureRule, not_read, pictures_in, read_picture
from codec.data.samples import Sample, SampleSet, require_two_of_each
from codec.errors import InputError

GSD_M = 0.3048
CLASSES = (
    "agricultural",
    "airplane",
    "baseballdiamond",
    "beach",
    "buildings",
    "chaparral",
    "denseresidential",
    "forest",
    "freeway",
    "golfcourse",
    "harbor",
    "intersection",
    "mediumresidential",
    "mobilehomepark",
    "overpass",
    "parkinglot",
    "river",
    "runway",
    "sparseresidential",
    "storagetanks",
    "tenniscourt",
)
PER_CLASS = 100
NEIGHBOURS = 3  # consecutive numbers of a class that may show one source picture
# Numbers of each class; three lie unused between two splits.
BLOCKS: Mapping[str, range] = {"train": range(60), "val": range(63, 78), "test": range(81, 100)}
_NUMBER = re.compile(r"([a-z]+)(\d+)")


def _images(root: Path) -> Path:
    for folder in (root, root / "Images", root / "UCMerced_LandUse" / "Images"):
        if (folder / CLASSES[0]).is_dir():
            return folder
    raise InputError(
        "not the folder of UC Merced",
        path=root,
        expected=f"Images/{CLASSES[0]}/…",
        fix="name the unpacked folder",
    )


def number_of(name: str) -> int:
    """The number in a picture's name, `river07.tif` → 7."""
    found = _NUMBER.fullmatch(Path(name).stem)
    if found is None:
        raise InputError(
            "the picture's name is not its class and a number", path=name, expected="river07.tif"
        )
    return int(found[2])


def ucmerced_folder(root: Path) -> SampleSet:
    """All pictures; a place is a few consecutive numbers of a class. Raises InputError where a class is missing or has one
    picture, or a picture stands in another class's folder."""
    folder = _images(Path(root))
    there = {p.name for p in class_folders(folder)}
    if there != set(CLASSES):
        raise InputError(
            "the classes are not those of UC Merced",
            path=folder,
            expected=f"{len(CLASSES)} classes",
            found=f"missing {sorted(set(CLASSES) - there)}, more {sorted(there - set(CLASSES))}",
            fix="unpack the archive again, or read it as any folder of pictures",
        )
    paths: list[Path] = []
    labels: list[int] = []
    strange: list[Path] = []
    notes: list[str] = []
    for index, name in enumerate(CLASSES):
        found, other = pictures_in(folder / name)
        strange += other
        for path in found:
            if not path.stem.startswith(name):
                raise InputError(
                    "the picture's name is not its class and a number", path=path, expected=f"{name}00.tif"
                )
        if len(found) != PER_CLASS:
            notes.append(f"{name} has {len(found)} of {PER_CLASS} pictures")
        paths += found
        labels += [index] * len(found)
    label = np.array(labels, np.int64)
    require_two_of_each(label, CLASSES, folder)
    keys = tuple(path.relative_to(folder).as_posix() for path in paths)
    numbers = [number_of(path.name) for path in paths]
    rule = PictureRule(bands=("red", "green", "blue"), sensor="rgb", max_window=256)

    def read(index: int) -> Sample:
        image = read_picture(paths[index], "ucmerced", keys[index], rule)
        place = f"{CLASSES[label[index]]}/{numbers[index] // NEIGHBOURS}"
        return Sample(image, np.asarray(label[index]), place)

    return SampleSet("ucmerced", "class", CLASSES, keys, read, label, (*notes, *not_read(strange)))


def block(samples: SampleSet, split: str) -> SampleSet:
    """The pictures whose numbers belong to a split of `BLOCKS`."""
    if split not in BLOCKS:
        raise InputError(f"there is no split {split}", expected=", ".join(BLOCKS), found=split)
    names = [name for name in samples.names if number_of(name) in BLOCKS[split]]
    if not names:
        raise InputError(f"split {split} is empty", fix="restore the missing pictures")
    return samples.only(names)


def listed(samples: SampleSet, path: Path) -> SampleSet:
    """The pictures of a published list, one file name a line (`uc_merced-train.txt`)."""
    try:
        lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"not a list of file names: {error}", path=path) from error
    by_file = {Path(name).name: name for name in samples.names}
    wanted = [line for line in lines if line]
    unknown = [name for name in wanted if Path(name).name not in by_file]
    if unknown or not wanted:
        raise InputError(
            "the list names no picture" if not wanted else f"picture {unknown[0]} is not there", path=path
        )
    return samples.only(by_file[Path(name).name] for name in wanted)
