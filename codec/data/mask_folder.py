"""Folders of rasters with masks: the same stem in two folders (also `stem_mask`), or `stem` and `stem_mask` in one.

A mask holds one class number per pixel (palette indices as they are stored); what a number means is said by the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from codec.data.labelled import UNLABELLED
from codec.data.picture_files import PictureRule, grid_of, not_read, pictures_in, read_indices, read_picture
from codec.data.samples import IntArray, Sample, SampleSet
from codec.errors import InputError

MASK_SUFFIX = "_mask"
NO_LABEL = (255, -1)  # numbers that mean "no class" unless the caller gives them a meaning
_PIXEL_TOLERANCE = 0.01  # of a pixel: grids closer than this are one


def _by_stem(paths: list[Path], folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.stem.removesuffix(MASK_SUFFIX)
        if stem in found:
            raise InputError(
                f"two files are called {stem!r}",
                path=folder,
                found=(found[stem].name, path.name),
                fix="keep one of them",
            )
        found[stem] = path
    return found


def pairs(images: Path, masks: Path | None = None) -> tuple[list[tuple[str, Path, Path]], tuple[str, ...]]:
    """Stem, picture and mask, by name, and notes. Every picture needs a mask and every mask a picture."""
    pictures, strange = pictures_in(images)
    if masks is None:
        mask_files = [p for p in pictures if p.stem.endswith(MASK_SUFFIX)]
        pictures = [p for p in pictures if p not in mask_files]
    else:
        mask_files, other = pictures_in(masks)
        strange += other
    if not pictures:
        raise InputError("the folder holds no picture", path=images, fix="add pictures (jpg, png, tif, jp2)")
    by_image, by_mask = _by_stem(pictures, Path(images)), _by_stem(mask_files, Path(masks or images))
    for stem in by_image:
        if stem not in by_mask:
            raise InputError(
                "the picture has no mask",
                path=by_image[stem],
                fix=f"add a mask of the same stem, or of the stem and '{MASK_SUFFIX}'",
            )
    for stem in by_mask:
        if stem not in by_image:
            raise InputError(
                "the mask has no picture", path=by_mask[stem], fix="add the picture or remove the mask"
            )
    return [(s, by_image[s], by_mask[s]) for s in sorted(by_image)], not_read(strange)


def class_numbers(
    stored: IntArray, path: Path, n_classes: int, values: Mapping[int, int | None] | None
) -> IntArray:
    """Class per pixel, −1 for none. `values`: number in the file → class, None: no class. Without it a number is its
    class, 255 and nodata are none. A number without meaning raises InputError."""
    table: dict[int, int | None] = dict(values) if values is not None else {i: i for i in range(n_classes)}
    for number in NO_LABEL:
        table.setdefault(number, None)
    result = np.full(stored.shape, UNLABELLED, np.int64)
    for number in np.unique(stored):
        if int(number) not in table:
            raise InputError(
                f"the mask holds {number}, which is no class",
                path=path,
                expected=", ".join(str(v) for v in sorted(table)),
                fix="say what the number means, or that it means no class",
            )
        meaning = table[int(number)]
        if meaning is not None:
            result[stored == number] = meaning
    return result


def same_grid(image: Path, mask: Path) -> None:
    """Two georeferenced files must lie on each other; where one has no place, the pixels are taken as they are."""
    (crs, here), (other_crs, there) = grid_of(image), grid_of(mask)
    if crs is None or other_crs is None:
        return
    back = ~here
    x, y = there.c, there.f
    moved = (back.c + back.a * x + back.b * y, back.f + back.d * x + back.e * y)
    stretch = max(abs(there.a / here.a - 1), abs(there.e / here.e - 1))
    if crs != other_crs or max(map(abs, moved)) > _PIXEL_TOLERANCE or stretch > _PIXEL_TOLERANCE / 100:
        raise InputError(
            "the mask lies elsewhere than its picture",
            path=mask,
            expected=here,
            found=there,
            fix="warp it to that grid",
        )


def mask_folder(
    images: Path,
    masks: Path | None = None,
    *,
    classes: tuple[str, ...],
    rule: PictureRule | None = None,
    values: Mapping[int, int | None] | None = None,
) -> SampleSet:
    """Pictures with a class per pixel; each picture is a place of its own.

    Raises InputError for an empty folder, a picture or a mask alone, and, when the pair is read, for an unreadable file, a
    mask of another size or place, and a number without meaning.
    """
    images, rule = Path(images), rule or PictureRule()
    if not classes:
        raise InputError("no class is named", path=images, fix="name the classes of the masks")
    if values is not None and any(v is not None and not 0 <= v < len(classes) for v in values.values()):
        raise InputError(
            "a mask number is given a class that is not there", expected=f"0 … {len(classes) - 1}"
        )
    found, notes = pairs(images, masks)

    def read(index: int) -> Sample:
        stem, picture, mask = found[index]
        image = read_picture(picture, images.name, stem, rule)
        target = class_numbers(read_indices(mask), mask, len(classes), values)
        sample = Sample(image, target, stem)
        same_grid(picture, mask)
        return sample

    return SampleSet(images.name, "mask", classes, tuple(s for s, _, _ in found), read, notes=notes)
