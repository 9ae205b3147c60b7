"""The xarray back end: `xr.open_dataset("a.nec", chunks={})`.

One variable per plane, lazy: an index reads and decodes the records of the tiles it touches, and no others. What is
invalid, lost or damaged is NaN; how much of it there is stands in the attributes (docs/arrays.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import xarray as xr
from xarray.backends import BackendEntrypoint

from codec.arrays.lazy_file import LazyFile
from codec.arrays.nec_dataset import DatasetBuilder, LayoutName
from codec.bitstream.header import MAGIC
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.decoding import DEFAULT_MAX_BYTES


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
        layout: LayoutName = "auto",
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> xr.Dataset:
        """The planes of one file.

        `package`: a loaded package, its folder or name, or folders to look in, before the default places; the file says
        by id which one it needs. `max_layers` decodes only the first layers. `layout`: "map" (y, x, channel), "tiles"
        (tile, row, col, channel), or "auto": a packed array has the axes that it had, a plain list of tiles is "tiles",
        all else a map. `max_bytes` bounds decoded arrays. Raises what `codec.open` raises for a header or a package; loss
        and damage behind the header are in the result.
        """
        if layout not in ("auto", "map", "tiles"):
            raise InputError("no such layout", expected="auto, map or tiles", found=layout)
        file = LazyFile(filename_or_obj, package, max_layers=max_layers, max_bytes=max_bytes)
        dropped = {drop_variables} if isinstance(drop_variables, str) else set(drop_variables or ())
        dataset = DatasetBuilder(file, layout).dataset()
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
