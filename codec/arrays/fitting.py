"""Fitting a codec to somebody's array, and writing it as a package without an encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from codec.arrays.job import Job, floats, job_of, scale_source
from codec.arrays.package_folder import check_place, whole_folder
from codec.arrays.quantised import bytes_of, scale_channels
from codec.arrays.tokens import AXES, TokenSource
from codec.bitstream.array_shape import ArrayShape, Layout
from codec.errors import InputError
from codec.package import Package, TileLayout, build
from codec.transform.fit import FittedCodec, fit_planes
from codec.transform.fit_integers import IntegerPlane, fit_integers
from codec.transform.fit_lifting import fit_lifting, value_range
from codec.transform.layout import PlaneLayout
from codec.transform.lifting import MAX_MODULUS
from codec.types import MAX_CHANNELS, BoolArray, FloatArray

ARRAY, SCALE = "array", "scale"  # planes of a fitted package
NOTES = "array"  # key of the manifest's notes
DEFAULT_BITS = 2.0  # per number at a package's default quality
_LAYERS = 4  # of a lossy plane
_TRAINING_VALUES = 1 << 28  # of float arrays, for means and KLT: 1 GiB as float32
_TRAINING_INTEGERS = 1 << 23  # of integer arrays, for lifting and tables
_WIDE = 64.0  # mean magnitude of int16 symbols


def training_tiles(source: TokenSource, most_values: int, seed: int) -> np.ndarray | range:
    """All tiles, or as many as have `most_values` numbers, drawn with `seed`, ascending."""
    most = max(1, most_values // source.values_per_tile)
    if source.n_tiles <= most:
        return range(source.n_tiles)
    return np.sort(np.random.default_rng(seed).choice(source.n_tiles, most, replace=False))


def fit_job(job: Job, *, seed: int, bits: float, planes: tuple[str, str], alone: bool) -> FittedCodec:
    """Transform or lifting, and tables, of one array; `alone`: they will travel in its own file."""
    return _fit_exact(job, seed, planes, alone) if job.lossless else _fit_lossy(job, seed, bits, planes[0])


def _fit_lossy(job: Job, seed: int, bits: float, plane: str) -> FittedCodec:
    tiles = training_tiles(job.source, _TRAINING_VALUES, seed)
    values, known = job.source.read(tiles)
    x = floats(job, values, tiles)
    whole = known.all(axis=(1, 2))
    if not whole.any():
        x, known = _filled(x, known)
    size = job.source.rows * job.source.cols * job.about.channels * bits / 8
    vectors = job.about.layout == Layout.VECTORS
    # No rotations: they are larger than most arrays, and the transform travels in the file.
    layout = PlaneLayout(
        position_mean=job.about.layout == Layout.GRIDS,
        n_layers=_LAYERS,
        tokens="none" if vectors else "dct",
        rotations=False,
    )
    return fit_planes(
        {plane: x}, validity=None if known.all() else {plane: known}, layouts={plane: layout},
        default_bytes=size, layer_bytes=size,
    )  # fmt: skip


def _filled(x: FloatArray, known: BoolArray) -> tuple[FloatArray, BoolArray]:
    """Arrays smaller than a tile: what is not there repeats what is, so that scales can be fitted."""
    tokens = x[known]
    if not len(tokens):
        raise InputError("the array has no valid token", fix="check its nodata value")
    filled = x.copy()
    filled[~known] = np.resize(tokens, (int((~known).sum()), x.shape[3]))
    return filled, np.ones_like(known)


def _fit_exact(job: Job, seed: int, planes: tuple[str, str], alone: bool) -> FittedCodec:
    result = {planes[0]: _integer_plane(job, job.source, job.about.dtype, seed, alone)}
    if job.scale is not None:
        result[planes[1]] = _integer_plane(
            job, scale_source(job, scale_channels(job.scale)), np.dtype(np.int16), seed, alone
        )
    return fit_integers(result)


def _integer_plane(job: Job, source: TokenSource, dtype: np.dtype, seed: int, alone: bool) -> IntegerPlane:
    tiles = training_tiles(source, _TRAINING_INTEGERS, seed)
    values, known = source.read(tiles)
    known &= job.source.read(tiles)[1]
    spatial = job.about.layout != Layout.VECTORS
    n_tokens = job.n_tokens if alone else None
    if dtype != np.int16:
        low, modulus = value_range(dtype)
    elif alone:
        low, modulus = value_range(dtype, *_extremes(job, source))
    else:  # another array may reach further: all but −32768
        low, modulus = -32767, MAX_MODULUS
    lifting = fit_lifting(values, known, low=low, modulus=modulus, spatial=spatial, n_tokens=n_tokens)
    symbols = lifting.forward(values, known)
    fits_twice = 2 * job.about.channels <= MAX_CHANNELS
    if source is job.source and dtype == np.int16 and fits_twice and _is_wide(symbols):
        halves = bytes_of(values)
        lifting = fit_lifting(halves, known, low=-256, modulus=512, spatial=spatial, n_tokens=n_tokens)
        symbols = lifting.forward(halves, known)
    return IntegerPlane(source.rows, source.cols, lifting, symbols, known, spatial)


def _is_wide(symbols: np.ndarray) -> bool:
    """Beyond a few hundred steps tables end in escapes, of twice the length: two bytes are cheaper then."""
    return float(np.abs(symbols.astype(np.int32)).mean()) > _WIDE


def in_halves(package: Package, about: ArrayShape) -> bool:
    """Whether plane 0 holds the array's int16 as upper and lower bytes."""
    return package.planes[0].spec.channels == 2 * about.channels


def _extremes(job: Job, source: TokenSource) -> tuple[int, int]:
    """Smallest and largest known value of the whole array."""
    low, high = 32767, -32768
    step = max(1, (1 << 24) // source.values_per_tile)
    for first in range(0, source.n_tiles, step):
        part = range(first, min(first + step, source.n_tiles))
        seen = source.read(part)[0][job.source.read(part)[1]]
        if seen.size:
            low, high = min(low, int(seen.min())), max(high, int(seen.max()))
    return (low, high) if low <= high else (0, 0)


def fit(
    array: Any,
    *,
    name: str,
    folder: Path,
    nodata: float | None = None,
    seed: int = 0,
    axes: str | None = None,
    lossless: bool | None = None,
    quantisation: str | None = None,
    scale: np.ndarray | None = None,
    tile: tuple[int, int] | None = None,
    bits: float = DEFAULT_BITS,
    version: str = "1",
    licence: str = "not stated",
    encoder_sha256: str | None = None,
    again: bool = False,
) -> Package:
    """Learn a codec from an array of embeddings and write it to `folder` as a package without an encoder.

    `array`: N×C vectors, (tile, rows, cols, C) token grids or a raster, as a NumPy array, a memory map or anything that
    slices into one. `axes` names them ("nc", "thwc", "hwc", "chw"); rasters must be named. Floats get a lossy codec
    (means, KLT, DCT over tokens that are a picture, classes, layers, tables), integers a lossless one (lifting, tables)
    unless `lossless` is False and their `quantisation` ("alphaearth", "tessera") says what they mean. `tile`: token rows
    and columns of a tile. `bits` per number set the default quality of a lossy codec. `name` also names the embedding
    space. `folder` is new or empty, or with `again` holds a fitted package, which is replaced; it appears whole or not at
    all. Deterministic in its arguments on one machine and numerical library, whatever the number of threads. Raises
    InputError for arrays that cannot be coded and places where nothing can be put.
    """
    folder = Path(folder)
    check_place(folder, again=again)
    job = job_of(
        array, axes=axes, nodata=nodata, quantisation=quantisation, scale=scale, lossless=lossless, tile=tile
    )
    if not 0 < bits <= 32:
        raise InputError("bits per number lie above 0 and at most at 32", found=bits)
    codec = fit_job(job, seed=seed, bits=bits, planes=(ARRAY, SCALE), alone=False)
    with whole_folder(folder, again=again) as building:
        package = build(
            building, name=name, version=version, licence=licence, bands=(), preprocessing=f"array {name}",
            tile=TileLayout(max(job.source.rows, job.source.cols), 0, 1), codec=codec, encoder_sha256=encoder_sha256,
            notes={NOTES: remember(job.about, quantisation)},
        )  # fmt: skip
    return replace(package, folder=folder)


def remember(about: ArrayShape, quantisation: str | None) -> dict[str, str]:
    """What packing with the package need not be told again; text only, as manifests hold no floats.

    A quantisation that nobody named stays unnamed: -128 in a later array must not pass for a number unasked.
    """
    return {
        "axes": next(name for name, layout in AXES.items() if layout == about.layout),
        "dtype": about.dtype.name,
        "quantisation": quantisation or "",
        "nodata": "" if about.nodata is None else repr(float(about.nodata)),
    }
