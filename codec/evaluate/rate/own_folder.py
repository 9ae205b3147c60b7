"""What a folder of one's own holds, by its form: class folders of pictures, or rasters with masks.

root/<class>/*.tif                   one answer a picture; also below train, val and test
root/{images,masks}/*.tif            one answer a token; also below train, val and test
root/<stem>.tif, <stem>_mask.tif     the same
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from codec.data.image_folder import SPLIT_FOLDERS, class_folders, image_folder, split_folders
from codec.data.mask_folder import MASK_SUFFIX, mask_folder, pairs
from codec.data.picture_files import SKIP, PictureRule, pictures_in, read_indices
from codec.data.samples import SampleSet
from codec.errors import InputError

# What every reader of the collection begins with: its tables of splits.
COLLECTION_MARKERS = tuple(f"splits/{name}.csv" for name in ("windows", "eurosat_ms", "ucmerced", "dubai"))


def is_collection(root: Path) -> bool:
    """True for the data collection, or a part of it, by its tables of splits."""
    return any((Path(root) / marker).is_file() for marker in COLLECTION_MARKERS)


@dataclass(frozen=True, slots=True)
class OwnFolder:
    """A folder, and what its files do not say of themselves."""

    path: Path
    rule: PictureRule = field(default_factory=PictureRule)
    classes: tuple[
        str, ...
    ] = ()  # of masks: names in the order of their numbers, or `number=name`, `-` for no class
    splits: Path | None = None  # a table as `own_split` writes it; None: the folder's own splits, or chosen

    @property
    def name(self) -> str:
        return Path(self.path).resolve().name or "folder"


@dataclass(frozen=True, slots=True)
class Part:
    """One split of a folder, or all of it (split "")."""

    split: str
    samples: SampleSet
    paths: tuple[Path, ...]  # of the pictures, in the order of the samples


def parts(folder: OwnFolder) -> Iterator[Part]:
    """The folder's splits, or the folder. Raises InputError for a folder of neither form."""
    root = Path(folder.path)
    if not root.is_dir():
        raise InputError(
            "there is no such folder",
            path=root,
            fix="give the folder of the data collection, or one of pictures by class or with masks",
        )
    below = [one.name for one in class_folders(root)]
    has_splits = "train" in below and set(below) <= set(SPLIT_FOLDERS)  # else "train" is a class of pictures
    if has_splits and folder.splits is not None:
        raise InputError(
            "the folder has splits of its own", path=root, fix="leave --splits out, or give one of its parts"
        )
    roots = {name: root / name for name in SPLIT_FOLDERS if name in below} if has_splits else {"": root}
    if any(_has_masks(one) for one in roots.values()):
        for split, one in roots.items():
            yield _masked(folder, split, one)
        return
    if folder.classes:
        raise InputError("the class folders name the classes", path=root, fix="leave --classes out")
    if not has_splits and not below:
        raise InputError(
            "neither folders of classes nor pictures with masks",
            path=root,
            fix=f"make a folder of pictures for each class, or folders images and masks, or files *{MASK_SUFFIX}",
        )
    sets = split_folders(root, folder.rule) if has_splits else {"": image_folder(root, folder.rule)}
    for split, samples in sets.items():
        yield Part(split, samples, tuple(roots[split] / name for name in samples.names))


def _has_masks(root: Path) -> bool:
    if (root / "images").is_dir() and (root / "masks").is_dir():
        return True
    return any(path.stem.endswith(MASK_SUFFIX) for path in pictures_in(root)[0])


def _masked(folder: OwnFolder, split: str, root: Path) -> Part:
    two = (root / "images").is_dir() and (root / "masks").is_dir()
    images, masks = (root / "images", root / "masks") if two else (root, None)
    found, _ = pairs(images, masks)
    classes, values = _numbers(folder, [mask for _, _, mask in found])
    samples = mask_folder(images, masks, classes=classes, rule=folder.rule, values=values)
    return Part(split, samples, tuple(path for _, path, _ in found))


def _numbers(
    folder: OwnFolder, masks: Sequence[Path]
) -> tuple[tuple[str, ...], dict[int, int | None] | None]:
    """Class names, and what each number means (None: numbers are classes in order)."""
    if not folder.classes:
        numbers = sorted({int(n) for path in masks for n in np.unique(read_indices(path))})
        raise InputError(
            "nothing says what the numbers in the masks mean",
            path=folder.path,
            found=", ".join(map(str, numbers[:20])),
            fix="name their classes in order, --classes dry,water, or by number, --classes 0=-,1=dry,2=water",
        )
    if not any("=" in name for name in folder.classes):
        return folder.classes, None
    values: dict[int, int | None] = {}
    names: list[str] = []
    for text in folder.classes:
        number, _, name = text.partition("=")
        if not number.strip().isdecimal() or not name.strip() or int(number) in values:
            raise InputError(
                "a class is number=name, each number once", found=text, fix="as --classes 1=dry,2=water"
            )
        if name.strip() not in (*names, SKIP):
            names.append(name.strip())
        values[int(number)] = None if name.strip() == SKIP else names.index(name.strip())
    return tuple(names), values
