"""The xarray back end: `xr.open_dataset("a.nec", chunks={})`.

One variable per plane, lazy: an index reads and decodes the records of the tiles it touches, and no others. What is
invalid, lost or damaged is NaN; how much of it there is stands in the attributes (docs/arrays.md).
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from codec.arrays import map_coordinates
from codec.arrays.layouts import Array, Layout, ListLayout, MapLayout, is_list, with_nan
from codec.arrays.lazy_file import LazyFile
from codec.arrays.map_coordinates import GRID_MAPPING
from codec.arrays.tiles import IntArray
from codec.bitstream.header import MAGIC
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.decoding import DEFAULT_MAX_BYTES

CHUNK_BYTES = 16 << 20  # of one chunk under `chunks={}`, in whole rows of tiles
What = Literal["values", "validity", "layers"]
_DTYPES: dict[What, type[np.generic]] = {"values": np.float32, "validity": np.bool_, "layers": np.uint16}


class NecBackendEntrypoint(BackendEntrypoint):
    """Opens `.nec` files, whole, unsealed or cut."""

    description = "Open Swathpack .nec files: embeddings of a scene as georeferenced arrays"
    open_dataset_parameters = (
        "filename_or_obj",
        "drop_variables",
        "package",
        "max_layers",
        "layout",
        "max_bytes",
    )

    def open_dataset(  # type: ignore[override]
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        package: Package | str | Path | Sequence[str | Path] | None = None,
        max_layers: int | None = None,
        layout: Literal["auto", "map", "tiles"] = "auto",
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> xr.Dataset:
        """The planes of one file.

        `package`: a loaded package, its folder or name, or folders to look in, before the default places; the file says
        by id which one it needs. `max_layers` decodes only the first layers. `layout`: "map" (y, x, channel), "tiles"
        (tile, row, col, channel), "auto" = tiles where the file is a plain list of them. `max_bytes` bounds decoded arrays.
        Raises what `codec.open` raises for a header or a package; loss and damage behind the header are in the result.
        """
        if layout not in ("auto", "map", "tiles"):
            raise InputError("no such layout", expected="auto, map or tiles", found=layout)
        file = LazyFile(filename_or_obj, package, max_layers=max_layers, max_bytes=max_bytes)
        as_list = layout == "tiles" or (
            layout == "auto" and is_list(file.header.grid, has_crs=file.header.georeference.has_crs)
        )
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        dataset = _Builder(file, as_list=as_list).dataset()
        return dataset.drop_vars([name for name in dropped if name in dataset.variables])

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """By name, else by the first bytes."""
        if isinstance(filename_or_obj, (str, os.PathLike)):
            path = os.fspath(filename_or_obj)
            if path.endswith(".nec"):
                return True
            try:
                with open(path, "rb") as file:
                    return file.read(len(MAGIC)) == MAGIC
            except OSError:
                return False
        if isinstance(filename_or_obj, (bytes, memoryview)):
            return bytes(filename_or_obj[: len(MAGIC)]) == MAGIC
        if hasattr(filename_or_obj, "read") and hasattr(filename_or_obj, "seek"):
            start = filename_or_obj.tell()
            found: bool = filename_or_obj.read(len(MAGIC)) == MAGIC
            filename_or_obj.seek(start)
            return found
        return False


class NecArray(BackendArray):
    """One aspect of one plane: its values, their validity, or the layers that arrived."""

    def __init__(self, file: LazyFile, plane: int, what: What, layout: Layout) -> None:
        self._file, self._plane, self._what, self._layout = file, plane, what, layout
        self._channels = file.header.planes[plane].channels
        self.dtype = np.dtype(_DTYPES[what])
        self.shape = (*layout.shape, self._channels) if what == "values" else layout.shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> Array:
        axes = [_numbers(k, size) for k, size in zip(key, self.shape, strict=True)]
        n_token_axes = len(self._layout.shape)
        if all(len(axis) for axis in axes):
            out = self._layout.read(tuple(axes[:n_token_axes]), self._tiles, 4 * self._channels)
            if self._what == "values" and not np.array_equal(axes[-1], np.arange(self._channels)):
                out = out[..., axes[-1]]
        else:
            out = np.empty([len(axis) for axis in axes], dtype=self.dtype)
        return out[tuple(0 if isinstance(k, (int, np.integer)) else slice(None) for k in key)]

    def _tiles(self, tiles: IntArray) -> Array:
        """Tokens of tiles: n×h×w[×C]."""
        if self._what == "validity":  # only layer 0 says which tokens are valid
            return self._file.read(self._plane, tiles, max_layers=1).symbols.token_validity
        decoded = self._file.read(self._plane, tiles)
        if self._what == "layers":
            tokens = decoded.symbols.token_validity.shape
            return np.broadcast_to(decoded.symbols.layers[:, None, None], tokens)
        embedding = self._file.decoder.embedding(decoded)
        return with_nan(embedding.values, embedding.validity)


class _Builder:
    """Puts the variables, coordinates and attributes of one file together."""

    def __init__(self, file: LazyFile, *, as_list: bool) -> None:
        self._file, self._as_list = file, as_list
        self._variables: dict[Hashable, xr.Variable] = {}
        self._coordinates: dict[Hashable, xr.Variable] = {}
        self._grids: dict[tuple[int, int], str] = {}  # cells per tile → suffix of the dimensions
        self._lost: list[npt.NDArray[np.bool_]] = []

    def dataset(self) -> xr.Dataset:
        header, package = self._file.header, self._file.package
        layouts: list[Layout] = []
        for spec in header.planes:
            found = None if self._as_list else MapLayout.of(header.grid, spec)
            layouts.append(ListLayout(header.n_tiles, spec) if found is None else found)
        widest = max(4 * spec.channels for spec in header.planes)
        for number, entry in enumerate(package.planes):
            self._plane(number, entry.name, layouts[number], widest)
        if header.time is not None:
            # Nanoseconds, which every xarray keeps as they are, for the years that they reach.
            time = np.array(header.time_us, dtype="datetime64[us]")
            if 1678 <= header.time.year <= 2261:
                time = time.astype("datetime64[ns]")
            self._coordinates["time"] = xr.Variable((), time, {"standard_name": "time"})
        return xr.Dataset(self._variables, self._coordinates, self._attributes())

    def _plane(self, number: int, name: str, layout: Layout, widest: int) -> None:
        spec = self._file.header.planes[number]
        dims, mapping = self._dims(layout, name)
        channel = "channel" if number == 0 else f"channel_{name}"
        # Variables that share axes must have the same chunks along them: the widest plane decides for all.
        chunks = dict(zip(dims, layout.natural_chunks(widest, CHUNK_BYTES), strict=True))
        common = {"grid_mapping": mapping} if mapping else {}
        self._add(
            name, NecArray(self._file, number, "values", layout), (*dims, channel),
            {
                "long_name": f"embedding, plane {name}", "units": "1", "space_id": spec.space_id.hex(),
                "ancillary_variables": f"{name}_validity {name}_layers", **common, **self._losses(number),
            },
            {**chunks, channel: spec.channels},
        )  # fmt: skip
        self._add(
            f"{name}_validity", NecArray(self._file, number, "validity", layout), dims,
            {"long_name": f"plane {name}: measured, received and decoded", **common}, chunks,
        )  # fmt: skip
        layers = range(spec.n_layers)
        self._add(
            f"{name}_layers", NecArray(self._file, number, "layers", layout), dims,
            {
                "long_name": f"plane {name}: layers received of the cell's tile",
                "flag_masks": np.array([1 << layer for layer in layers], dtype=np.uint16),
                "flag_meanings": " ".join(f"layer_{layer}" for layer in layers), **common,
            },
            chunks,
        )  # fmt: skip

    def _add(
        self,
        name: str,
        array: NecArray,
        dims: tuple[str, ...],
        attributes: dict[str, Any],
        chunks: dict[str, int],
    ) -> None:
        self._variables[name] = xr.Variable(
            dims, indexing.LazilyIndexedArray(array), attributes, {"preferred_chunks": chunks}
        )

    def _dims(self, layout: Layout, name: str) -> tuple[tuple[str, ...], str]:
        """Dimensions of a plane, and the name of its grid mapping; planes of one grid share theirs."""
        if isinstance(layout, ListLayout):
            rest = layout.shape[1:]
            suffix = self._suffix((*rest, 0)[:2] if rest else (1, 1), name)
            return ("tile", *(f"{axis}{suffix}" for axis in ("row", "col")[: len(rest)])), ""
        suffix = self._suffix((layout.rows_per_tile, layout.cols_per_tile), name)
        y, x, mapping = f"y{suffix}", f"x{suffix}", f"{GRID_MAPPING}{suffix}"
        header = self._file.header
        if mapping not in self._coordinates:
            grid = header.grid
            of_cells = map_coordinates.cells(
                header.georeference,
                grid.core_height // layout.rows_per_tile,
                grid.core_width // layout.cols_per_tile,
            )
            for key, found in map_coordinates.coordinates(of_cells, *layout.shape, y=y, x=x).items():
                self._coordinates[key] = xr.Variable(found.dims, found.values, found.attributes)
            self._coordinates[mapping] = xr.Variable((), np.int32(0), map_coordinates.grid_mapping(of_cells))
        return (y, x), mapping

    def _suffix(self, grid: tuple[int, ...], name: str) -> str:
        """Empty for the first grid of tokens that a file has; other grids have the name of the plane that brings them."""
        key = (grid[0], grid[1])
        return self._grids.setdefault(key, f"_{name}" if self._grids else "")

    def _losses(self, number: int) -> dict[str, int]:
        """Tiles of one plane that did not arrive, or not with all layers, as the intact records say."""
        file, spec = self._file, self._file.header.planes[number]
        n_tiles = file.header.n_tiles
        there = [file.places.arrived(number, layer, n_tiles) for layer in range(spec.n_layers)]
        if file.decoder.tables is None:
            there = [np.zeros(n_tiles, dtype=bool)] * spec.n_layers
        self._lost.append(~there[0])
        return {
            "missing_tiles": int((~there[0]).sum()),
            "incomplete_tiles": int((there[0] & ~np.logical_and.reduce(there)).sum()),
        }

    def _attributes(self) -> dict[str, Any]:
        header, package, report = self._file.header, self._file.package, self._file.report
        missing = int(np.logical_or.reduce(self._lost).sum())
        attributes: dict[str, Any] = {
            "Conventions": "CF-1.10",
            "source": header.source_name,
            "sensor": header.sensor,
            "bands": " ".join(name for i, name in enumerate(package.bands) if header.band_mask >> i & 1),
            "package": f"{package.name} {package.manifest.version}",
            "codec_id": header.codec_id.hex(),
            "file_id": header.file_id.hex(),
            "run": header.run,
            "ladder_index": header.ladder_index,
            "seal": report["seal"],
            "tiles": header.n_tiles,
            "missing_tiles": missing,
            "damaged_bytes": sum(gap["last"] - gap["first"] + 1 for gap in report["gaps"]),
            "refused_records": len(report["refused"]),
        }
        said = _complaints(report, missing, tables=self._file.decoder.tables is not None)
        return {**attributes, "warning": "; ".join(said)} if said else attributes


def _complaints(report: dict[str, Any], missing: int, *, tables: bool) -> list[str]:
    """What a reader must know before using the numbers; empty for a whole file."""
    said = []
    if report["cut"] is not None:
        said.append(f"the file is cut inside a record at byte {report['cut']}")
    if report["seal"] != "sealed":
        said.append(
            f"the file is not sealed ({report['seal_error'] or report['seal']}): it may be incomplete"
        )
    if report["gaps"]:
        said.append(f"{len(report['gaps'])} stretches of the file are damaged")
    if report["refused"]:
        said.append(
            f"{len(report['refused'])} records are refused, the first: {report['refused'][0]['what']}"
        )
    if not tables:
        said.append("the tables that the file embeds are incomplete: nothing can be decoded")
    if missing:
        said.append(f"{missing} tiles are missing and NaN")
    return said


def _numbers(key: Any, size: int) -> IntArray:
    """An axis's key as numbers of its elements."""
    if isinstance(key, slice):
        return np.arange(*key.indices(size), dtype=np.int64)
    numbers = np.atleast_1d(np.asarray(key, dtype=np.int64))
    return np.where(numbers < 0, numbers + size, numbers)
