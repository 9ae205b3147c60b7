"""An array that shall be coded: what it is, whether it can be, and how it is cut into tiles."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codec.arrays.quantised import dequantise
from codec.arrays.tokens import TokenSource, describe
from codec.bitstream.array_shape import ArrayShape, Layout, Quantisation
from codec.errors import InputError
from codec.types import MAX_CHANNELS, MAX_TOKENS_SIDE, FloatArray

_FLOAT_SIDE, _INTEGER_SIDE = 8, 32  # tokens of a tile
_TILE_BYTES = 8 * 44_000  # of the integers of one tile, so that it fits its records


@dataclass(frozen=True)
class Job:
    """An array, what is known about it, and how it is cut into tiles."""

    source: TokenSource
    about: ArrayShape
    lossless: bool
    scale: np.ndarray | None = None  # float32, one per token

    @property
    def n_tokens(self) -> int:
        return int(np.prod(self.about.token_shape))


def job_of(
    array: Any,
    *,
    axes: str | None,
    nodata: float | None,
    quantisation: str | None,
    scale: np.ndarray | None,
    lossless: bool | None,
    tile: tuple[int, int] | None,
) -> Job:
    """Judge an array and how it shall be coded. Raises InputError for what cannot be, saying what to do."""
    if isinstance(array, (list, tuple)):
        raise InputError(
            "the array is a list", found=f"{len(array)} entries", fix="give one array of equally long vectors"
        )
    about = describe(array, axes=axes, nodata=nodata, quantisation=quantisation)
    exact = about.dtype.kind in "iu" if lossless is None else lossless
    if exact and about.dtype.kind == "f":
        raise InputError("only integers are coded without loss", found=about.dtype, fix="leave out lossless")
    if not exact and about.dtype.kind in "iu" and about.quantisation == Quantisation.NONE:
        raise InputError(
            "integers are coded without loss unless their meaning is known", found=about.dtype,
            fix="leave lossless as it is, name the quantisation, or give floats",
        )  # fmt: skip
    if not 1 <= about.channels <= MAX_CHANNELS:
        raise InputError(f"a vector has 1 to {MAX_CHANNELS} channels", found=about.channels)
    scale = _checked_scale(about, scale)
    rows, cols = _default_tile(about, exact) if tile is None else _checked_tile(tile)
    if tile is not None and about.layout == Layout.GRIDS and (rows, cols) != about.shape[1:3]:
        raise InputError(
            "token grids are their own tiles",
            expected=about.shape[1:3],
            found=(rows, cols),
            fix="leave out the tile",
        )
    if not (1 <= rows <= MAX_TOKENS_SIDE and 1 <= cols <= MAX_TOKENS_SIDE):
        fix = "name the axes of a raster: 'hwc'" if about.layout == Layout.GRIDS else "choose smaller tiles"
        raise InputError(f"a tile has 1 to {MAX_TOKENS_SIDE} tokens a side", found=(rows, cols), fix=fix)
    source = TokenSource(array, about, rows, cols)
    source.grid  # noqa: B018 (refuses more tiles than a file can hold before anything is read)
    if about.dtype == np.int8 and about.nodata is None and quantisation is None:
        _refuse_lowest(source)
    return Job(source, about, exact, scale)


def _checked_tile(tile: Any) -> tuple[int, int]:
    """Two whole numbers; their range is the caller's business."""
    try:
        sides = [operator.index(side) for side in tile if not isinstance(side, (bool, np.bool_))]
    except TypeError:
        sides = []
    if isinstance(tile, (str, bytes, dict)) or len(sides) != 2 or len(tile) != 2:
        raise InputError(
            "a tile is no pair of whole numbers",
            found=repr(tile),
            fix="give (rows, columns) of tokens, e.g. (8, 8)",
        )
    return sides[0], sides[1]


def _default_tile(about: ArrayShape, exact: bool) -> tuple[int, int]:
    if about.layout == Layout.GRIDS:
        return int(about.shape[1]), int(about.shape[2])
    side = _INTEGER_SIDE if exact else _FLOAT_SIDE
    if exact:
        while side > 1 and side * side * about.channels * about.dtype.itemsize > _TILE_BYTES:
            side //= 2
        if about.layout in (Layout.ROWS_COLS_CHANNELS, Layout.CHANNELS_ROWS_COLS):
            rows, cols = about.token_shape
            return _without_waste(rows, side), _without_waste(cols, side)
    if about.layout == Layout.VECTORS:  # larger tiles where a file would have too many
        side = min(side, _FLOAT_SIDE)
        while side < MAX_TOKENS_SIDE and about.shape[0] > 65_536 * side * side:
            side *= 2
    return side, side


def _without_waste(extent: int, side: int) -> int:
    """A side of at most `side`, and not much less, whose tiles reach least beyond the extent: what they double is coded."""
    candidates = range(side, max(1, side * 5 // 8) - 1, -1)
    return min(candidates, key=lambda s: -(-extent // s) * s - extent)


def _checked_scale(about: ArrayShape, scale: np.ndarray | None) -> np.ndarray | None:
    wanted = about.quantisation == Quantisation.TESSERA
    if scale is None:
        if wanted:
            raise InputError(
                "TESSERA integers come with one float32 scale per token, which was not given",
                fix="give scale",
            )
        return None
    if not wanted:
        raise InputError(
            "scales belong to the quantisation 'tessera'", fix="name it, or leave the scales out"
        )
    found = np.asarray(scale)
    if found.shape != about.token_shape or found.dtype != np.float32:
        raise InputError(
            "the scales do not fit the array", expected=f"float32 {about.token_shape}",
            found=f"{found.dtype} {found.shape}",
        )  # fmt: skip
    return found


def _refuse_lowest(source: TokenSource) -> None:
    """−128 in an int8 array is a number or a hole, and only its owner knows."""
    step = max(1, (1 << 24) // source.values_per_tile)
    for first in range(0, source.n_tiles, step):
        part = range(first, min(first + step, source.n_tiles))
        values, known = source.read(part)
        wrong = np.argwhere((values == -128) & known[..., None])
        if len(wrong):
            raise InputError(
                f"the int8 array holds -128, first in tile {first + int(wrong[0, 0])}, and nobody said what that means",
                fix="give nodata=-128 where it marks what was not measured, quantisation='none' where it is a number",
            )


def floats(job: Job, values: np.ndarray, tiles: np.ndarray | range) -> FloatArray:
    """Values n×h×w×C of the array as the float numbers that they mean."""
    if job.about.quantisation == Quantisation.NONE:
        with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such unless masked
            return values.astype(np.float32, copy=False)
    scale = None
    if job.scale is not None:
        scale = scale_source(job).read(tiles)[0][..., 0]
    x = dequantise(values, job.about.quantisation, scale)
    return np.nan_to_num(x, nan=0.0)


def scale_source(job: Job, channels: np.ndarray | None = None) -> TokenSource:
    """The scales, cut into the same tiles: as floats, or as the three integers of plane 1."""
    assert job.scale is not None
    layout = Layout.ROWS_COLS_CHANNELS if job.about.layout == Layout.CHANNELS_ROWS_COLS else job.about.layout
    array = job.scale[..., None] if channels is None else channels
    about = ArrayShape(
        layout, np.dtype(array.dtype), array.shape, nodata=np.nan if channels is None else None
    )
    return TokenSource(array, about, job.source.rows, job.source.cols)
