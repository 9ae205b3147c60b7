"""A `.nec` file as an xarray Dataset: variables, coordinates and attributes by the CF conventions."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import xarray as xr
from xarray.core import indexing

from codec.arrays import map_coordinates, plane_numbers
from codec.arrays.layouts import Layout, ListLayout, MapLayout, VectorLayout
from codec.arrays.lazy_file import LazyFile
from codec.arrays.lazy_variable import NecArray
from codec.arrays.map_coordinates import GRID_MAPPING
from codec.bitstream import array_shape
from codec.bitstream.header import FileHeader
from codec.types import PlaneKind, PlaneSpec

CHUNK_BYTES = 16 << 20  # of one chunk under `chunks={}`, in whole rows of tiles
LayoutName = Literal["auto", "map", "tiles"]
ARRAY_NAMES = ("embedding", "scale")  # planes of a packed array (bitstream §9.2)


class DatasetBuilder:
    """Puts the variables, coordinates and attributes of one file together."""

    def __init__(self, file: LazyFile, layout: LayoutName) -> None:
        self._file = file
        self._layout = _natural_layout(file.header) if layout == "auto" else layout
        self._variables: dict[Hashable, xr.Variable] = {}
        self._coordinates: dict[Hashable, xr.Variable] = {}
        self._grids: dict[tuple[int, int], str] = {}  # cells per tile → suffix of the dimensions
        self._lost: list[npt.NDArray[np.bool_]] = []

    def dataset(self) -> xr.Dataset:
        header, package = self._file.header, self._file.package
        widest = max(4 * spec.channels for spec in header.planes)
        for number, entry in enumerate(package.planes):
            name = entry.name if header.array is None else ARRAY_NAMES[number]
            self._plane(number, name, self._layout_of(header.planes[number]), widest)
        if header.time is not None:
            # Nanoseconds, which every xarray keeps as they are, for the years that they reach.
            time = np.array(header.time_us, dtype="datetime64[us]")
            if 1678 <= header.time.year <= 2261:
                time = time.astype("datetime64[ns]")
            self._coordinates["time"] = xr.Variable((), time, {"standard_name": "time"})
        return xr.Dataset(self._variables, self._coordinates, self._attributes())

    def _layout_of(self, spec: PlaneSpec) -> Layout:
        header = self._file.header
        if self._layout == "vectors" and header.array is not None:
            return VectorLayout(header.array.shape[0], spec)
        found = MapLayout.of(header.grid, spec) if self._layout == "map" else None
        return ListLayout(header.n_tiles, spec) if found is None else found

    def _plane(self, number: int, name: str, layout: Layout, widest: int) -> None:
        spec = self._file.header.planes[number]
        dims, mapping = self._dims(layout, name)
        n_channels = plane_numbers.channels(self._file, number)
        channel = "channel" if number == 0 else f"channel_{name}"
        sides = {channel: n_channels} if n_channels else {}  # scales of an array are one number per token
        # Variables that share axes must have the same chunks along them: the widest plane decides for all.
        chunks = dict(zip(dims, layout.natural_chunks(widest, CHUNK_BYTES), strict=True))
        common = {"grid_mapping": mapping} if mapping else {}
        self._add(
            name, NecArray(self._file, number, "values", layout), (*dims, *sides),
            {
                "long_name": f"embedding, plane {name}", "units": "1", "space_id": spec.space_id.hex(),
                "ancillary_variables": f"{name}_validity {name}_layers", **common, **self._losses(number),
            },
            {**chunks, **sides},
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
        if isinstance(layout, VectorLayout):
            return ("vector",), ""
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
        every: npt.NDArray[np.bool_] = np.logical_and.reduce(there)
        exact = file.header.array is not None and spec.kind == PlaneKind.INTEGER
        usable = every if exact else there[0]  # without one of its layers an integer is no integer
        self._lost.append(~usable)
        return {
            "missing_tiles": int((~usable).sum()),
            "incomplete_tiles": int((usable & ~every).sum()),
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


def _natural_layout(header: FileHeader) -> str:
    """A packed array has the axes that it had; else a file is a map unless it looks like a plain list of tiles."""
    if header.array is not None:
        layouts = {array_shape.Layout.VECTORS: "vectors", array_shape.Layout.GRIDS: "tiles"}
        return layouts.get(header.array.layout, "map")
    grid = header.grid  # bitstream §3.1: one column of whole tiles, and nothing says where they lie
    one_column = grid.width == grid.core_width and grid.height % grid.core_height == 0
    return "tiles" if one_column and not header.georeference.has_crs else "map"
