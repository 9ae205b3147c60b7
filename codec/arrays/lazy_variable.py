"""One variable of a dataset: what an index asks for is read from the file, and nothing else."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from codec.arrays import plane_numbers
from codec.arrays.layouts import Array, Layout
from codec.arrays.lazy_file import LazyFile
from codec.arrays.tiles import IntArray

What = Literal["values", "validity", "layers"]
_DTYPES: dict[What, type[np.generic]] = {"values": np.float32, "validity": np.bool_, "layers": np.uint16}


class NecArray(BackendArray):
    """One aspect of one plane: its values, their validity, or the layers that arrived."""

    def __init__(self, file: LazyFile, plane: int, what: What, layout: Layout) -> None:
        self._file, self._plane, self._what, self._layout = file, plane, what, layout
        self._channels = plane_numbers.channels(file, plane) if what == "values" else 0
        self.dtype = np.dtype(_DTYPES[what])
        self.shape = (*layout.shape, self._channels) if self._channels else layout.shape

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._outer
        )

    def _outer(self, key: tuple[Any, ...]) -> Array:
        axes = [_numbers(k, size) for k, size in zip(key, self.shape, strict=True)]
        n_token_axes = len(self._layout.shape)
        if all(len(axis) for axis in axes):
            out = self._layout.read(tuple(axes[:n_token_axes]), self._tiles, 4 * max(1, self._channels))
            if self._channels and not np.array_equal(axes[-1], np.arange(self._channels)):
                out = out[..., axes[-1]]
        else:
            out = np.empty([len(axis) for axis in axes], dtype=self.dtype)
        return out[tuple(0 if isinstance(k, (int, np.integer)) else slice(None) for k in key)]

    def _tiles(self, tiles: IntArray) -> Array:
        """Tokens of tiles: n×h×w[×C]."""
        if self._what == "validity":
            return plane_numbers.validity(self._file, self._plane, tiles)
        if self._what == "values":
            return plane_numbers.numbers(self._file, self._plane, tiles)
        symbols = self._file.read(self._plane, tiles).symbols
        return np.broadcast_to(symbols.layers[:, None, None], symbols.token_validity.shape)


def _numbers(key: Any, size: int) -> IntArray:
    """An axis's key as numbers of its elements."""
    if isinstance(key, slice):
        return np.arange(*key.indices(size), dtype=np.int64)
    numbers = np.atleast_1d(np.asarray(key, dtype=np.int64))
    return np.where(numbers < 0, numbers + size, numbers)
