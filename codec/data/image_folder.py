"""Folders of pictures by class: `root/<class>/*.jpg|png|tif|jp2`, or the same below `train`, `val` and `test`.

Classes are the folder names in alphabetical order; pictures may differ in size, and are read when asked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codec.data.picture_files import PictureRule, not_read, pictures_in, read_picture
from codec.data.samples import Sample, SampleSet, require_two_of_each
from codec.errors import InputError

SPLIT_FOLDERS = ("train", "val", "test")


def class_folders(root: Path) -> list[Path]:
    """Folders directly below `root`, by name, without hidden ones."""
    root = Path(root)
    if not root.is_dir():
        raise InputError("there is no such folder", path=root, fix="name the folder that holds the classes")
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def image_folder(
    root: Path,
    rule: PictureRule | None = None,
    *,
    classes: tuple[str, ...] | None = None,
    few_allowed: bool = False,
) -> SampleSet:
    """Pictures below their class's folder.

    `classes` fixes names and order (a split folder may lack one); None: those that are there. `few_allowed`: a class may
    have a single sample, as in a split that is only scored. Raises InputError for a folder without classes, an empty
    class, a class with one sample, a class that is not known, two pictures of one name.
    """
    root, rule = Path(root), rule or PictureRule()
    folders = class_folders(root)
    if not folders:
        raise InputError(
            "the folder has no class folders",
            path=root,
            fix="put the pictures of each class into a folder of its name",
        )
    names = classes or tuple(folder.name for folder in folders)
    paths: list[Path] = []
    labels: list[int] = []
    strange: list[Path] = []
    for folder in folders:
        if folder.name not in names:
            raise InputError(f"class {folder.name!r} is not among the classes", path=folder, expected=names)
        found, other = pictures_in(folder)
        strange += other
        if not found:
            raise InputError(
                "the class folder holds no picture",
                path=folder,
                fix="add pictures (jpg, png, tif, jp2) or remove it",
            )
        paths += found
        labels += [names.index(folder.name)] * len(found)
    label = np.array(labels, np.int64)
    if not few_allowed:
        require_two_of_each(label, names, root)
    keys = tuple(str(path.relative_to(root)) for path in paths)

    def read(index: int) -> Sample:
        image = read_picture(paths[index], root.name, keys[index], rule)
        return Sample(image, np.asarray(label[index]), keys[index])

    return SampleSet(root.name, "class", names, keys, read, label, not_read(strange))


def split_folders(root: Path, rule: PictureRule | None = None) -> dict[str, SampleSet]:
    """`root/train/<class>/…` and, where they are there, `val` and `test`, with the classes of `train`.

    Raises InputError where `train` is missing, or where another split has a class that `train` lacks.
    """
    root = Path(root)
    there = [name for name in SPLIT_FOLDERS if (root / name).is_dir()]
    if "train" not in there:
        raise InputError(
            "there is no folder train",
            path=root,
            fix="make train, val and test folders, or give the classes' folder",
        )
    train = image_folder(root / "train", rule)
    found = {"train": train}
    for name in there[1:]:
        found[name] = image_folder(root / name, rule, classes=train.classes, few_allowed=True)
    return found
