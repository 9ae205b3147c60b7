"""Symbols of whole planes to coefficient records and back (bitstream §5, §10.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from codec.bitstream import backends, conflicts, core, grouping
from codec.bitstream import record as rec
from codec.bitstream.backends import EntropyBackend
from codec.bitstream.core import TableSet
from codec.bitstream.decoded import Damage, DecodedSymbols, PlaneSymbols, missing_ranges
from codec.bitstream.derived import derived_invalid
from codec.bitstream.grouping import LINK_TARGET
from codec.bitstream.header import FileHeader
from codec.bitstream.masks import PlaneMasks, plane_masks
from codec.errors import Corrupt, IdentityError, InputError, LimitExceeded
from codec.types import PlaneSpec, Record, RecordHeader, RecordKind, Symbols

# Of decoded arrays: 65,536 tiles of 8×8 tokens × 128 channels and a spectral plane fit.
DEFAULT_MAX_BYTES = 2**31


def check_tables(tables: TableSet, header: FileHeader) -> None:
    """The planes of tables and header must be equal; raises IdentityError where they are not."""
    if tables.n_planes != len(header.planes):
        raise IdentityError(
            "the tables are for another number of planes", expected=len(header.planes), found=tables.n_planes,
            fix=f"get the package with codec id {header.codec_id.hex()}",
        )  # fmt: skip
    for i, plane in enumerate(header.planes):
        layout = core.plane_layout(tables, i)
        said = (plane.rows, plane.cols, plane.channels, plane.n_layers, int(plane.kind))
        theirs = tuple(int(layout[name]) for name in ("rows", "cols", "channels", "n_layers", "kind"))
        if said != theirs:
            raise IdentityError(
                f"the tables differ from the header in plane {i} (rows, columns, channels, layers, kind)",
                expected=said, found=theirs, fix=f"get the package with codec id {header.codec_id.hex()}",
            )  # fmt: skip


def encode_plane(
    tables: TableSet,
    header: FileHeader,
    plane: int,
    symbols: Symbols,
    *,
    target_bytes: int = LINK_TARGET,
    ladder_offset: int = 0,
    backend: str = backends.DEFAULT,
) -> list[Record]:
    """Records of one plane, layer by layer, then by tile.

    `symbols` holds all tiles of the file. Records are grouped so that their estimate is at most `target_bytes`
    (960 for links, 61440 for archives). Raises InputError for shapes or symbols that do not fit, LimitExceeded
    where a single tile's layer exceeds a payload, IdentityError where header and tables differ.
    """
    check_tables(tables, header)
    job = _Job(tables, header, plane, symbols, target_bytes, ladder_offset, backends.load(backend))
    return [record for layer in range(header.planes[plane].n_layers) for record in job.encode(layer)]


def encode_file_records(
    tables: TableSet,
    header: FileHeader,
    symbols: Iterable[Symbols],
    *,
    target_bytes: int = LINK_TARGET,
    backend: str = backends.DEFAULT,
) -> list[Record]:
    """Records of all planes in file order: layer 0 first, then by layer; within a layer by plane, then by tile.

    `symbols` names each plane of the header once, in any order. Raises as `encode_plane`.
    """
    check_tables(tables, header)
    engine = backends.load(backend)
    given = sorted(symbols, key=lambda s: s.plane)
    if [s.plane for s in given] != list(range(len(header.planes))):
        raise InputError(
            "the symbols do not name each plane once", expected=list(range(len(header.planes))),
            found=[s.plane for s in given],
        )  # fmt: skip
    jobs = [_Job(tables, header, s.plane, s, target_bytes, 0, engine) for s in given]
    n_layers = max(plane.n_layers for plane in header.planes)
    return [
        record
        for layer in range(n_layers)
        for job in jobs
        if layer < job.spec.n_layers
        for record in job.encode(layer)
    ]


class _Job:
    """One plane on its way into records; masks are worked out once for all layers."""

    def __init__(
        self,
        tables: TableSet,
        header: FileHeader,
        plane: int,
        symbols: Symbols,
        target_bytes: int,
        ladder_offset: int,
        engine: EntropyBackend,
    ) -> None:
        self.spec: PlaneSpec = header.planes[plane]
        shape = (header.n_tiles, self.spec.channels, self.spec.n_frequencies)
        if symbols.plane != plane:
            raise InputError("these are the symbols of another plane", expected=plane, found=symbols.plane)
        if symbols.values.shape != shape or symbols.values.dtype not in (np.int8, np.int16):
            raise InputError(
                f"the symbols of plane {plane} have the wrong shape or type", expected=f"{shape} int8 or int16",
                found=f"{symbols.values.shape} {symbols.values.dtype}",
            )  # fmt: skip
        self._values = np.ascontiguousarray(symbols.values)
        self._masks: PlaneMasks = plane_masks(header.grid, self.spec, symbols.token_validity)
        flat = (header.n_tiles, self.spec.n_frequencies)
        self._token_mask = self._masks.token_mask.reshape(flat)
        self._derived = self._masks.derived.reshape(flat)
        layout = core.plane_layout(tables, plane)
        in_layer = np.asarray(layout["layer_map"])
        band_sizes = np.bincount(np.asarray(layout["bands"]), minlength=len(in_layer))
        self._coefficients = [
            int(((in_layer == layer) * band_sizes[:, None]).sum()) for layer in range(self.spec.n_layers)
        ]
        self._tables, self._header, self._plane = tables, header, plane
        self._target, self._offset, self._engine = target_bytes, ladder_offset, engine

    def encode(self, layer: int) -> list[Record]:
        """Records of one layer in the order of their tiles."""
        index = self._header.ladder_index
        costs = self._engine.tile_costs(self._tables, self._plane, layer, index + self._offset, self._values)
        runs = grouping.runs(
            costs,
            self._masks,
            layer=layer,
            coefficients_per_tile=self._coefficients[layer],
            target_bytes=self._target,
        )
        words = [
            rec.pack_fields(
                RecordHeader(
                    RecordKind.COEFFICIENTS,
                    self._plane,
                    layer,
                    run.log2_lanes,
                    self._offset,
                    run.first,
                    run.count,
                    1,
                )
            )
            for run in runs
        ]
        encoded = self._engine.encode_records(
            self._tables, np.array(words, dtype=np.uint64), index, self._values, self._masks.tile_mask,
            self._token_mask, self._derived,
        )  # fmt: skip
        return [
            Record(rec.unpack(int.from_bytes(data[: rec.HEADER_SIZE], "little")), data) for data in encoded
        ]


def decode(
    tables: TableSet,
    header: FileHeader,
    records: Sequence[Record],
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
    backend: str = backends.DEFAULT,
) -> DecodedSymbols:
    """Decode coefficient records, in any order and with any copies; records of other kinds are passed over.

    Damaged or illegal records are values of the result, as is what is missing. Raises IdentityError where header and
    tables differ, and LimitExceeded, before anything is allocated, when the arrays that the header promises would
    take more than `max_bytes`.
    """
    check_tables(tables, header)
    engine = backends.load(backend)
    need = sum(_bytes_needed(header.n_tiles, plane) for plane in header.planes)
    if need > max_bytes:
        raise LimitExceeded(
            f"decoding would take {need} bytes of memory", expected=f"at most {max_bytes}", found=need,
            fix="raise the limit if this file can be trusted",
        )  # fmt: skip
    places: dict[bytes, int] = {}
    damaged: list[Damage] = []
    legal: list[list[Record]] = [[] for _ in header.planes]
    for index, record in enumerate(records):
        places.setdefault(record.data, index)
    for record in conflicts.unique(r for r in records if r.header.is_coefficients):
        try:
            rec.check(record.header, header)
        except Corrupt as error:
            damaged.append(Damage(places[record.data], record.header, error.kind, str(error)))
            continue
        legal[record.header.plane].append(record)
    planes, contested = [], []
    used = 0
    for plane, own in enumerate(legal):
        work = _Decoding(tables, header, plane, engine)
        alone, groups = conflicts.clusters(own)
        refused = work.write(alone)
        for group in groups:
            # One at a time, the winner last. A refused record spares what came before, so it wins nothing either.
            ordered, left_out = conflicts.losers_first(group)
            lost = [r for record in ordered for r in work.write([record])]
            lost += [
                (record, LimitExceeded.kind, "too many records contradict each other") for record in left_out
            ]
            refused += lost
            names = {record.data for record, _, _ in lost}
            contested += conflicts.contested([record for record in group if record.data not in names])
        used += len(own) - len(refused)
        damaged += [Damage(places[r.data], r.header, kind, what) for r, kind, what in refused]
        planes.append(work.result())
    damaged.sort(
        key=lambda d: (d.header.plane, d.header.layer, d.header.first_tile, d.header.tile_count, d.what)
    )
    missing = tuple(
        gap for p, spec in zip(planes, header.planes, strict=True) for gap in missing_ranges(p, spec.n_layers)
    )
    return DecodedSymbols(tuple(planes), missing, tuple(contested), tuple(damaged), used)


class _Decoding:
    """The arrays of one plane while records are written into them."""

    def __init__(self, tables: TableSet, header: FileHeader, plane: int, engine: EntropyBackend) -> None:
        spec = header.planes[plane]
        n, f = header.n_tiles, spec.n_frequencies
        self._tables, self._header, self._plane, self._engine = tables, header, plane, engine
        self._derived = derived_invalid(header.grid, spec).reshape(n, f)
        self._values = np.zeros((n, spec.channels, f), dtype=np.int16)
        self._token_mask = np.ones((n, f), dtype=bool)
        self._layers = np.zeros(n, dtype=np.uint16)
        self._offsets = np.zeros((n, spec.n_layers), dtype=np.int8)

    def write(self, records: Sequence[Record]) -> list[tuple[Record, str, str]]:
        """Decode records that share no (layer, tile); returns those refused, with kind and reason."""
        if not records:
            return []
        outcome = self._engine.decode_records(
            self._tables, [record.data for record in records], self._header.ladder_index, self._header.n_tiles,
            self._derived, self._values, self._token_mask, self._layers, self._plane,
        )  # fmt: skip
        refused = []
        for record, refusal in zip(records, outcome, strict=True):
            if refusal is None:
                head = record.header
                self._offsets[head.first_tile : head.first_tile + head.tile_count, head.layer] = (
                    head.ladder_offset
                )
            else:
                kind, what, offset = refusal
                refused.append(
                    (record, kind, what if offset is None else f"{what} (byte {offset} of the record)")
                )
        return refused

    def result(self) -> PlaneSymbols:
        spec = self._header.planes[self._plane]
        validity = ~self._token_mask.reshape(-1, spec.rows, spec.cols)
        return PlaneSymbols(self._plane, self._values, validity, self._layers, self._offsets)


def _bytes_needed(n_tiles: int, plane: PlaneSpec) -> int:
    """Symbols, three masks, layers and offsets of one plane."""
    return n_tiles * (plane.n_frequencies * (2 * plane.channels + 3) + 2 + plane.n_layers)
