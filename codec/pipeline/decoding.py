"""Records → embeddings. Whatever is intact is used; what is missing or damaged is a value of the result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.bitstream import coefficients, mean_vector, tables_records
from codec.bitstream import record as rec
from codec.bitstream.backends import DEFAULT
from codec.bitstream.core import TableSet
from codec.bitstream.decoded import PlaneSymbols
from codec.bitstream.header import FileHeader
from codec.errors import FormatError, IdentityError, LimitExceeded
from codec.package import Package, PlaneEntry, identity
from codec.package.manifest import TRANSFORM
from codec.pipeline.digits import finer_planes, reported
from codec.pipeline.refining import Refine, layer_steps, refined
from codec.transform.digits import reconstructed
from codec.transform.lifting import Lifting
from codec.transform.maps import quant_maps
from codec.transform.plane import PlaneTransform
from codec.transform.tables import Tables
from codec.types import BoolArray, Embedding, FloatArray, PlaneKind, Record, TileRange

DEFAULT_MAX_BYTES = 1 << 33  # of decoded embeddings in memory
_PIECE_INTEGERS = 1 << 22  # undone at a time: channel after channel, so each with as many tokens as may be
_PIECE_VALUES = 1 << 18  # reconstructed at a time: stays in the processor's cache


@dataclass(frozen=True)
class Decoded:
    """What a set of records says. Depends on the set only, never on order or copies."""

    embeddings: dict[str, Embedding]  # by plane name, in plane order
    missing: tuple[TileRange, ...]  # layers of tiles that did not arrive
    conflicts: tuple[TileRange, ...]  # where intact records differ; the smaller SHA-256 was taken
    damaged: tuple[tuple[int, str, str], ...]  # index among the given records, kind of error, what
    intact: int  # distinct coefficient records used
    waiting: bool = (
        False  # the file embeds its tables and not all of their records have arrived: nothing decoded
    )
    refinement: str = ""  # "refined", why that was not possible, or empty: nobody asked


def decode(
    package: Package,
    header: FileHeader,
    records: Sequence[bytes],
    *,
    max_layers: int | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    backend: str = DEFAULT,
    refine: Refine | None = None,
) -> Decoded:
    """Decode complete records (header to CRC), in any order and with any copies, with a package that has the ids.

    `max_layers` uses only the first layers. Damaged records are listed, their tiles missing. Missing layers above 0 take
    their conditional mean; tiles without layer 0 are invalid. `refine`: what is applied to the embeddings at the end (off
    by default, then the numbers are those of the format). Raises IdentityError when the package is not the one the
    header names, Corrupt when the header's mean vector is damaged, LimitExceeded above `max_bytes`.
    """
    parsed: list[Record] = []
    places: list[int] = []
    damaged: list[tuple[int, str, str]] = []
    for place, data in enumerate(records):
        try:
            parsed.append(rec.parse(data))
            places.append(place)
        except FormatError as error:
            damaged.append((place, error.kind, str(error)))
    tables, table_file = package.tables, package.table_file
    if header.embeds_tables:
        embedded = tables_records.collect(parsed, with_transform=header.is_self_contained)
        if embedded.data is None:
            check_package(package, header, tables_sha256=None)
            return _waiting(package, header, tuple(damaged), max_bytes)
        check_package(package, header, tables_sha256=hashlib.sha256(embedded.data).hexdigest())
        tables, table_file = TableSet(embedded.data), Tables.decode(embedded.data)
    else:
        check_package(package, header)
    _check_memory(header, max_bytes)
    used = [
        (record, place)
        for record, place in zip(parsed, places, strict=True)
        if record.header.is_coefficients and (max_layers is None or record.header.layer < max_layers)
    ]
    found = coefficients.decode(
        tables, header, [record for record, _ in used], max_bytes=max_bytes, backend=backend
    )
    means = mean_vector.decode(tables, header, backend=backend)
    embeddings = {
        entry.name: embedding_of(
            package,
            table_file,
            header,
            entry,
            plane,
            means.get(plane.plane),
            finer_planes(package, found.planes, number),
        )
        for number, (entry, plane) in enumerate(zip(package.planes, found.planes, strict=False))
    }
    said = ""
    if refine is not None:
        steps = {
            entry.name: layer_steps(table_file, header, plane, finer_planes(package, found.planes, number))
            for number, (entry, plane) in enumerate(zip(package.planes, found.planes, strict=False))
        }
        embeddings, said = refined(refine, embeddings, steps)
    damaged += [(used[damage.index][1], damage.kind, damage.what) for damage in found.damaged]
    return Decoded(
        embeddings, reported(package, found.planes, found.missing), found.conflicts, tuple(sorted(damaged)),
        found.used, refinement=said,
    )  # fmt: skip


def check_package(package: Package, header: FileHeader, *, tables_sha256: str | None = "") -> None:
    """Refuse a package that is not the one a header names, or a band mask beyond its list.

    `tables_sha256` is that of embedded tables (None: not yet known). Raises IdentityError or Corrupt.
    """
    expected: bytes | None = package.codec_id
    if tables_sha256:
        transform = package.manifest.files[TRANSFORM].sha256
        expected = identity.codec_id(tables_sha256=tables_sha256, transform_sha256=transform)
    elif tables_sha256 is None:
        expected = None
    if expected is not None and expected != header.codec_id:
        raise IdentityError(
            f"package {package.name!r} has another codec than the file",
            path=package.folder,
            expected=f"codec id {header.codec_id.hex()}",
            found=expected.hex(),
            fix="use the package that the file names",
        )
    spaces = [plane.space_id for plane in header.planes]
    own = [plane.space_id for plane in package.plane_specs]
    if spaces != own:
        raise IdentityError(
            f"package {package.name!r} has other embedding spaces than the file",
            path=package.folder,
            expected="space ids " + ", ".join(space.hex() for space in spaces),
            found=", ".join(space.hex() for space in own),
            fix="use the package that the file names",
        )
    header.check_band_mask(len(package.bands))


def embedding_of(
    package: Package,
    tables: Tables,
    header: FileHeader,
    entry: PlaneEntry,
    plane: PlaneSymbols,
    mean: npt.NDArray[np.int16] | None,
    finer: Sequence[PlaneSymbols] = (),
) -> Embedding:
    """Symbols of one plane, of all tiles or some → embedding of these; 0 in invalid tokens, whose validity is False.

    `tables` is the package's table file or the one that the file embeds, `mean` the header's mean vector of the plane,
    `finer` the planes that refine it, of the same tiles, in the order in which they refine each other.
    """
    chain = (plane, *finer)
    n_tiles, spec = len(plane.layers), entry.spec
    values = np.zeros((n_tiles, spec.rows, spec.cols, spec.channels), dtype=np.float32)
    decoded = np.flatnonzero((plane.layers & 1).astype(bool) & plane.token_validity.any(axis=(1, 2)))
    offsets = np.concatenate([each.ladder_offset[decoded] for each in chain], axis=1)
    for chosen in np.unique(offsets, axis=0):  # records of one file may have been coded finer or coarser
        tiles = decoded[(offsets == chosen).all(axis=1)]
        numbers = _numbers(package, tables, header, entry, chain, chosen, mean)
        piece = _PIECE_INTEGERS if spec.kind is PlaneKind.INTEGER else _PIECE_VALUES
        step = max(1, piece // (spec.channels * spec.n_frequencies))
        for start in range(0, len(tiles), step):
            part = tiles[start : start + step]
            values[part] = numbers(part)
    if not plane.token_validity.all():
        values[~plane.token_validity] = 0
    return Embedding(plane.plane, values, plane.token_validity, plane.layers)


def _numbers(
    package: Package,
    tables: Tables,
    header: FileHeader,
    entry: PlaneEntry,
    chain: Sequence[PlaneSymbols],
    offsets: npt.NDArray[np.int8],
    mean: npt.NDArray[np.int16] | None,
) -> Callable[[npt.NDArray[np.int64]], FloatArray]:
    """What makes numbers n×h×w×C of some tiles, all of whose records have these ladder offsets, plane after plane."""
    plane = chain[0]
    if entry.spec.kind is PlaneKind.INTEGER:
        lifting = package.liftings.get(entry.name)
        return lambda part: integers_of(plane.values[part], entry, lifting).astype(np.float32)
    ends = np.cumsum([each.ladder_offset.shape[1] for each in chain])
    every = [
        quant_maps(tables, each.plane, header.ladder_index, own.tolist())
        for each, own in zip(chain, np.split(offsets, ends[:-1]), strict=True)
    ]
    added: FloatArray | None = None
    if mean is None:  # what is never coded at this quality is 0, and need not be transformed back
        channels = max(maps.n_coded_channels for maps in every)
        every = [maps.first(channels) for maps in every]
    else:  # its step is layer 0's without any record's offset (bitstream §3.3)
        plain = quant_maps(tables, plane.plane, header.ladder_index)
        added = np.where(plain.layer == 0, mean * plain.step, np.float32(0))
    transform: PlaneTransform = package.transforms[entry.name]

    def numbers(part: npt.NDArray[np.int64]) -> FloatArray:
        channels = len(every[0].layer)
        symbols, layers = [p.values[part, :channels] for p in chain], [p.layers[part] for p in chain]
        latents = reconstructed(symbols, layers, every)
        if added is not None:
            latents += added
        return transform.synthesise(latents)

    return numbers


def integers_of(
    symbols: npt.NDArray[np.int16], entry: PlaneEntry, lifting: Lifting | None = None
) -> npt.NDArray[np.int16]:
    """Planes of kind integer (bitstream §8.3): the symbol is the number, or what is left after a prediction."""
    if lifting is not None:
        return lifting.inverse(symbols, entry.spec.rows, entry.spec.cols)
    values = symbols if entry.lifting == "none" else np.cumsum(symbols, axis=2, dtype=np.int16)
    n_tiles, channels, _ = values.shape
    tokens = values.reshape(n_tiles, channels, entry.spec.rows, entry.spec.cols)
    return np.moveaxis(tokens, 1, 3)


def _check_memory(header: FileHeader, max_bytes: int) -> None:
    need = sum(4 * header.n_tiles * plane.n_frequencies * plane.channels for plane in header.planes)
    if need > max_bytes:
        raise LimitExceeded(
            f"the decoded embeddings would take {need} bytes of memory",
            expected=f"at most {max_bytes}",
            found=need,
            fix="raise the limit if this file can be trusted",
        )


def _waiting(
    package: Package, header: FileHeader, damaged: tuple[tuple[int, str, str], ...], max_bytes: int
) -> Decoded:
    """A file whose embedded tables are incomplete: everything is missing, nothing is wrong."""
    _check_memory(header, max_bytes)
    embeddings, missing = {}, []
    for number, entry in enumerate(package.planes):
        spec = entry.spec
        shape = (header.n_tiles, spec.rows, spec.cols)
        validity: BoolArray = np.zeros(shape, dtype=bool)
        values = np.zeros((*shape, spec.channels), dtype=np.float32)
        embeddings[entry.name] = Embedding(
            number, values, validity, np.zeros(header.n_tiles, dtype=np.uint16)
        )
        missing += [TileRange(number, layer, 0, header.n_tiles) for layer in range(spec.n_layers)]
    return Decoded(embeddings, tuple(missing), (), damaged, 0, waiting=True)
