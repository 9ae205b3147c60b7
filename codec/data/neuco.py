"""NeuCo-Bench: cubes of Sentinel-1 and -2 over four seasons, and tables of labels (SSL4EO-S12-downstream).

Layout, read in embed2scale/NeuCo-Bench `docs/data.md` (commit 9e336ed) and `generate_embeddings/data/dataset.py` (670d0f5):
`data/s1|s2l1c|s2l2a/part-000000/<id>.zarr.zip` and `labels/<task>__<classification|regression>.csv` with columns `id` and
`label`; rows without a label are skipped. In each zip one Zarr group (version 2, written by xarray) with the array `bands`:
1 sample × 4 seasons × bands × 264 × 264 (DLR-MF-DAS/embed2scale-challenge-supplement `demo_load_create_submission.ipynb`,
10832a5). Seasons are spring, summer, autumn, winter of the northern hemisphere (same repository, `README_base.md`, 00a420d).

Sentinel-2 numbers are DN without the +1000 of today's products (`dataset.py`: "the challenge data does not" include it):
reflectance = DN / 10,000. Sentinel-1 is backscatter in dB. Band order where a file names none: that of SSL4EO-S12 v1.1,
B01 … B08, B8A, B09, (B10,) B11, B12 and vv, vh (DLR-MF-DAS/SSL4EO-S12-v1.1 `README.md`, 33ac878: the coordinate's names,
and means that show which band is B10). Not stated anywhere: how missing pixels are marked. Taken as missing: 0 in every
Sentinel-2 band, non-finite backscatter.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from codec.data.array_files import open_zarr
from codec.data.raster import Raster
from codec.data.readers import S2_ALL, S2_L1C_ORDER, S2_L2A_ORDER
from codec.errors import InputError

MODALITIES = ("s1", "s2l1c", "s2l2a")
SEASONS = ("spring", "summer", "autumn", "winter")
ORDER: Mapping[str, tuple[str, ...]] = {"s1": ("VV", "VH"), "s2l1c": S2_L1C_ORDER, "s2l2a": S2_L2A_ORDER}
_ENDING = ".zarr.zip"
_ARRAY = "bands"
KINDS = ("classification", "regression")


@dataclass(frozen=True, slots=True)
class Cube:
    """One place: modality → season × band × H×W in native numbers, and the bands' canonical names."""

    id: str
    values: Mapping[str, npt.NDArray[Any]]
    bands: Mapping[str, tuple[str, ...]]

    def raster(self, modality: str, season: int) -> Raster:
        """One season of a modality: reflectance of Sentinel-2 (B10 left out), dB of Sentinel-1 with scale 1."""
        names = self.bands[modality]
        keep = [i for i, name in enumerate(names) if name != "cirrus"]
        native = np.ascontiguousarray(self.values[modality][season][keep])
        if modality == "s1":
            valid = np.isfinite(native).all(axis=0)
        else:
            valid = (native != 0).any(axis=0)
        scale = 1.0 if modality == "s1" else 1e-4
        name = f"{self.id}/{modality}/{SEASONS[season]}"
        return Raster("neuco", name, tuple(names[i] for i in keep), native, scale, 0.0, valid)


@dataclass(frozen=True, slots=True)
class Labels:
    """One task: numbers of places, in the order of the file."""

    task: str
    kind: Literal["classification", "regression"]
    ids: tuple[str, ...]
    values: npt.NDArray[np.float64]  # N, finite
    skipped: int  # rows without a label


def _dimensions(array: Any) -> tuple[str, ...]:
    """Names of the axes: xarray's attribute (Zarr 2) or the metadata (Zarr 3); empty where there is none."""
    names = array.attrs.get("_ARRAY_DIMENSIONS") or getattr(array.metadata, "dimension_names", None) or ()
    return tuple(str(name) for name in names)


def _seasons_first(array: Any, path: Path) -> npt.NDArray[Any]:
    """Season × band × H×W of an array with or without the axis of samples."""
    names = _dimensions(array)
    if array.ndim == 5 and array.shape[0] == 1 and names in ((), ("sample", "time", "band", "y", "x")):
        return np.asarray(array[0])
    if array.ndim == 4 and names in ((), ("time", "band", "y", "x")):
        return np.asarray(array[:])
    raise InputError(
        "not a cube of one place",
        path=path,
        expected="(sample 1,) time, band, y, x",
        found=(names, array.shape),
        fix="use files of SSL4EO-S12-downstream; those of v1.1 hold 64 places each",
    )


def _names(group: Any, modality: str, n: int, path: Path) -> tuple[str, ...]:
    stored = [str(v) for v in np.asarray(group["band"][:])] if "band" in group else list(ORDER[modality])
    if len(stored) != n:
        raise InputError(
            f"{modality} has another number of bands",
            path=path,
            expected=len(stored),
            found=n,
            fix="it is not read",
        )
    if modality == "s1":
        return tuple(name.lower() for name in stored)
    unknown = [name for name in stored if name not in S2_ALL]
    if unknown:
        raise InputError(f"band {unknown[0]} is none of Sentinel-2", path=path, expected=", ".join(S2_ALL))
    return tuple(S2_ALL[name] for name in stored)


class NeuCoCubes:
    """The cubes below a `data` folder, by id; one is read at a time."""

    def __init__(self, folder: Path, modalities: Sequence[str] = MODALITIES) -> None:
        self.folder = Path(folder)
        self.modalities = tuple(modalities)
        if not self.modalities or not set(self.modalities) <= set(MODALITIES):
            raise InputError("no such modality", expected=", ".join(MODALITIES), found=self.modalities)
        files: dict[str, dict[str, Path]] = {}
        for modality in self.modalities:
            found = sorted((self.folder / modality).glob(f"*/*{_ENDING}"))
            if not found:
                raise InputError(
                    f"no cubes of {modality}",
                    path=self.folder / modality,
                    expected=f"part-000000/<id>{_ENDING}",
                    fix="name the folder that holds s1, s2l1c and s2l2a",
                )
            for path in found:
                key = path.name.removesuffix(_ENDING)
                if modality in files.setdefault(key, {}):
                    raise InputError(f"cube {key} is there twice", path=path, fix="keep one part of it")
                files[key][modality] = path
        for key, parts in files.items():
            missing = [modality for modality in self.modalities if modality not in parts]
            if missing:
                raise InputError(
                    f"cube {key} has no {missing[0]}", path=self.folder, fix="download the missing part"
                )
        self._files = files
        self.ids = tuple(sorted(files))

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, key: str) -> Cube:
        """The cube with this id. Raises BackendUnavailable without zarr, InputError for a cube that is none."""
        if key not in self._files:
            raise InputError(
                f"there is no cube {key}", path=self.folder, fix="check the id, or download its part"
            )
        values, bands = {}, {}
        for modality, path in self._files[key].items():
            with open_zarr(path) as group:
                if _ARRAY not in group:
                    raise InputError(f"the file has no array {_ARRAY}", path=path, found=sorted(group))
                try:
                    cube = _seasons_first(group[_ARRAY], path)
                    bands[modality] = _names(group, modality, cube.shape[1], path)
                except InputError:
                    raise
                except Exception as error:  # a damaged chunk: the codecs raise errors of their own kinds
                    raise InputError(
                        "the cube cannot be read", path=path, found=str(error)[:120], fix="download it again"
                    ) from error
            if len(cube) != len(SEASONS):
                raise InputError("a cube has four seasons", path=path, found=len(cube))
            values[modality] = cube
        return Cube(key, values, bands)

    def __iter__(self) -> Iterator[Cube]:
        return (self.read(key) for key in self.ids)


def read_labels(path: Path) -> Labels:
    """One table. Raises InputError for a name without task and kind, missing columns, a label that is no finite number,
    an id twice, and a table without any label."""
    path = Path(path)
    task, _, kind = path.stem.partition("__")
    if kind not in KINDS:
        raise InputError(
            "the name says no task and kind",
            path=path,
            expected="<task>__classification.csv or __regression.csv",
        )
    ids: list[str] = []
    values: list[float] = []
    skipped = 0
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if not {"id", "label"} <= set(reader.fieldnames or ()):
                raise InputError("the table has no columns id and label", path=path, found=reader.fieldnames)
            for line, row in enumerate(reader, start=2):
                text = (row["label"] or "").strip()
                if not text:
                    skipped += 1
                    continue
                try:
                    value = float(text)
                except ValueError as error:
                    raise InputError(f"line {line} has no number", path=path, found=text) from error
                if not math.isfinite(value):
                    raise InputError(f"line {line} has no finite number", path=path, found=text)
                ids.append((row["id"] or "").removesuffix(_ENDING).removesuffix(".zarr"))
                values.append(value)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"not a readable table: {error}", path=path) from error
    if not ids:
        raise InputError("the table has no labels", path=path)
    if len(set(ids)) != len(ids):
        raise InputError("an id has two labels", path=path, found=Counter(ids).most_common(1)[0][0])
    return Labels(task, kind, tuple(ids), np.array(values, np.float64), skipped)  # type: ignore[arg-type]


def read_tasks(folder: Path) -> tuple[Labels, ...]:
    """All tables of a `labels` folder, by name."""
    tables = sorted(Path(folder).glob("*.csv"))
    if not tables:
        raise InputError("the folder has no tables of labels", path=folder, fix="name the folder labels")
    return tuple(read_labels(path) for path in tables)
