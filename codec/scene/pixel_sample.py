"""A few thousand pixels of a band, spread over the raster, at bounded cost: for judging, never for coding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.scene.sources import Source, gdal, open_dataset, read_pixels

_WHOLE = 1 << 20  # rasters of up to this many pixels are read whole,
_KEPT = 1 << 18  # and about this many pixels kept
_SIDE = 256  # of the decimated picture read from overviews
_WINDOW, _WINDOWS = 64, 4  # else 4 × 4 windows of 64 × 64 pixels


def sample_dn(
    named: Mapping[str, Source], invalid: Mapping[str, tuple[float, ...]]
) -> dict[str, npt.NDArray[np.float64]]:
    """Valid DN (one dimension, float64) of each band; `invalid` has its numbers that are no measurements."""
    samples: dict[str, npt.NDArray[np.float64]] = {}
    with gdal():
        for place in dict.fromkeys(source.name for source in named.values()):
            members = {name: source for name, source in named.items() if source.name == place}
            first = next(iter(members.values()))
            with open_dataset(place, first.file) as dataset:
                stack = _read(dataset, first, [source.index for source in members.values()])
            for (name, source), flat in zip(members.items(), stack, strict=True):
                dn = flat.astype(np.float64)
                samples[name] = dn[valid_dn(dn, source, invalid[name])]
    return {name: samples[name] for name in named}


def _read(dataset: Any, first: Source, indexes: Sequence[int]) -> npt.NDArray[Any]:
    """Bands × pixels. All bands in one call: JPEG 2000 decodes all of them for each one that is asked for."""
    from rasterio.windows import Window

    height, width = first.height, first.width
    if height * width <= _WHOLE:
        flat = read_pixels(dataset, first, indexes).reshape(len(indexes), -1)
        return flat[:, :: -(-flat.shape[1] // _KEPT)]
    if dataset.overviews(indexes[0]):
        # JPEG 2000 decodes the lower resolution alone; nearest keeps the extremes that a mean would hide.
        long = max(height, width)
        shape = (len(indexes), max(1, height * _SIDE // long), max(1, width * _SIDE // long))
        parts = [read_pixels(dataset, first, indexes, out_shape=shape)]
    else:
        parts = [
            read_pixels(
                dataset, first, indexes, window=Window(col, row, min(_WINDOW, width), min(_WINDOW, height))
            )
            for row in np.linspace(0, max(0, height - _WINDOW), _WINDOWS, dtype=int).tolist()
            for col in np.linspace(0, max(0, width - _WINDOW), _WINDOWS, dtype=int).tolist()
        ]
    return np.concatenate([part.reshape(len(indexes), -1) for part in parts], axis=1)


def valid_dn(
    dn: npt.NDArray[np.float64], source: Source, invalid: tuple[float, ...]
) -> npt.NDArray[np.bool_]:
    """True where a number is a measurement: finite and none of the invalid ones."""
    valid: npt.NDArray[np.bool_] = np.isfinite(dn)
    for number in invalid:
        # A nodata tag is decimal text; in a float32 file it stands rounded to float32.
        valid &= dn != (np.dtype(source.dtype).type(number) if source.dtype.startswith("float") else number)
    return valid
