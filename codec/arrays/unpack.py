"""`.nec` bytes → the array that was packed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codec.arrays.quantised import dequantise, from_bytes, scale_from
from codec.arrays.tokens import TokenSink
from codec.bitstream import coefficients, mean_vector
from codec.bitstream.array_shape import ArrayShape, Quantisation, no_value
from codec.bitstream.core import TableSet
from codec.bitstream.decoded import PlaneSymbols
from codec.bitstream.reader import NecFile, read_bytes
from codec.errors import Corrupt, InputError, LimitExceeded, TryAgain
from codec.package import Package
from codec.pipeline.contained import package_in
from codec.pipeline.decoding import DEFAULT_MAX_BYTES, check_package, embedding_of, integers_of
from codec.pipeline.digits import finer_planes
from codec.pipeline.nec_scene import package_for
from codec.transform.tables import Tables
from codec.types import BoolArray, FloatArray, PlaneKind

_CHUNK_VALUES = 1 << 22
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Unpacked:
    """An array as it was packed: exactly for integers, within the coding error for floats."""

    values: (
        np.ndarray
    )  # original type, shape and order of axes; the nodata value (or NaN, or 0) where not valid
    validity: BoolArray  # one per vector, token or pixel: the shape without its channel axis
    scale: FloatArray | None  # one per token, to the bit; only TESSERA arrays have it
    about: ArrayShape
    missing_tiles: int  # of which records were lost or damaged; their tokens are not valid

    @property
    def quantisation(self) -> str:
        """ "none", "alphaearth" or "tessera"."""
        return self.about.quantisation.name.lower()

    def dequantised(self) -> FloatArray:
        """The numbers that the array means, float32, its axes kept; NaN in tokens that are not valid."""
        chw = self.values.ndim - self.validity.ndim == 1 and self.values.shape[1:] == self.validity.shape
        last = np.moveaxis(self.values, 0, -1) if chw and self.about.layout == 3 else self.values
        # Floats are numbers already; also those that integers coded with loss came back as.
        exact = last.dtype.kind in "iu"
        x = dequantise(last, self.about.quantisation, self.scale) if exact else last.astype(np.float32)
        x[~self.validity] = np.nan
        return np.moveaxis(x, -1, 0) if last is not self.values else x


def unpack(data: bytes, package: Package | None = None, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Unpacked:
    """Decode the bytes that `pack` gave.

    `package` is the one it was packed with; without it a self-contained file brings its own, and others are looked for in
    the default places. Tiles that were lost come out invalid and are counted. Raises what reading and decoding raise,
    InputError for a `.nec` that holds no array, LimitExceeded where it would take more than `max_bytes`.
    """
    file = read_bytes(data)
    about = file.header.array
    if about is None:
        raise InputError(
            "the file holds a scene, not an array",
            fix="decode it with `swathpack decode` or codec.pipeline.open_nec",
        )
    need = math.prod(about.shape) * about.dtype.itemsize
    if need > max_bytes:
        raise LimitExceeded(
            f"the array would take {need} bytes of memory", expected=f"at most {max_bytes}", found=need,
            fix="raise the limit if this file can be trusted",
        )  # fmt: skip
    if file.header.is_self_contained:
        package = package_in(file.header, file.embedded)
    elif package is None:
        package = package_for(file, None)
    planes, tables = _symbols(file, package, max_bytes)
    sink, missing = _assemble(file, package, tables, planes, about)
    scale = _scales(package, planes[1], about) if len(package.planes) > 1 else None
    return Unpacked(sink.values, sink.validity, scale, about, missing)


def _symbols(file: NecFile, package: Package, max_bytes: int) -> tuple[tuple[PlaneSymbols, ...], Tables]:
    header = file.header
    core_tables, tables = package.tables, package.table_file
    if header.embeds_tables:
        # As `package_in` judges them with a transform: cut short is for later, contradicting is damage.
        if file.embedded is not None and file.embedded.disagree:
            raise Corrupt(
                "the chunks of the embedded tables disagree on their number", found=file.embedded.disagree,
                fix="receive the file again",
            )  # fmt: skip
        if file.embedded is None or file.embedded.data is None:
            missing = () if file.embedded is None else file.embedded.missing
            raise TryAgain(
                "the file's own tables have not all arrived",
                found=f"chunks missing: {', '.join(map(str, missing)) or 'all'}", fix="request these records again",
            )  # fmt: skip
        sha256 = hashlib.sha256(file.embedded.data).hexdigest()
        check_package(package, header, tables_sha256=sha256)
        core_tables, tables = TableSet(file.embedded.data), Tables.decode(file.embedded.data)
    else:
        check_package(package, header)
    found = coefficients.decode(core_tables, header, file.records, max_bytes=max_bytes)
    return found.planes, tables


def _assemble(
    file: NecFile, package: Package, tables: Tables, planes: Sequence[PlaneSymbols], about: ArrayShape
) -> tuple[TokenSink, int]:
    plane, finer = planes[0], finer_planes(package, planes, 0)
    header, entry = file.header, package.planes[plane.plane]
    spec = entry.spec
    exact = spec.kind == PlaneKind.INTEGER
    if (
        about.dtype.kind in "iu" and not exact
    ):  # coded with loss: what comes back are the numbers that it means
        about = ArrayShape(about.layout, np.dtype(np.float32), about.shape)
    fill = no_value(about.dtype) if about.nodata is None else about.nodata
    sink = TokenSink.of(about, spec.rows, spec.cols, fill)
    every_layer = (1 << spec.n_layers) - 1 if exact else 1
    missing = int(((plane.layers & every_layer) != every_layer).sum())
    means = {} if exact else mean_vector.decode(package.tables, header)
    step = max(1, _CHUNK_VALUES // (spec.n_frequencies * spec.channels))
    for first in range(0, len(plane.layers), step):
        part = slice(first, first + step)
        some = plane.only(part)
        values: np.ndarray
        if exact:
            there = (some.layers & every_layer) == every_layer
            values = integers_of(some.values, entry, package.liftings.get(entry.name))
            if spec.channels != about.channels:
                values = from_bytes(values)
            valid = some.token_validity & there[:, None, None]
        else:
            digits = [each.only(part) for each in finer]
            embedding = embedding_of(package, tables, header, entry, some, means.get(plane.plane), digits)
            values, valid = embedding.values, embedding.validity
            if (
                about.dtype == np.float16
            ):  # the coding error must not push a number beyond what the type holds
                np.clip(values, -_LARGEST_FLOAT16, _LARGEST_FLOAT16, out=values)
        sink.put(first, values, valid)
    return sink, missing


def _scales(package: Package, plane: PlaneSymbols, about: ArrayShape) -> FloatArray:
    """float32 of every token; 0 where it did not arrive."""
    entry = package.planes[plane.plane]
    layout = 2 if about.layout == 3 else int(about.layout)
    shape = ArrayShape(type(about.layout)(layout), np.dtype(np.int16), (*about.token_shape, 3))
    sink = TokenSink.of(shape, entry.spec.rows, entry.spec.cols, 0)
    step = max(1, _CHUNK_VALUES // (entry.spec.n_frequencies * entry.spec.channels))
    every_layer = (1 << entry.spec.n_layers) - 1
    for first in range(0, len(plane.layers), step):
        part = slice(first, first + step)
        values = integers_of(plane.values[part], entry, package.liftings.get(entry.name))
        there = (plane.layers[part] & every_layer) == every_layer
        sink.put(first, values, plane.token_validity[part] & there[:, None, None])
    return scale_from(sink.values)


__all__ = ["Quantisation", "Unpacked", "unpack"]
