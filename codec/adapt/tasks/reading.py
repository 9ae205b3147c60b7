"""The splits of a published task, checked against its recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from codec.adapt.tasks.recipe import PaperTask
from codec.data.burn_scars import burn_scars
from codec.data.geobench import geobench
from codec.data.mados import mados
from codec.data.samples import Sample, SampleSet
from codec.errors import InputError

Split = Literal["train", "test"]


def read_split(task: PaperTask, data: Path, split: Split) -> SampleSet:
    """Pictures of a split, as many as the recipe asks for, spread over it; each is checked when it is read.

    `data` is the folder of the set; for GEO-Bench also the one above it. Raises InputError as the layout's reader, and for
    a set of another kind, number of classes, size or bands than the recipe's.
    """
    data = Path(data)
    if task.layout == "geobench":
        folder = data if data.name == task.folder else data / task.folder
        found = geobench(folder, split, bands=task.bands)
    else:
        found = (burn_scars if task.layout == "burn-scars" else mados)(data, split)
    if found.task != {"picture": "class", "pixel": "mask"}[task.labels] or len(found.classes) != task.classes:
        raise InputError(
            f"this is not the set of task {task.name}",
            path=data,
            expected=f"{task.classes} classes of {task.labels}s",
            found=f"{len(found.classes)} ({found.task})",
        )
    if task.pictures is not None and len(found) > task.pictures:
        step = len(found) / task.pictures
        found = found.only(found.names[int(i * step)] for i in range(task.pictures))
    read = found.read
    return replace(found, read=lambda index: _checked(read(index), task))


def _checked(sample: Sample, task: PaperTask) -> Sample:
    image = sample.image
    lacks = [band for band in task.bands if band not in image.bands]
    if lacks:
        raise InputError(
            f"the picture has no band {lacks[0]}",
            path=image.name,
            expected=", ".join(task.bands),
            found=", ".join(image.bands),
        )
    if (image.height, image.width) != (task.size, task.size):
        raise InputError(
            "the picture has another size than the recipe says",
            path=image.name,
            expected=f"{task.size}×{task.size}",
            found=f"{image.height}×{image.width}",
            fix="use the set as published, or --set size=…",
        )
    return sample
