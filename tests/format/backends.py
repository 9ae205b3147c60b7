"""Decoders behind one face, so that every one meets the same vectors; here the face and the reference decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from nec_reference.archive import linear, load_archive, refines
from nec_reference.lifting import Linear
from nec_reference.manifest import Package
from nec_reference.reconstruct import PlaneTransform, embedding
from nec_reference.refusals import Refusal
from nec_reference.tables import decode_tables
from nec_reference.whole import DecodedFile, decode_file

RECORD_KINDS = {1: "coefficients", 2: "tables", 3: "index", 4: "seal", 5: "refinement", 6: "coefficients"}


@dataclass(frozen=True)
class PackageFiles:
    """A package as it lies in tests/vectors/packages."""

    name: str
    tables: bytes
    transform: bytes
    transform_sha256: str
    n_bands: int
    lifting: str


class Refused(Exception):
    """A back end refused the whole file; `kind` is the word of docs/bitstream.md §1."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


@dataclass
class PlaneResult:
    """One plane, tile by tile; symbols are lists C×F, None where nothing of the tile arrived."""

    layers: list[list[int]]
    validity: list[str]
    symbols: list[Any]


@dataclass
class Result:
    """What a back end says of a file. None: it does not say that."""

    records: list[tuple[str, str]]
    planes: Callable[[], list[PlaneResult]] = field(repr=False)
    conflicts: list[tuple[int, int, int]] | None = None
    sealed: bool | None = None
    index: bool | None = None
    gaps: list[tuple[int, int, bool]] | None = None
    header: Any = None
    mean_vectors: dict[int, list[list[int]]] | None = None
    embed: Callable[[int, int], Any] | None = field(default=None, repr=False)  # (plane, tile) -> array


class Backend(Protocol):
    """A decoder. `says` names what it is asked about beyond records and symbols."""

    name: str
    # of: file (header, record headers, embedded tables, seal), conflicts, sealed, index, gaps, header, embeddings,
    # identity, bands, mean
    says: frozenset[str]

    def decode(self, data: bytes, package: PackageFiles) -> Result: ...
    def read_tables(self, data: bytes) -> None: ...


class ReferenceBackend:
    """The slow decoder that was written from the text."""

    name = "reference"
    says = frozenset(
        {
            "file",
            "conflicts",
            "sealed",
            "index",
            "gaps",
            "header",
            "embeddings",
            "identity",
            "bands",
            "mean",
        }
    )

    def decode(self, data: bytes, package: PackageFiles) -> Result:
        own = Package(package.tables, package.transform_sha256, package.n_bands, package.lifting)
        try:
            file = decode_file(data, own)
        except Refusal as refusal:
            raise Refused(refusal.kind, str(refusal)) from refusal
        return Result(
            records=[
                (RECORD_KINDS.get(o.record.header.kind, f"kind {o.record.header.kind}"), o.result)
                for o in file.outcomes
            ],
            planes=lambda: [self._plane(file, plane) for plane in range(len(file.header.planes))],
            conflicts=sorted(file.conflicts),
            sealed=file.sealed,
            index=file.index_agrees,
            gaps=[(gap.first, gap.last, gap.cut) for gap in file.gaps],
            header=file.header,
            mean_vectors={
                plane: sorted([c, f, s] for (c, f), s in symbols.items())
                for plane, symbols in file.mean_vectors.items()
            },
            embed=lambda plane, tile: embedding(
                file,
                own,
                plane,
                tile,
                _transform(package, plane),
                _linear(package, plane, file.header.planes[plane].channels),
                refines(load_archive(package.transform)),
            ),
        )

    @staticmethod
    def _plane(file: DecodedFile, plane: int) -> PlaneResult:
        tiles = range(file.header.n_tiles)
        layers = [file.layers(plane, tile) for tile in tiles]
        return PlaneResult(
            layers=layers,
            validity=["".join(str(int(v)) for v in file.validity(plane, tile)) for tile in tiles],
            symbols=[file.symbols(plane, tile) if layers[tile] else None for tile in tiles],
        )

    def read_tables(self, data: bytes) -> None:
        try:
            decode_tables(data)
        except Refusal as refusal:
            raise Refused(refusal.kind, str(refusal)) from refusal


def _transform(package: PackageFiles, plane: int) -> PlaneTransform | None:
    arrays: dict[str, Any] = load_archive(package.transform)
    if f"plane{plane}.mean" not in arrays:
        return None
    tokens = arrays.get(f"plane{plane}.tokens")
    return PlaneTransform(
        arrays[f"plane{plane}.mean"],
        arrays[f"plane{plane}.basis"],
        None if tokens is None else int(tokens[0]),
        arrays.get(f"plane{plane}.rotations"),
        arrays.get(f"plane{plane}.rotation"),
    )


def _linear(package: PackageFiles, plane: int, channels: int) -> Linear | None:
    if package.lifting != "linear":
        return None
    return linear(load_archive(package.transform), f"plane{plane}", channels)
