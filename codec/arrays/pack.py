"""Anybody's array of embeddings ↔ `.nec` bytes: `fit`, `pack`, `unpack`. numpy and the core only."""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from codec.arrays.fitting import NOTES, Job, fit, fit_job, floats, in_halves, job_of, scale_source
from codec.arrays.quantised import bytes_of, scale_channels
from codec.arrays.unpack import Unpacked, unpack
from codec.bitstream import core, tables_records
from codec.bitstream.coefficients import encode_file_records
from codec.bitstream.extensions import array_extension, source_name_extension
from codec.bitstream.grouping import ARCHIVE_TARGET
from codec.bitstream.header import FLAG_EMBEDDED_TABLES, FLAG_EMBEDDED_TRANSFORM, FileHeader
from codec.bitstream.sensing_time import TIME_UNKNOWN
from codec.bitstream.writer import NecWriter
from codec.errors import InputError
from codec.package import Package, arrays, identity
from codec.pipeline.chunked import integer_symbols, symbols_of
from codec.pipeline.contained import package_of, plane_name, space_id
from codec.transform.fit import FittedCodec
from codec.transform.quantiser import MAX_MAGNITUDE
from codec.transform.rate import COST_UNITS_PER_BYTE, choose_ladder_index
from codec.types import BoolArray, Georeference, PlaneKind, PlaneSpec, Record, Symbols

NO_PLACE = Georeference((1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
_SENSOR = "array"
_SAMPLE_VALUES = 1 << 20  # numbers that a quality is chosen by; the whole is checked afterwards
_RECORD_BYTES = 12 + 3 + 8  # header, CRC, form and state, entry of the index
_SEAL_BYTES, _INDEX_BYTES = 36, 12
_ESTIMATE_MARGIN = 1.004  # states of many lanes, and what a sample may miss
_CHUNK_BYTES = 61_440  # of embedded tables; links split them at 948


def pack(
    array: Any,
    package: Package | None = None,
    *,
    bytes_per_vector: float | None = None,
    total_bytes: int | None = None,
    ladder_index: int | None = None,
    lossless: bool | None = None,
    nodata: float | None = None,
    scale: np.ndarray | None = None,
    target_bytes: int = ARCHIVE_TARGET,
    axes: str | None = None,
    quantisation: str | None = None,
    tile: tuple[int, int] | None = None,
    georeference: Georeference = NO_PLACE,
    source_name: str = "",
    seed: int = 0,
) -> bytes:
    """One `.nec` of an array of embeddings.

    With a `package` (from `fit`) the file holds coefficients only; without one a codec is fitted to this array and travels
    in the file. Integers are coded without loss, floats to a quality: the finest whose coefficient records take at most
    `bytes_per_vector` per valid token, or whose whole file takes at most `total_bytes`; or `ladder_index`; or the package's
    default. `axes`, `nodata` and `quantisation` are remembered by the package. `target_bytes` is the size that records
    approach: 61,440 for archives, 960 for links. Equal arguments give equal bytes on the same numerical library with as
    many threads (what a transform adds up in floats depends on both; decoding does not). Raises InputError for arrays that
    cannot be coded (objects, numbers that are not finite, −128 without a meaning) and for budgets out of reach.
    """
    told = _told(package, axes, nodata, quantisation)
    if package is not None:
        tile = _tile_of(package, tile)
        exact = package.planes[0].spec.kind == PlaneKind.INTEGER
        if lossless is not None and lossless != exact:
            raise InputError(
                f"package {package.name!r} codes {'without' if exact else 'with'} loss", path=package.folder,
                fix="fit one for this purpose, or leave out lossless",
            )  # fmt: skip
        lossless = exact
    job = job_of(array, **told, scale=scale, lossless=lossless, tile=tile)
    quality = _Quality(bytes_per_vector, total_bytes, ladder_index)
    quality.check(job)
    if package is None:
        package, embedded = _own_package(job, seed, bytes_per_vector)
    else:
        _check_fits(package, job)
        embedded = None
    frame = _Frame(job, package, embedded, target_bytes, georeference, source_name)
    return _exactly(frame) if job.lossless else _within(frame, quality)


@dataclass(frozen=True)
class _Quality:
    bytes_per_vector: float | None
    total_bytes: int | None
    ladder_index: int | None

    def check(self, job: Job) -> None:
        given = [v for v in (self.bytes_per_vector, self.total_bytes, self.ladder_index) if v is not None]
        if len(given) > 1:
            raise InputError("give one of bytes_per_vector, total_bytes and ladder_index")
        if given and job.lossless:
            raise InputError("coding without loss has one size; a budget or a quality means nothing to it")
        if given and not (math.isfinite(given[0]) and given[0] >= 0):
            raise InputError("a budget or an index is a finite number of at least 0", found=given[0])


@dataclass(frozen=True)
class _Embedded:
    """What a self-contained file carries."""

    tables: bytes
    transform: bytes


@dataclass(frozen=True)
class _Frame:
    """Everything of a file but its symbols and its quality."""

    job: Job
    package: Package
    embedded: _Embedded | None
    target_bytes: int
    georeference: Georeference
    source_name: str

    def header(self, ladder_index: int) -> FileHeader:
        extensions = [array_extension(self.job.about)]
        if self.source_name:
            extensions.insert(0, source_name_extension(self.source_name))
        return FileHeader(
            sensor=_SENSOR, codec_id=self.package.codec_id, grid=self.job.source.grid,
            georeference=self.georeference, planes=self.package.plane_specs, ladder_index=ladder_index,
            time_us=TIME_UNKNOWN,
            flags=FLAG_EMBEDDED_TABLES | FLAG_EMBEDDED_TRANSFORM if self.embedded else 0,
            extensions=tuple(extensions),
        )  # fmt: skip

    def records(self, ladder_index: int, symbols: list[Symbols]) -> list[Record]:
        return encode_file_records(
            self.package.tables, self.header(ladder_index), symbols, target_bytes=self.target_bytes
        )

    def own_records(self) -> list[Record]:
        if self.embedded is None:
            return []
        chunk = min(_CHUNK_BYTES, self.target_bytes - 12)
        return tables_records.split(self.embedded.tables, self.embedded.transform, chunk=chunk)

    def fixed_bytes(self) -> int:
        """Of a file without coefficient records."""
        own = self.own_records()
        header = self.header(self.package.default_ladder_index).length
        return header + sum(len(r.data) + 8 for r in own) + _INDEX_BYTES + _SEAL_BYTES

    def file(self, ladder_index: int, records: list[Record]) -> bytes:
        out = io.BytesIO()
        with NecWriter(out, self.header(ladder_index)) as writer:
            writer.extend(self.own_records())
            writer.extend(records)
        return out.getvalue()


def _told(
    package: Package | None, axes: str | None, nodata: float | None, quantisation: str | None
) -> dict[str, Any]:
    """Arguments, completed by what the package remembers of the array it was fitted to."""
    notes = {} if package is None else package.manifest.raw.get("notes", {}).get(NOTES, {})
    return {
        "axes": axes or notes.get("axes"),
        "nodata": float(notes["nodata"]) if nodata is None and notes.get("nodata") else nodata,
        "quantisation": quantisation or notes.get("quantisation") or None,
    }


def _tile_of(package: Package, tile: tuple[int, int] | None) -> tuple[int, int]:
    spec = package.planes[0].spec
    if tile not in (None, (spec.rows, spec.cols)):
        raise InputError(
            "the package was fitted to other tiles", expected=f"{spec.rows}×{spec.cols}", found=tile,
            fix="leave out the tile",
        )  # fmt: skip
    return spec.rows, spec.cols


def _check_fits(package: Package, job: Job) -> None:
    """Raise InputError unless the package's planes are those that this array needs."""
    planes = package.planes
    spec = planes[0].spec
    wanted = 2 if job.lossless and job.scale is not None else 1
    if spec.channels not in job.about.plane_channels(job.lossless):
        raise InputError(
            f"package {package.name!r} was fitted to vectors of another length", path=package.folder,
            expected=f"{spec.channels} channels", found=job.about.channels, fix="fit a package to these embeddings",
        )  # fmt: skip
    if len(planes) != wanted or (job.lossless and planes[0].lifting != "linear"):
        raise InputError(
            f"package {package.name!r} was not fitted to arrays like this", path=package.folder,
            expected=f"{wanted} planes", found=", ".join(plane.name for plane in planes),
            fix="fit a package to these embeddings",
        )  # fmt: skip


def _own_package(job: Job, seed: int, bytes_per_vector: float | None) -> tuple[Package, _Embedded]:
    """A codec fitted to this array alone, as a package in memory and as what the file carries."""
    names = plane_name(0), plane_name(1)
    bits = 2.0 if bytes_per_vector is None else 8 * bytes_per_vector / job.about.channels
    codec = fit_job(job, seed=seed, bits=min(32.0, max(bits, 0.01)), planes=names, alone=True)
    embedded = _Embedded(codec.tables_bytes, arrays.encode(codec.transforms, codec.liftings))
    header = FileHeader(
        sensor=_SENSOR, codec_id=_codec_id(embedded), grid=job.source.grid, georeference=NO_PLACE,
        planes=_specs(codec), ladder_index=codec.default_ladder_index,
        flags=FLAG_EMBEDDED_TABLES | FLAG_EMBEDDED_TRANSFORM,
    )  # fmt: skip
    return package_of(header, embedded.tables, embedded.transform), embedded


def _codec_id(embedded: _Embedded) -> bytes:
    tables, transform = (hashlib.sha256(data).hexdigest() for data in (embedded.tables, embedded.transform))
    return identity.codec_id(tables_sha256=tables, transform_sha256=transform)


def _specs(codec: FittedCodec) -> tuple[PlaneSpec, ...]:
    return tuple(
        PlaneSpec(m.rows, m.cols, m.channels, len(m.layer_shift), m.kind, space_id(number))
        for number, m in enumerate(codec.tables.planes)
    )


def _exactly(frame: _Frame) -> bytes:
    job, index = frame.job, frame.package.default_ladder_index
    n_tiles = job.source.n_tiles
    halves = in_halves(frame.package, job.about)

    def read_values(tiles: range) -> tuple[np.ndarray, BoolArray]:
        values, known = job.source.read(tiles)
        return bytes_of(values) if halves else values, known

    values, validity = integer_symbols(frame.package, 0, n_tiles, read_values)
    symbols = [Symbols(0, values, validity)]
    if job.scale is not None:
        scales = scale_source(job, scale_channels(job.scale))

        def read(tiles: range) -> tuple[np.ndarray, BoolArray]:
            return scales.read(tiles)[0], validity[tiles.start : tiles.stop]

        symbols.append(Symbols(1, integer_symbols(frame.package, 1, n_tiles, read)[0], validity))
    return frame.file(index, frame.records(index, symbols))


def _within(frame: _Frame, quality: _Quality) -> bytes:
    """Code at the quality asked for; a budget is checked against what was really written."""
    package, job = frame.package, frame.job
    indices = package.ladder_indices
    index = package.default_ladder_index if quality.ladder_index is None else quality.ladder_index
    if index not in indices:
        raise InputError("no such quality", expected=f"{indices[0]} to {indices[-1]}", found=index)

    def read(tiles: range) -> tuple[np.ndarray, BoolArray]:
        values, known = job.source.read(tiles)
        return floats(job, values, tiles), known

    budget = (
        _Budget(frame, quality)
        if quality.bytes_per_vector is not None or quality.total_bytes is not None
        else None
    )
    if budget is not None:
        index = budget.index(read)
    while True:
        values, validity = symbols_of(package, 0, index, job.source.n_tiles, read)
        # The quantiser clips (bitstream §10.1) and says nothing: what it clipped would decode to other numbers.
        clipped = max(int(values.max()), -int(values.min())) >= MAX_MAGNITUDE
        if clipped and (budget is None or index + 1 not in indices):
            raise InputError(
                "numbers lie so far out that this quality cannot hold them", found=f"quality {index} of {indices[-1]}",
                fix="choose a coarser one, or fit a package to these embeddings",
            )  # fmt: skip
        if not clipped:
            records = frame.records(index, [Symbols(0, values, validity)])
            if budget is None or budget.is_kept(records, validity):
                return frame.file(index, records)
            if index + 1 not in indices:
                raise budget.refusal(records, validity)
        index += 1


class _Budget:
    """How many bytes there may be, and which quality keeps to it."""

    def __init__(self, frame: _Frame, quality: _Quality) -> None:
        self._frame, self._quality = frame, quality
        self._fixed = frame.fixed_bytes() if quality.total_bytes is not None else 0

    def _used(self, records: list[Record]) -> int:
        coefficients = sum(len(r.data) for r in records)
        if self._quality.total_bytes is None:
            return coefficients
        return self._fixed + coefficients + 8 * len(records)

    def _allowed(self, n_valid: int) -> float:
        if self._quality.total_bytes is not None:
            return float(self._quality.total_bytes)
        return float(self._quality.bytes_per_vector or 0.0) * max(1, n_valid)

    def is_kept(self, records: list[Record], validity: BoolArray) -> bool:
        return self._used(records) <= self._allowed(int(validity.sum()))

    def index(self, read: Any) -> int:
        """The finest quality that keeps to the budget on a sample; the coarsest when none does (the whole decides)."""
        package, source = self._frame.package, self._frame.job.source
        most = max(1, _SAMPLE_VALUES // source.values_per_tile)
        sample = np.unique(np.linspace(0, source.n_tiles - 1, min(most, source.n_tiles)).astype(np.int64))
        values, known = read(sample)
        share = source.n_tiles / len(sample)
        allowed = self._allowed(int(known.sum() * share)) - self._fixed
        n_layers = package.planes[0].spec.n_layers

        def part_of_sample(part: range) -> tuple[np.ndarray, BoolArray]:
            return values[part.start : part.stop], known[part.start : part.stop]

        def bytes_at(index: int) -> float:
            symbols, _ = symbols_of(package, 0, index, len(sample), part_of_sample)
            total = 0.0
            for layer in range(n_layers):
                costs = core.tile_costs(package.tables, 0, layer, index, symbols)
                payload = (
                    share * float(costs[known.any(axis=(1, 2))].sum(dtype=np.uint64)) / COST_UNITS_PER_BYTE
                )
                total += payload + _RECORD_BYTES * max(1.0, payload / max(1, self._frame.target_bytes - 15))
            return total * _ESTIMATE_MARGIN

        indices = package.ladder_indices
        return choose_ladder_index(indices, bytes_at, max(allowed, bytes_at(indices[-1])))

    def refusal(self, records: list[Record], validity: BoolArray) -> InputError:
        """The coarsest quality takes more than the budget: say what can be reached."""
        package = self._frame.package
        least = self._used(records)

        def read(tiles: range) -> tuple[np.ndarray, BoolArray]:
            values, known = self._frame.job.source.read(tiles)
            return floats(self._frame.job, values, tiles), known

        finest = package.ladder_indices[0]
        values, _ = symbols_of(package, 0, finest, self._frame.job.source.n_tiles, read)
        most = self._used(self._frame.records(finest, [Symbols(0, values, validity)]))
        n = 1 if self._quality.total_bytes is not None else max(1, int(validity.sum()))
        name = "total_bytes" if self._quality.total_bytes is not None else "bytes_per_vector"
        return InputError(
            f"{name} lies below what this array can be coded to", expected=f"{least / n:.6g} to {most / n:.6g}",
            found=self._allowed(int(validity.sum())) / n, fix="allow more bytes, or fit a package to these embeddings",
        )  # fmt: skip


__all__ = ["Unpacked", "fit", "pack", "unpack"]
