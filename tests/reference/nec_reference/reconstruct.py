"""Reconstruction (§8): symbols to coefficients to embeddings, float32 results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nec_reference.lifting import Linear, undo_linear
from nec_reference.manifest import Package
from nec_reference.payload import step_index
from nec_reference.plane import KIND_INTEGER
from nec_reference.tables import Tables
from nec_reference.whole import DecodedFile

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PlaneTransform:
    """`<plane>.mean` (rows, cols, channels) and `<plane>.basis` (channels, channels) of transform.npz."""

    mean: Floats
    basis: Floats
    tokens: int | None = None  # 0: no transform over tokens; None: DCT
    rotations: Floats | None = None  # `<plane>.rotations` (groups, channels, channels), §8.3
    rotation: npt.NDArray[np.uint8] | None = None  # `<plane>.rotation` (rows·cols)


def dct_atoms(n: int) -> npt.NDArray[np.float64]:
    """a[u][i] of §8.3: the orthonormal DCT-II, one atom a row."""
    atoms = np.empty((n, n))
    for u in range(n):
        for i in range(n):
            atoms[u, i] = (
                math.sqrt(1 / n)
                if u == 0
                else math.sqrt(2 / n) * math.cos(math.pi * (2 * i + 1) * u / (2 * n))
            )
    return atoms


def coefficients(
    file: DecodedFile, tables: Tables, plane: int, tile: int, refines: Mapping[int, int] | None = None
) -> Floats:
    """§8.1 and §8.4: C×F coefficients of one tile with every layer that arrived; missing ones are 0."""
    shape = file.header.planes[plane]
    values = np.zeros((shape.channels, shape.rows * shape.cols), np.float32)
    refined_by = {refined: number for number, refined in (refines or {}).items()}
    for channel in range(shape.channels):
        for f in range(shape.rows * shape.cols):
            found = _symbol(file, tables, plane, tile, channel, f)
            if found is None:
                continue
            t, e, level = found
            step = np.float32(tables.ladder[e])
            finer = refined_by.get(plane)
            while finer is not None:
                digit = _symbol(file, tables, finer, tile, channel, f)
                if digit is None:
                    break
                t, step, level = 3 * t + digit[0], step / np.float32(3), digit[2]
                finer = refined_by.get(finer)
            if t:
                table = tables.tables[level]
                size = table.r1 if abs(t) == 1 else np.float32(abs(t)) + np.float32(table.r2)
                values[channel, f] = np.float32(math.copysign(1, t)) * step * np.float32(size)
    if plane in file.mean_vectors:
        e = step_index(tables, plane, 0, file.header.ladder_index, 0)
        for (channel, f), symbol in file.mean_vectors[plane].items():
            values[channel, f] += np.float32(symbol) * np.float32(tables.ladder[e])
    return values


def _symbol(
    file: DecodedFile, tables: Tables, plane: int, tile: int, channel: int, f: int
) -> tuple[int, int, int] | None:
    """Symbol, ladder position and level of one coefficient; None: its layer has not arrived."""
    shape = tables.planes[plane]
    band = shape.band_of[f]
    layer = shape.layer_map[band][channel]
    found = file.tiles.get((plane, layer, tile))
    if found is None:  # so for layer 255
        return None
    e = step_index(tables, plane, layer, file.header.ladder_index, found.ladder_offset)
    return found.content.symbols.get((channel, f), 0), e, tables.level(plane, band, channel, e)


def synthesise(values: Floats, rows: int, cols: int, transform: PlaneTransform) -> Floats:
    """§8.3, kind float: rotations back, inverse DCT, inverse channel transform, position mean; rows×cols×channels."""
    if transform.rotations is not None and transform.rotation is not None:
        turned = np.empty(values.shape)
        for f, group in enumerate(transform.rotation):
            for channel in range(values.shape[0]):
                turned[channel, f] = sum(
                    float(transform.rotations[group, c, channel]) * float(values[c, f])
                    for c in range(values.shape[0])
                )
        values = turned
    grid = values.reshape(-1, rows, cols).astype(np.float64)
    if transform.tokens == 0:
        tokens = grid
    else:
        tokens = np.einsum("ui,vj,cuv->cij", dct_atoms(rows), dct_atoms(cols), grid)
    embedding: Floats = np.einsum("ck,cij->ijk", transform.basis.astype(np.float64), tokens).astype(
        np.float32
    )
    return embedding + transform.mean


def lift(symbols: list[list[int]], rows: int, cols: int, lifting: str) -> npt.NDArray[np.int16]:
    """§8.3, kind integer: rows×cols×channels."""
    integers = np.empty((rows, cols, len(symbols)), np.int16)
    for channel, row in enumerate(symbols):
        running = 0
        for token, symbol in enumerate(row):
            running = symbol if lifting == "none" else (running + symbol) & 0xFFFF
            signed = running - 0x10000 if running > 0x7FFF else running
            integers[token // cols, token % cols, channel] = signed
    return integers


def embedding(
    file: DecodedFile,
    package: Package,
    plane: int,
    tile: int,
    transform: PlaneTransform | None,
    linear: Linear | None = None,
    refines: Mapping[int, int] | None = None,
) -> npt.NDArray[np.generic]:
    """One tile of one plane: float32, or int16 of kind integer. Ask `file.validity` which tokens count.

    A missing tile (no layer 0) has no embedding; asking for it is a mistake of the caller.
    """
    assert file.tables is not None
    assert (plane, 0, tile) in file.tiles, "the tile is missing"
    shape = file.header.planes[plane]
    if shape.kind == KIND_INTEGER and linear is not None:
        return undo_linear(file.symbols(plane, tile), shape.rows, shape.cols, linear)
    if shape.kind == KIND_INTEGER:
        return lift(file.symbols(plane, tile), shape.rows, shape.cols, package.lifting)
    assert transform is not None
    values = coefficients(file, file.tables, plane, tile, refines)
    return synthesise(values, shape.rows, shape.cols, transform)
