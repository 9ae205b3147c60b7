"""What the tokens of some tiles are, as numbers: embeddings of scenes, and of arrays what their integers mean."""

from __future__ import annotations

import numpy as np

from codec.arrays.lazy_file import LazyFile
from codec.arrays.quantised import dequantise, from_bytes, scale_from
from codec.arrays.tiles import IntArray, TilesDecoded
from codec.bitstream.array_shape import Quantisation
from codec.pipeline.decoding import integers_of
from codec.types import BoolArray, FloatArray, PlaneKind

SCALE_PLANE = 1  # of an array of quantisation `tessera` (bitstream §9.2)


def channels(file: LazyFile, plane: int) -> int:
    """Channels of a plane as its numbers show them; 0 for the scales of an array, one number per token."""
    about = file.header.array
    if about is None:
        return file.header.planes[plane].channels
    return 0 if plane == SCALE_PLANE else about.channels


def validity(file: LazyFile, plane: int, tiles: IntArray) -> BoolArray:
    """n×h×w: measured, received and decoded. Only layer 0 is read where that says it all."""
    if _is_exact(file, plane):
        return _exact_validity(file, file.read(plane, tiles))
    return file.read(plane, tiles, max_layers=1).symbols.token_validity


def numbers(file: LazyFile, plane: int, tiles: IntArray) -> FloatArray:
    """n×h×w×C float32 (n×h×w for scales), NaN where not valid. Integers of a known quantisation are dequantised."""
    decoded = file.read(plane, tiles)
    if not _is_exact(file, plane):
        embedding = file.decoder.embedding(decoded)
        values = embedding.values
        values[~embedding.validity] = np.nan
        return values
    about = file.header.array
    assert about is not None
    integers = _integers(file, decoded)
    if plane == SCALE_PLANE:
        values = scale_from(integers)
    else:
        if integers.shape[3] != about.channels:
            integers = from_bytes(integers)
        scale = None
        if about.quantisation == Quantisation.TESSERA:
            scale = scale_from(_integers(file, file.read(SCALE_PLANE, tiles)))
        values = dequantise(integers, about.quantisation, scale)
    values[~_exact_validity(file, decoded)] = np.nan
    return values


def _is_exact(file: LazyFile, plane: int) -> bool:
    """Integers of an array: a tile without all of its layers is lost (bitstream §9.2)."""
    return file.header.array is not None and file.header.planes[plane].kind == PlaneKind.INTEGER


def _integers(file: LazyFile, decoded: TilesDecoded) -> np.ndarray:
    package = file.package
    entry = package.planes[decoded.symbols.plane]
    return integers_of(decoded.symbols.values, entry, package.liftings.get(entry.name))


def _exact_validity(file: LazyFile, decoded: TilesDecoded) -> BoolArray:
    n_layers = file.header.planes[decoded.symbols.plane].n_layers
    every = (1 << n_layers) - 1
    there = (decoded.symbols.layers & every) == every
    valid: BoolArray = decoded.symbols.token_validity & there[:, None, None]
    return valid
