"""The package that a self-contained file carries (bitstream §4.5): tables and transform are in its own records."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from codec.bitstream.core import TableSet
from codec.bitstream.header import FileHeader
from codec.bitstream.tables_records import EmbeddedTables
from codec.errors import Corrupt, IdentityError, TryAgain
from codec.package import Package, PlaneEntry, TileLayout, arrays, identity
from codec.package.files import FileEntry
from codec.package.manifest import TABLES, TRANSFORM, Manifest
from codec.transform.tables import Tables
from codec.types import PlaneKind, PlaneSpec

NAME = "self-contained"
_PREPROCESSING = "array"


def plane_name(number: int) -> str:
    """What a plane of a self-contained file is called, in its archive and in results."""
    return f"plane{number}"


def space_id(number: int) -> bytes:
    """The space of a plane whose encoder nobody named."""
    return identity.space_id(
        plane=plane_name(number),
        bands=(),
        preprocessing=_PREPROCESSING,
        encoder_sha256=None,
        adapter_sha256=None,
    )


def package_of(header: FileHeader, tables: bytes, transform: bytes, path: object = None) -> Package:
    """A package in memory from the two embedded files; nothing is read from disk.

    Raises Corrupt for tables or a transform that are not legal, IdentityError when they are not those of the header.
    """
    sha = {
        name: hashlib.sha256(data).hexdigest() for name, data in ((TABLES, tables), (TRANSFORM, transform))
    }
    codec_id = identity.codec_id(tables_sha256=sha[TABLES], transform_sha256=sha[TRANSFORM])
    if codec_id != header.codec_id:
        raise IdentityError(
            "the embedded tables and transform are not those that the header names", path=path,
            expected=f"codec id {header.codec_id.hex()}", found=codec_id.hex(), fix="receive the file again",
        )  # fmt: skip
    refines = [arrays.refined_by(transform, plane_name(number)) for number in range(len(header.planes))]
    n_refining = sum(number is not None for number in refines)
    n_planes = len(refines) - n_refining
    entries = tuple(_entry(number, spec, transform) for number, spec in enumerate(header.planes[:n_planes]))
    refining = _refining(header, refines, n_planes, path)
    limit = arrays.size_limit(entries, refining)
    if len(transform) > limit:
        raise Corrupt(
            "the embedded transform is too large for its planes",
            path=path,
            expected=limit,
            found=len(transform),
        )
    transforms, liftings = arrays.decode(transform, entries, path, refining)
    manifest = Manifest(
        name=NAME, version="0", licence="not stated", bands=(), preprocessing=_PREPROCESSING,
        tile=TileLayout(max(header.grid.core_height, header.grid.core_width), 0, 1), planes=entries,
        codec_id=codec_id, default_ladder_index=header.ladder_index, encoder_sha256=None, adapter_sha256=None,
        files={
            TABLES: FileEntry(len(tables), sha[TABLES]), TRANSFORM: FileEntry(len(transform), sha[TRANSFORM])
        },
        raw={}, refining=refining,
    )  # fmt: skip
    return Package(
        Path(str(path or NAME)),
        manifest,
        TableSet(tables),
        Tables.decode(tables),
        transforms,
        (),
        None,
        liftings,
    )


def package_in(header: FileHeader, embedded: EmbeddedTables | None, path: object = None) -> Package:
    """`package_of` what has been collected. Raises TryAgain while chunks are missing, Corrupt when they disagree."""
    if embedded is not None and embedded.disagree:
        raise Corrupt(
            "the chunks of the embedded tables disagree on their number", path=path, found=embedded.disagree
        )
    if embedded is None or embedded.data is None:
        missing = () if embedded is None else embedded.missing
        raise TryAgain(
            "the file's own tables and transform have not all arrived", path=path,
            found=f"chunks missing: {', '.join(map(str, missing)) or 'all'}", fix="request these records again",
        )  # fmt: skip
    return package_of(header, embedded.data, embedded.transform or b"", path)


def _refining(
    header: FileHeader, refines: list[int | None], n_planes: int, path: object
) -> tuple[PlaneEntry, ...]:
    found = []
    for number, spec in enumerate(header.planes[n_planes:], n_planes):
        refined = refines[number]
        other = None if refined is None or refined >= number else header.planes[refined]
        like = (
            other is not None
            and replace(other, n_layers=spec.n_layers, space_id=spec.space_id) == spec
            and spec.kind is PlaneKind.FLOAT
        )
        if refined is None or not like or refines.count(refined) != 1:
            raise Corrupt(
                f"the embedded transform says of plane {number} that it refines what it cannot", path=path,
                expected="a plane of floats before it, of its shape, that no other refines; such planes come last",
                found=refined,
            )  # fmt: skip
        found.append(PlaneEntry(plane_name(number), spec, "none", refined))
    return tuple(found)


def _entry(number: int, spec: PlaneSpec, transform: bytes) -> PlaneEntry:
    name = plane_name(number)
    linear = spec.kind == PlaneKind.INTEGER and arrays.has_lifting(transform, name)
    return PlaneEntry(name, spec, "linear" if linear else "none")
