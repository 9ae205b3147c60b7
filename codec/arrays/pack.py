"""Anybody's array of embeddings ↔ `.nec` bytes: `fit`, `pack`, `unpack`. numpy and the core only."""

from __future__ import annotations

from typing import Any

import numpy as np

from codec.arrays.fitting import NOTES, fit, in_halves
from codec.arrays.frame import NO_PLACE, Frame
from codec.arrays.job import Job, job_of, scale_source
from codec.arrays.own_codec import own_package
from codec.arrays.quality import Quality, within
from codec.arrays.quantised import bytes_of, scale_channels
from codec.arrays.unpack import Unpacked, unpack
from codec.bitstream.grouping import ARCHIVE_TARGET
from codec.bitstream.record import OVERHEAD
from codec.errors import InputError
from codec.package import Package
from codec.pipeline.chunked import integer_symbols
from codec.transform.budget import check_count
from codec.types import BoolArray, Georeference, PlaneKind, Symbols


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
    approach: 61,440 for archives, 960 for links. Equal arguments give equal bytes on the same machine and numerical
    library, whatever the number of its threads. Raises InputError for arrays that cannot be coded (objects, numbers that
    are not finite, −128 without a meaning) and for budgets out of reach.
    """
    if package is not None and not isinstance(package, Package):
        raise InputError(
            "the package is none",
            found=type(package).__name__,
            fix="load it: codec.package.load(folder or name)",
        )
    target_bytes = check_count(target_bytes, "target_bytes", OVERHEAD + 1)
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
    quality = Quality(bytes_per_vector, total_bytes, ladder_index)
    quality.check(job)
    if package is None:
        package, embedded = own_package(job, seed, bytes_per_vector)
    else:
        _check_fits(package, job)
        embedded = None
    frame = Frame(job, package, embedded, target_bytes, georeference, source_name)
    return _exactly(frame) if job.lossless else within(frame, quality)


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
    if package.refining:
        raise InputError(
            f"package {package.name!r} has planes that refine others, which arrays are packed without",
            path=package.folder, fix="fit a package to these embeddings",
        )  # fmt: skip
    if len(planes) != wanted or (job.lossless and planes[0].lifting != "linear"):
        raise InputError(
            f"package {package.name!r} was not fitted to arrays like this", path=package.folder,
            expected=f"{wanted} planes", found=", ".join(plane.name for plane in planes),
            fix="fit a package to these embeddings",
        )  # fmt: skip


def _exactly(frame: Frame) -> bytes:
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


__all__ = ["NO_PLACE", "Unpacked", "fit", "pack", "unpack"]
