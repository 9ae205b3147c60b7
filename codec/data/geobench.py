"""GEO-Bench 1.0: a folder per task, one HDF5 file per sample, partitions as JSON.

Layout, read in ServiceNow/geo-bench `geobench/dataset.py` and `geobench/task.py` (commit 03c7bd1):
- `<sample>.hdf5`: one H×W (or H×W×bands) data set per band, called by the band's name and, where there is one, `_date`; the
  file's attribute `pickle` is the text of a bytes literal, a pickle of {data set → its date, resolution, band_info, …},
  `bands_order` and, for tasks of classes, `label`; masks are a data set `label`.
- `<name>_partition.json`: `train`, `valid`, `test` → sample names; `default`, and `0.01x_train` … for few labels.
- `task_specs.pkl`: bands, patch size, resolution, label type with classes; `band_stats.json`: per-band statistics.
Pickles are read as data, never run (`inert_pickle.py`).

Names, order and scale of the bands: `geobench_bands.py`. No set declares a number for missing pixels.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.data import inert_pickle
from codec.data.array_files import open_hdf5, read_json
from codec.data.geobench_bands import CANONICAL, SCALES, band_names
from codec.data.inert_pickle import Record
from codec.data.raster import Raster
from codec.data.samples import IntArray, Sample, SampleSet, Task
from codec.errors import Corrupt, InputError

# Names under which its classes were pickled, over the years; affine and CRS come with georeferenced bands.
MODULES = ("geobench", "ccb", "affine", "rasterio")
SPLITS = {"train": "train", "val": "valid", "test": "test"}


@dataclass(frozen=True, slots=True)
class TaskSpecs:
    """What `task_specs.pkl` says."""

    name: str
    task: Task
    classes: tuple[str, ...]
    bands: tuple[str, ...]  # as GEO-Bench names them
    patch: tuple[int, ...]
    gsd_m: float | None


def read_specs(folder: Path) -> TaskSpecs:
    """The task of a folder. Raises InputError where it has none, Corrupt where the pickle is not GEO-Bench's."""
    path = Path(folder) / "task_specs.pkl"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            "not a task of GEO-Bench",
            path=folder,
            fix="name the folder of one task, with task_specs.pkl in it",
        ) from error
    specs = inert_pickle.load(data, MODULES)
    label = specs.get("label_type") if isinstance(specs, Record) else None
    if not isinstance(label, Record):
        raise Corrupt("task_specs.pkl describes no task", path=path)
    kind = label.kind.rpartition(".")[2]
    tasks: dict[str, Task] = {
        "Classification": "class",
        "MultiLabelClassification": "labels",
        "SegmentationClasses": "mask",
        "SemanticSegmentation": "mask",
    }
    if kind not in tasks:
        raise InputError(
            f"tasks with labels of type {kind} are not read", path=path, expected=", ".join(tasks)
        )
    n = label.get("n_classes")
    names = label.get("_class_names") or label.get("class_name") or [f"class {i}" for i in range(n or 0)]
    if not isinstance(n, int) or not isinstance(names, list | tuple) or not 1 <= n == len(names):
        raise Corrupt("task_specs.pkl names another number of classes than it has", path=path, found=n)
    bands = tuple(str(b.get("name")) for b in specs.get("bands_info") or () if isinstance(b, Record))
    gsd, patch = specs.get("spatial_resolution"), specs.get("patch_size") or ()
    return TaskSpecs(
        Path(folder).name,
        tasks[kind],
        tuple(str(name) for name in names),
        bands,
        tuple(int(v) for v in patch) if isinstance(patch, list | tuple) else (),
        float(gsd) if isinstance(gsd, int | float) else None,
    )


def partitions(folder: Path) -> tuple[str, ...]:
    """Names of the partitions that the folder has."""
    return tuple(
        sorted(p.name.removesuffix("_partition.json") for p in Path(folder).glob("*_partition.json"))
    )


def sample_names(folder: Path, split: str, partition: str = "default") -> tuple[str, ...]:
    """Samples of a split (`train`, `val`, `test`). An empty one, or one that overlaps another, raises InputError."""
    path = Path(folder) / f"{partition}_partition.json"
    if not path.is_file():
        raise InputError(
            f"there is no partition {partition}",
            path=folder,
            expected=", ".join(partitions(folder)),
            found=partition,
        )
    if split not in SPLITS:
        raise InputError(f"there is no split {split}", path=path, expected=", ".join(SPLITS), found=split)
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in SPLITS.values()):
        raise InputError(
            "not a partition", path=path, expected="train, valid and test", found=type(found).__name__
        )
    wanted = tuple(str(name) for name in found[SPLITS[split]])
    if not wanted:
        raise InputError(f"split {split} is empty", path=path, fix="choose another partition")
    strange = next((name for name in wanted if Path(name).name != name), None)
    if strange is not None:
        raise InputError("a sample's name is a path", path=path, found=strange)
    for other, key in SPLITS.items():
        shared = set(wanted) & set(found[key])
        if other != split and shared:
            raise InputError(f"a sample lies in {split} and {other}", path=path, found=min(shared))
    return wanted


def _described(file: Any, path: Path) -> dict[str, Any]:
    """The file's description: data set → attributes, `bands_order`, `label`."""
    text = file.attrs.get("pickle")
    text = text.decode() if isinstance(text, bytes) else text
    if not isinstance(text, str) or len(text) > 4 * inert_pickle.MAX_BYTES:
        raise Corrupt("the sample has no description", path=path, expected="an attribute pickle")
    try:
        data = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise Corrupt("the sample's description is no bytes literal", path=path) from error
    found = inert_pickle.load(data, MODULES) if isinstance(data, bytes) else None
    if not isinstance(found, dict):
        raise Corrupt("the sample's description is no table", path=path)
    return found


@dataclass(frozen=True, slots=True)
class GeoBenchTask:
    """One folder. `bands`: canonical or GEO-Bench's own names to read; None: all that see the ground."""

    folder: Path
    specs: TaskSpecs
    bands: tuple[str, ...] | None
    scaling: tuple[float, float]

    def sample(self, name: str) -> Sample:
        """One sample. All its bands must have the size of the largest; coarser ones are refused, not resampled."""
        path = Path(self.folder) / f"{name}.hdf5"
        with open_hdf5(path) as file:
            about = _described(file, path)
            order = [str(key) for key in about.get("bands_order", list(file))]
            stored, label = [], about.get("label")
            for key in order:
                if key not in file:
                    raise Corrupt(f"the sample lacks its data set {key}", path=path)
                if key.startswith("label"):
                    label = np.asarray(file[key])
                else:
                    info = about.get(key, {}).get("band_info")
                    stored.append((str(info.get("name")) if isinstance(info, Record) else key, key))
            names = band_names(self.specs.name, [title for title, _ in stored])
            dates = {str(about[key].get("date")) for _, key in stored if isinstance(about.get(key), dict)}
            if len(dates) > 1:
                raise InputError(
                    "the sample is a time series", path=path, found=sorted(dates), fix="it is not read"
                )
            chosen = [
                (n, key) for n, (title, key) in zip(names, stored, strict=True) if self._wanted(n, title)
            ]
            if not chosen:
                raise InputError(
                    "the sample has none of these bands",
                    path=path,
                    expected=self.bands,
                    found=[n for n in names if n],
                )
            arrays = [np.asarray(file[key]) for _, key in chosen]
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1 or len(next(iter(shapes))) != 2:
            raise InputError(
                "the sample's bands differ in size",
                path=path,
                found=sorted(shapes),
                fix="choose bands of one resolution",
            )
        native = np.stack(arrays)
        valid = np.isfinite(native).all(axis=0)
        bands = tuple(n for n, _ in chosen)
        image = Raster(self.specs.name, name, bands, native, *self.scaling, valid)
        return Sample(image, self._target(label, path, native.shape[1:]), name)

    def _wanted(self, name: str, title: str) -> bool:
        if self.bands is not None:
            return name in self.bands or title in self.bands
        return name in set(CANONICAL.values()) - {"cirrus"}

    def _target(self, label: Any, path: Path, shape: tuple[int, ...]) -> IntArray:
        n = len(self.specs.classes)
        try:
            target: npt.NDArray[Any] = np.asarray(label).squeeze()
            whole = target.astype(np.int64)
        except (TypeError, ValueError) as error:
            raise Corrupt("the sample's label is no number", path=path, found=str(label)[:40]) from error
        ok = {
            "class": whole.ndim == 0 and 0 <= int(whole.min()) < n,
            "labels": whole.shape == (n,) and bool(np.isin(whole, (0, 1)).all()),
            "mask": whole.shape == shape and bool(((whole >= 0) & (whole < n)).all()),
        }
        if label is None or not ok[self.specs.task] or not (whole == target).all():
            raise Corrupt(
                f"the sample's label does not fit its task ({self.specs.task})",
                path=path,
                expected=f"{n} classes",
                found=f"shape {target.shape}",
            )
        return whole


def geobench(
    folder: Path,
    split: str,
    *,
    partition: str = "default",
    bands: tuple[str, ...] | None = None,
    scaling: tuple[float, float] | None = None,
) -> SampleSet:
    """A split of a task, sample by sample. Class 0 of masks is kept as a class: no set declares it "no label" in its layout.

    Raises InputError for a set whose scale is not known and not given, and for what `sample_names` and `read_specs` refuse.
    """
    folder = Path(folder)
    specs = read_specs(folder)
    names = sample_names(folder, split, partition)
    if scaling is None:
        if specs.name not in SCALES:
            raise InputError(
                f"nothing says how the numbers of {specs.name} become reflectance",
                path=folder,
                expected=", ".join(SCALES),
                found=specs.name,
                fix="give scale and offset",
            )
        scaling = (SCALES[specs.name], 0.0)
    task = GeoBenchTask(folder, specs, bands, scaling)
    return SampleSet(specs.name, specs.task, specs.classes, names, lambda i: task.sample(names[i]))
