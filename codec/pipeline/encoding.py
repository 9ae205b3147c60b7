"""Latents of one scene → a whole `.nec` file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.bitstream import core, mean_vector, tables_records
from codec.bitstream.backends import DEFAULT
from codec.bitstream.coefficients import encode_file_records
from codec.bitstream.derived import derived_invalid
from codec.bitstream.extensions import Extension, mean_vector_extension, source_name_extension
from codec.bitstream.grouping import LINK_TARGET
from codec.bitstream.header import FLAG_EMBEDDED_TABLES, FileHeader
from codec.bitstream.writer import NecWriter
from codec.errors import InputError
from codec.package import Package
from codec.transform.maps import QuantMaps
from codec.transform.plane import refill
from codec.transform.quantiser import MAX_MAGNITUDE, quantise
from codec.transform.rate import COST_UNITS_PER_BYTE, choose_ladder_index
from codec.types import BoolArray, FloatArray, Georeference, Latent, Symbols, TileGrid

_CHUNK = 1024  # tiles quantised at a time: bounds the temporary copies
_RECORD_OVERHEAD = (
    15  # header, CRC, and the three bytes of form and state that the estimate adds (bitstream §10.3)
)


def encode(
    package: Package,
    latents: Sequence[Latent],
    *,
    grid: TileGrid,
    georeference: Georeference,
    sensor: str,
    band_mask: int,
    time_us: int,
    ladder_index: int | None = None,
    bytes_per_tile: float | None = None,
    target_bytes: int = LINK_TARGET,
    run: int = 0,
    source_name: str = "",
    file_mean: bool | None = None,
    embed_tables: bool = False,
    index: bool = True,
    seal: bool = True,
    backend: str = DEFAULT,
) -> bytes:
    """The bytes of a `.nec` file of one scene.

    `latents` has every plane of the package once (values N×C×F as the transform or the engine gives them, token
    validity N×h×w). Tiles without a valid token of their own are masked; unknown tokens of the others are filled.
    Quality: `ladder_index`, else the finest that keeps the mean bytes of a tile within `bytes_per_tile` (records, by
    integer costs), else the package's default. `file_mean` sends the scene's mean vector in the header; None does so
    when that saves bytes. Equal arguments give equal bytes. Raises InputError for latents that do not fit, NaN in
    valid tiles, a grid with another core than the package's, or a budget that cannot be met.
    """
    planes = _ordered(package, latents, grid)
    if band_mask >> len(package.bands):
        raise InputError(
            "the band mask names bands that the package does not have",
            expected=f"{len(package.bands)} bits",
            found=f"{band_mask:#x}",
        )
    if ladder_index is not None and bytes_per_tile is not None:
        raise InputError("give a ladder index or a budget of bytes, not both")
    if bytes_per_tile is not None:
        ladder_index = _index_for_budget(package, planes, bytes_per_tile, target_bytes, file_mean)
    elif ladder_index is None:
        ladder_index = package.default_ladder_index

    extensions: list[Extension] = []
    symbols = []
    for plane in planes:
        quantised = _quantise(package, plane, ladder_index, file_mean)
        symbols.append(Symbols(plane.number, quantised.symbols, plane.validity))
        if quantised.mean_payload is not None:
            extensions.append(mean_vector_extension(plane.number, quantised.mean_payload))
    if source_name:
        extensions.append(source_name_extension(source_name))
    header = FileHeader(
        sensor=sensor,
        codec_id=package.codec_id,
        grid=grid,
        georeference=georeference,
        planes=package.plane_specs,
        ladder_index=ladder_index,
        band_mask=band_mask,
        run=run,
        time_us=time_us,
        flags=FLAG_EMBEDDED_TABLES if embed_tables else 0,
        extensions=tuple(sorted(extensions, key=lambda extension: extension.number)),
    )
    out = io.BytesIO()
    with NecWriter(out, header, index=index, seal=seal) as writer:
        if embed_tables:
            writer.extend(tables_records.split(package.table_file.encode()))
        writer.extend(
            encode_file_records(package.tables, header, symbols, target_bytes=target_bytes, backend=backend)
        )
    return out.getvalue()


@dataclass(frozen=True)
class _Plane:
    """One plane ready to be quantised: unknown tokens filled, masked tiles 0."""

    number: int
    values: FloatArray  # N×C×F
    validity: BoolArray  # N×h×w, own tokens only
    coded: BoolArray  # N, False = masked


@dataclass(frozen=True)
class _Quantised:
    symbols: np.ndarray  # N×C×F int16
    mean_payload: bytes | None


def _ordered(package: Package, latents: Sequence[Latent], grid: TileGrid) -> list[_Plane]:
    core_side = package.tile.core
    if (grid.core_height, grid.core_width) != (core_side, core_side):
        raise InputError(
            "the grid's tiles are not the package's",
            expected=f"{core_side}×{core_side} pixels",
            found=f"{grid.core_height}×{grid.core_width}",
        )
    given = sorted(latents, key=lambda latent: latent.plane)
    if [latent.plane for latent in given] != list(range(len(package.planes))):
        raise InputError(
            "the latents do not name each plane of the package once",
            expected=", ".join(plane.name for plane in package.planes),
            found=[latent.plane for latent in given],
        )
    return [_prepare(package, latent, grid) for latent in given]


def _prepare(package: Package, latent: Latent, grid: TileGrid) -> _Plane:
    entry = package.planes[latent.plane]
    spec = entry.spec
    if entry.name not in package.transforms:
        raise InputError(
            f"plane {entry.name!r} holds integers; it has no latents",
            fix="pack the array with codec.arrays.pack",
        )
    shape = (grid.n_tiles, spec.channels, spec.n_frequencies)
    tokens = (grid.n_tiles, spec.rows, spec.cols)
    if latent.values.shape != shape or latent.token_validity.shape != tokens:
        raise InputError(
            f"the latents of plane {entry.name!r} do not fit the grid and the package",
            expected=f"values {shape}, validity {tokens}",
            found=f"{latent.values.shape}, {latent.token_validity.shape}",
        )
    known: BoolArray = np.logical_and(latent.token_validity, ~derived_invalid(grid, spec))
    coded = np.asarray(known.any(axis=(1, 2)))
    values = np.asarray(latent.values, dtype=np.float32)
    if not coded.all():
        values = np.where(coded[:, None, None], values, np.float32(0))
    broken = np.isnan(values).any(axis=(1, 2))
    if broken.any():
        raise InputError(
            f"plane {entry.name!r}: a latent of tile {int(broken.argmax())} is not a number",
            fix="look for NaN pixels or weights before the encoder; mark unmeasured pixels invalid instead",
        )
    between = package.transforms[entry.name].tokens
    return _Plane(latent.plane, refill(values, known, between), known, coded)


def _quantise(package: Package, plane: _Plane, ladder_index: int, file_mean: bool | None) -> _Quantised:
    """Symbols of one plane, and the payload of its mean vector if one is used."""
    maps = package.maps(plane.number, ladder_index)
    symbols = np.empty(plane.values.shape, dtype=np.int16)
    for start in range(0, len(symbols), _CHUNK):
        symbols[start : start + _CHUNK] = maps.quantise(plane.values[start : start + _CHUNK])
    if file_mean is False or not plane.coded.any():
        return _Quantised(symbols, None)

    mean_symbols = _mean_symbols(maps, plane)
    payload = mean_vector.encode(package.tables, plane.number, ladder_index, mean_symbols)
    cost = _layer0_cost(package, plane, ladder_index, symbols)
    cells = (maps.layer == 0) & maps.coded  # nothing else changes
    plain = symbols[:, cells]
    residual = plane.values[:, cells] - (mean_symbols * maps.step)[cells]
    symbols[:, cells] = quantise(residual, maps.inv_step[cells], maps.theta[cells])
    symbols[~plane.coded] = 0
    if file_mean is None:
        saved = cost - _layer0_cost(package, plane, ladder_index, symbols)
        if saved <= (len(payload) + 4) * COST_UNITS_PER_BYTE:  # type, length and plane of the extension
            symbols[:, cells] = plain
            return _Quantised(symbols, None)
    return _Quantised(symbols, payload)


def _mean_symbols(maps: QuantMaps, plane: _Plane) -> np.ndarray:
    """The mean of layer 0 over coded tiles in its own steps, C×F; plain rounding, as it has no reconstruction point."""
    cells = (maps.layer == 0) & maps.coded
    result = np.zeros(cells.shape, dtype=np.int16)
    mean = plane.values[plane.coded][:, cells].mean(axis=0, dtype=np.float64)
    result[cells] = np.clip(np.rint(mean / maps.step[cells]), -MAX_MAGNITUDE, MAX_MAGNITUDE)
    return result


def _layer0_cost(package: Package, plane: _Plane, ladder_index: int, symbols: np.ndarray) -> int:
    costs = core.tile_costs(package.tables, plane.number, 0, ladder_index, symbols)
    return int(costs[plane.coded].sum(dtype=np.uint64))


def _index_for_budget(
    package: Package, planes: list[_Plane], budget: float, target_bytes: int, file_mean: bool | None
) -> int:
    """The finest index whose records take at most `budget` bytes per coded tile, by integer costs."""
    n_coded = max(1, int(planes[0].coded.sum()))

    def bytes_at(ladder_index: int) -> float:
        total = 0.0
        for plane in planes:
            symbols = _quantise(package, plane, ladder_index, file_mean).symbols
            for layer in range(package.planes[plane.number].spec.n_layers):
                costs = core.tile_costs(package.tables, plane.number, layer, ladder_index, symbols)
                payload = int(costs[plane.coded].sum(dtype=np.uint64)) / COST_UNITS_PER_BYTE
                n_records = max(1.0, payload / max(1, target_bytes - _RECORD_OVERHEAD))
                total += payload + n_records * _RECORD_OVERHEAD
        return total / n_coded

    return choose_ladder_index(package.ladder_indices, bytes_at, budget)
