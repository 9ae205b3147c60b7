"""What a partial read of a Zarr chunk touches, and the byte ranges that it fetches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import RangeByteRequest

from codec.arrays.tiles import IntArray, RecordPlaces
from codec.bitstream import record as rec
from codec.errors import Corrupt
from codec.types import Record

if TYPE_CHECKING:
    from zarr.abc.store import ByteGetter
    from zarr.core.array_spec import ArraySpec

_GAP_BYTES = 4096  # between two records that one request still fetches together


class Pieces:
    """Byte ranges of one chunk, of which the last bytes are there already."""

    def __init__(self, getter: ByteGetter, chunk_spec: ArraySpec, tail_offset: int, tail: bytes) -> None:
        self._getter, self._spec = getter, chunk_spec
        self._tail_offset, self._tail = tail_offset, tail

    async def get(self, start: int, end: int) -> bytes:
        if start >= self._tail_offset:
            return self._tail[start - self._tail_offset : end - self._tail_offset]
        found = await self._getter.get(self._spec.prototype, RangeByteRequest(start, end))
        if found is None:
            raise Corrupt("a chunk was removed while it was read", fix="read again")
        return found.to_bytes()

    async def records(self, places: RecordPlaces, chosen: IntArray) -> list[Record]:
        """Whole records; neighbours come in one request."""
        offsets, sizes = places.offset[chosen], places.size[chosen]
        if not len(chosen):
            return []
        breaks = np.flatnonzero(offsets[1:] - (offsets + sizes)[:-1] > _GAP_BYTES) + 1
        runs = np.split(np.arange(len(chosen)), breaks)
        spans = [(int(offsets[run[0]]), int(offsets[run[-1]] + sizes[run[-1]])) for run in runs]
        parts = await asyncio.gather(*(self.get(start, end) for start, end in spans))
        return [
            rec.parse(part[offsets[i] - start : offsets[i] - start + sizes[i]], offset=int(offsets[i]))
            for run, (start, _), part in zip(runs, spans, parts, strict=True)
            for i in run
        ]


def touched(selection: Any, shape: tuple[int, ...]) -> tuple[IntArray, ...]:
    """Which elements along each axis a chunk selection touches, at most: ascending, each once."""
    keys = selection if isinstance(selection, tuple) else (selection,)
    if any(k is Ellipsis or k is None for k in keys) or len(keys) > len(shape):
        return tuple(np.arange(side) for side in shape)
    if len(keys) == 1 and isinstance(keys[0], np.ndarray) and keys[0].dtype == bool and keys[0].ndim > 1:
        return tuple(np.unique(places) for places in np.nonzero(keys[0]))
    found = []
    for key, side in zip((*keys, *(slice(None),) * (len(shape) - len(keys))), shape, strict=True):
        if isinstance(key, slice):
            found.append(np.sort(np.arange(*key.indices(side))))
        else:
            numbers = np.asarray(key)
            numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers.ravel()
            found.append(np.unique(np.where(numbers < 0, numbers + side, numbers)))
    return tuple(found)
