"""MMEarth: a million places with twelve modalities in one HDF5 file, read in batches.

Layout (vishalned/MMEarth-data README.md, commit eac494c): a folder `data_1M_v001/` with `<name>.h5`,
`<name>_splits.json` (split → row numbers; the published default has everything in train), `<name>_band_stats.json` and
`<name>_tile_info.json` (tile id → date, place, level, …). Modalities and missing values: `mmearth_layout.py`.

Memory is that of one batch. `tile_info.json` has an entry per tile (a gigabyte or so for the full set); it is opened only
where the HDF5 file does not say the product level, as in files made by merging two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.data.array_files import open_hdf5, read_json
from codec.data.labelled import UNLABELLED
from codec.data.mmearth_layout import MODALITIES, Modality
from codec.data.raster import Raster
from codec.data.samples import IntArray
from codec.errors import InputError

LEVELS = ("l1c", "l2a")
_S2 = MODALITIES["sentinel2"].bands
SURFACE = tuple(i for i, band in enumerate(_S2) if band != "cirrus")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of the file, all modalities asked for."""

    rows: IntArray  # N, in the file
    tile_ids: tuple[str, ...]
    levels: tuple[str, ...]  # "l1c" or "l2a", of Sentinel-2
    values: Mapping[
        str, npt.NDArray[Any]
    ]  # images N×C×H×W and numbers N×C float32, NaN missing; classes N×H×W, one-hot N int64, −1 missing


def _decode(what: Modality, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if what.kind == "one-hot":
        flat = stored.reshape(len(stored), -1)
        return np.where(flat.any(1), flat.argmax(1), UNLABELLED).astype(np.int64)
    if what.classes is not None:
        result = np.full((len(stored), *stored.shape[2:]), UNLABELLED, np.int64)
        for number, index in what.classes.items():
            result[stored[:, 0] == number] = index
        return result
    values = stored.astype(np.float32)
    missing = ~np.isfinite(values) | np.isin(stored, what.missing)
    if what.above is not None:
        missing |= stored > what.above
    values *= np.float32(what.scale)
    values[missing] = np.nan
    return values


def _rows(data: Any, rows: IntArray) -> npt.NDArray[Any]:
    """Rows of a data set in this order. One by one: a list of rows takes h5py five times as long (chunks are one row)."""
    found = np.empty((len(rows), *data.shape[1:]), data.dtype)
    for i, row in enumerate(rows):
        data.read_direct(found, np.s_[int(row)], np.s_[i])
    return found


class MMEarth:
    """One folder of the data set. A context manager; the HDF5 file is opened when first read, once per process."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        names = sorted(p.stem for p in self.folder.glob("*.h5")) if self.folder.is_dir() else []
        if self.folder.name in names:
            names = [self.folder.name]
        if len(names) != 1:
            raise InputError(
                "not a folder of MMEarth",
                path=folder,
                expected="one .h5 file",
                found=names or "none",
                fix="name the folder that holds <name>.h5, _splits.json and _band_stats.json",
            )
        self.name = names[0]
        self._file: Any = None
        self._levels: Mapping[str, Any] | None = None

    def __enter__(self) -> MMEarth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}  # a handle must not be shared between processes

    def _side(self, part: str) -> Path:
        return self.folder / f"{self.name}_{part}.json"

    @property
    def file(self) -> Any:
        """The open HDF5 file. Raises BackendUnavailable without h5py, InputError where `metadata` is missing."""
        if self._file is None:
            file = open_hdf5(self.folder / f"{self.name}.h5")
            if "metadata" not in file:
                file.close()
                raise InputError("the file has no data set metadata", path=self.folder, found=self.name)
            self._file = file
        return self._file

    def __len__(self) -> int:
        return len(self.file["metadata"])

    @property
    def modalities(self) -> tuple[str, ...]:
        """Those that the file holds and that are known here."""
        return tuple(name for name in MODALITIES if name in self.file)

    def split(self, name: str) -> IntArray:
        """Row numbers of a split. A split that is not there, empty, or points outside the file raises InputError."""
        path = self._side("splits")
        found = read_json(path)
        if not isinstance(found, dict) or name not in found:
            known = ", ".join(found) if isinstance(found, dict) else type(found).__name__
            raise InputError(f"there is no split {name}", path=path, expected=known, found=name)
        try:
            rows = np.array(found[name], np.int64).reshape(-1)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"split {name} is no list of row numbers", path=path) from error
        if not len(rows):
            raise InputError(
                f"split {name} is empty",
                path=path,
                fix="the published split has train alone; make blocked splits from `coordinates`",
            )
        if rows.min() < 0 or rows.max() >= len(self):
            raise InputError(
                f"split {name} points outside the file",
                path=path,
                expected=f"0 … {len(self) - 1}",
                found=int(rows.max()),
            )
        return rows

    def band_stats(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """Key → mean, std, min, max per band, in the file's numbers; Sentinel-2 under `sentinel2_l1c` and `_l2a`."""
        found = read_json(self._side("band_stats"))
        if not isinstance(found, dict) or not all(
            isinstance(v, dict) and "mean" in v for v in found.values()
        ):
            raise InputError("no statistics of bands", path=self._side("band_stats"))
        return found

    def coordinates(self, rows: IntArray) -> npt.NDArray[np.float64]:
        """N×2 latitude and longitude, degrees, from the sines and cosines of the file; NaN where missing."""
        values = self._read(self._checked(rows), ("lat", "lon"))
        both = [np.degrees(np.arctan2(values[k][:, 0], values[k][:, 1])) for k in ("lat", "lon")]
        return np.stack(both, axis=1).astype(np.float64)

    def _checked(self, rows: npt.ArrayLike) -> IntArray:
        found = np.asarray(rows, np.int64).reshape(-1)
        if not len(found) or found.min() < 0 or found.max() >= len(self):
            raise InputError(
                "rows outside the file", path=self.folder, expected=f"0 … {len(self) - 1}", found=found[:5]
            )
        return found

    def _read(self, rows: IntArray, modalities: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        found = {}
        for name in modalities:
            if name not in MODALITIES or name not in self.file:
                raise InputError(
                    f"the file has no modality {name}",
                    path=self.folder,
                    expected=", ".join(self.modalities),
                    found=name,
                )
            what, data = MODALITIES[name], self.file[name]
            if what.kind != "one-hot" and data.shape[1] != len(what.bands):
                raise InputError(
                    f"modality {name} has another number of bands",
                    path=self.folder,
                    expected=len(what.bands),
                    found=data.shape,
                )
            try:
                stored = _rows(data, rows)
            except OSError as error:
                raise InputError(
                    f"modality {name} cannot be read",
                    path=self.folder,
                    found=str(error)[:120],
                    fix="download it again",
                ) from error
            found[name] = _decode(what, stored)
        return found

    def _level(self, row: Any, tile_id: str) -> str:
        if row.dtype.names and "S2_type" in row.dtype.names:
            level = row["S2_type"].decode()
        else:
            if self._levels is None:
                self._levels = read_json(self._side("tile_info"))
            try:
                level = self._levels[tile_id]["S2_type"]
            except (KeyError, TypeError) as error:
                raise InputError(
                    f"nothing says the product level of tile {tile_id}", path=self._side("tile_info")
                ) from error
        if level not in LEVELS:
            raise InputError(
                f"tile {tile_id} has an unknown level", path=self.folder, expected=LEVELS, found=level
            )
        return str(level)

    def read(self, rows: IntArray, modalities: Sequence[str] = ("sentinel2",)) -> Batch:
        """These rows, in this order. Sentinel-2 comes with all 13 bands: `SURFACE` are the 12 that see the ground."""
        rows = self._checked(rows)
        about = _rows(self.file["metadata"], rows)
        ids = tuple(row["tile_id"].decode() for row in about)
        levels = tuple(self._level(row, tile) for row, tile in zip(about, ids, strict=True))
        values = self._read(rows, modalities)
        if "sentinel2" in values:  # L2A products have no B10; the file holds zeros
            values["sentinel2"][[level == "l2a" for level in levels], _S2.index("cirrus")] = np.nan
        return Batch(rows, ids, levels, values)

    def batches(
        self, rows: IntArray, size: int, modalities: Sequence[str] = ("sentinel2",)
    ) -> Iterator[Batch]:
        """The rows in their order, `size` at a time."""
        if size < 1:
            raise InputError("a batch has at least one row", found=size)
        for start in range(0, len(rows), size):
            yield self.read(rows[start : start + size], modalities)

    def raster(self, row: int) -> Raster:
        """Sentinel-2 of one place as the other readers give it: 12 bands, native numbers."""
        row = int(self._checked([row])[0])
        native = self.file["sentinel2"][row][list(SURFACE)]
        tile = self.file["metadata"][row]["tile_id"].decode()
        bands = tuple(_S2[i] for i in SURFACE)
        return Raster("mmearth", tile, bands, native, 1e-4, 0.0, (native != 0).all(axis=0))
