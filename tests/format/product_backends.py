"""The product's decoders behind the face of `backends`, and the list of all.

`codec.bitstream` is the reader that a user's file goes through, `core` the compiled module without the Python around
it, `gpu` the same with the GPU's coder; what stands around the payloads is then not its business, and neither meets the
vectors about that.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from typing import Any

import numpy as np
from backends import RECORD_KINDS, Backend, PackageFiles, PlaneResult, ReferenceBackend, Refused, Result
from nec_reference.header import decode_header
from nec_reference.tiles import own_tokens

from codec.bitstream import backends, coefficients, core, mean_vector, reader
from codec.bitstream.decoded import DecodedSymbols
from codec.bitstream.scan import SealState
from codec.errors import SwathpackError
from codec.types import RecordKind

KIND_OF_ERROR = {"unsupported-version": "unsupported"}  # codec.errors' word -> the text's


def _refused(error: SwathpackError) -> Refused:
    return Refused(KIND_OF_ERROR.get(error.kind, error.kind), str(error))


class BitstreamBackend:
    """`codec.bitstream`: what a user's file goes through."""

    name = "codec.bitstream"
    says = frozenset({"file", "conflicts", "sealed", "index", "gaps", "bands", "mean"})

    def decode(self, data: bytes, package: PackageFiles) -> Result:
        try:
            return self._decode(data, package)
        except SwathpackError as error:
            raise _refused(error) from error

    def _decode(self, data: bytes, package: PackageFiles) -> Result:
        file = reader.read_bytes(data)
        file.header.check_band_mask(package.n_bands)
        tables = file.embedded_tables if file.header.embeds_tables else core.TableSet(package.tables)
        outcome = {r.offset: KIND_OF_ERROR.get(r.kind, r.kind) for r in file.refused}
        kinds = {r.offset: data[r.offset] & 7 for r in file.refused}
        for record in file.scan.records:
            kinds[record.offset] = int(record.header.kind)
            ignored = record.header.kind == RecordKind.TABLES and not file.header.embeds_tables
            outcome[record.offset] = "ignored" if ignored else "ok"
        decoded = None
        means: dict[int, Any] = {}
        if tables is None:
            for record in file.records:
                outcome[record.offset] = "waiting"
        else:
            means = mean_vector.decode(tables, file.header)
            decoded = coefficients.decode(tables, file.header, file.records)
            for damage in decoded.damaged:
                for record in file.records:
                    if record.data == file.records[damage.index].data:
                        outcome[record.offset] = KIND_OF_ERROR.get(damage.kind, damage.kind)
        return Result(
            records=[(RECORD_KINDS.get(kinds[o], f"kind {kinds[o]}"), outcome[o]) for o in sorted(outcome)],
            planes=lambda: self._planes(file, decoded),
            conflicts=sorted(
                (r.plane, r.layer, t)
                for r in (decoded.conflicts if decoded else ())
                for t in range(r.first, r.first + r.count)
            ),
            sealed=file.seal == SealState.SEALED,
            index=None if not file.scan.of_kind(RecordKind.INDEX) else not file.scan.index,
            gaps=[(g.first, g.last, g == file.scan.cut) for g in file.gaps],
            mean_vectors={plane: _nonzero(symbols) for plane, symbols in means.items()},
        )

    @staticmethod
    def _planes(file: reader.NecFile, decoded: DecodedSymbols | None) -> list[PlaneResult]:
        if decoded is None:
            n = file.header.n_tiles
            return [
                PlaneResult([[]] * n, ["0" * (p.rows * p.cols)] * n, [None] * n) for p in file.header.planes
            ]
        return [
            _plane_result(p.values, p.token_validity, p.layers, spec.n_layers)
            for p, spec in zip(decoded.planes, file.header.planes, strict=True)
        ]

    def read_tables(self, data: bytes) -> None:
        try:
            core.TableSet(data)
        except SwathpackError as error:
            raise _refused(error) from error


class CoreBackend(BitstreamBackend):
    """`_swathpack_core` on its own: scan and decode_records, one call for each record, the reference's header."""

    name = "core"
    says = frozenset()
    coder: Any = core

    def _decode(self, data: bytes, package: PackageFiles) -> Result:
        header = decode_header(data)
        offsets, words = core.scan(data, header.length)
        records = [
            data[o : o + 12 + (w >> 40 & 0xFFFF) + 1]
            for o, w in zip(offsets.tolist(), words.tolist(), strict=True)
        ]
        raw = package.tables
        if header.embeds_tables:
            chunks = {
                (r[2] | r[3] << 8): (r[4] + 1, r[8:-4]) for r in records if r[0] & 7 == RecordKind.TABLES
            }
            if not chunks or len(chunks) < max(n for n, _ in chunks.values()):
                raise NotImplementedError("tables that have not arrived are not the core's business")
            raw = b"".join(chunks[number][1] for number in sorted(chunks))
        tables = core.TableSet(raw)
        arrays = []
        for number, plane in enumerate(header.planes):
            n, f = header.n_tiles, plane.rows * plane.cols
            derived = np.array(
                [
                    [not own.holds(*divmod(token, plane.cols)) for token in range(f)]
                    for own in (own_tokens(header, plane, tile) for tile in range(n))
                ]
                if n <= 1000
                else np.zeros((n, f), bool)  # the vectors with more tiles have none that is derived-invalid
            )
            arrays.append(
                (
                    number,
                    derived,
                    np.zeros((n, plane.channels, f), np.int16),
                    np.ones((n, f), bool),
                    np.zeros(n, np.uint16),
                )
            )
        results = {}
        # The smaller SHA-256 wins: it is written last.
        for at in sorted(
            range(len(records)), key=lambda i: hashlib.sha256(records[i]).digest(), reverse=True
        ):
            kind, plane_number = records[at][0] & 7, records[at][0] >> 3 & 7
            result = "ok"
            if kind == RecordKind.TABLES and not header.embeds_tables:
                result = "ignored"
            if kind in (RecordKind.COEFFICIENTS, RecordKind.COMPACT):
                number, derived, out, token_mask, layers = arrays[plane_number]
                (refusal,) = self.coder.decode_records(
                    tables,
                    [records[at]],
                    header.ladder_index,
                    header.n_tiles,
                    derived,
                    out,
                    token_mask,
                    layers,
                    number,
                )
                result = "ok" if refusal is None else KIND_OF_ERROR.get(refusal[0], refusal[0])
            results[at] = (RECORD_KINDS[kind], result)
        return Result(
            records=[results[at] for at in range(len(records))],
            planes=lambda: [
                _plane_result(out, ~(token_mask | derived), layers, header.planes[plane].layers)
                for plane, derived, out, token_mask, layers in arrays
            ],
        )


class GpuBackend(CoreBackend):
    """The entropy back end `gpu`: its kernels on a GPU, or interpreted where there is none."""

    name = "gpu"

    @property
    def coder(self) -> Any:
        return backends.load("gpu")


def _plane_result(values: Any, validity: Any, layers: Any, n_layers: int) -> PlaneResult:
    here = [[layer for layer in range(n_layers) if bits >> layer & 1] for bits in layers.tolist()]
    return PlaneResult(
        layers=here,
        validity=["".join("01"[bit] for bit in row.ravel()) for row in validity.astype(int)],
        symbols=[tile.tolist() if which else None for tile, which in zip(values, here, strict=True)],
    )


def _nonzero(symbols: Any) -> list[list[int]]:
    return [[int(c), int(f), int(symbols[c, f])] for c, f in np.argwhere(symbols)]


def available() -> list[Backend]:
    """Every decoder of this checkout, the reference first."""
    found = [ReferenceBackend(), BitstreamBackend(), CoreBackend()]
    return [*found, GpuBackend()] if find_spec("triton") else found
